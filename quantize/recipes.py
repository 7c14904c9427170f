"""The named recipes: which types of numbers a file holds.

A name is TARGET-PRECISION, as in the make targets. An impossible recipe is refused when it is made;
a target that cannot honour a recipe says so and writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from foundation.errors import InvalidInputError, UnsupportedError
from quantize.settings import (
    FLOATING,
    INT8_ACTIVATIONS,
    BatchAxis,
    Granularity,
    IoType,
    Layout,
    Optimization,
    PlanSettings,
    Postprocess,
    Precision,
    RangeMethod,
    WeightRange,
)


@dataclass(frozen=True)
class Recipe:
    """A kind of file to write.

    Attributes:
        name: TARGET-PRECISION, as on the command line.
        target: name of the export target (``tflite``, ``onnx``).
        precision: types of weights and activations.
        summary: one line for listings.
        settings: settings of the plan; without a plan, only ``granularity`` matters.
        io: type of input and output.
        layout: order of the input's axes; ``nchw`` is for targets that take it.
        batch: first axis of the input.
        postprocess: operators behind the network's outputs.

    Raises:
        UnsupportedError: integer input with float activations, int16 activations in ONNX, ranges
            and operators of other types in a recipe that the engine does not plan, or
            post-processing of another format.
    """

    name: str
    target: str
    precision: Precision
    summary: str
    settings: PlanSettings = field(default_factory=PlanSettings)
    io: IoType = IoType.FLOAT32
    layout: Layout = Layout.NHWC
    batch: BatchAxis = BatchAxis.ONE
    postprocess: Postprocess = Postprocess.NONE

    def __post_init__(self) -> None:
        if self.io is not IoType.FLOAT32 and self.precision not in INT8_ACTIVATIONS:
            raise UnsupportedError(
                f"integer input and output need int8 activations, which {self.name} does not have",
                received=f"--io {self.io.value}",
                remedy="use --io float32, or an int8 recipe",
            )
        if self.precision is Precision.INT4 and not self.planned:
            raise UnsupportedError(
                "weights in 4 bits are chosen by the engine",
                received=f"--optimize {self.settings.optimization.value} with {self.name}",
                remedy="use --optimize default or best, or tflite-int8",
            )
        if self.settings.wide_ops and self.target != "tflite":
            raise no_wide_onnx(self.name)
        if self.postprocess.target not in (None, self.target):
            raise UnsupportedError(
                f"post-processing {self.postprocess.value} is for recipes whose names begin with "
                f"{self.postprocess.target}",
                received=f"--postprocess {self.postprocess.value} with {self.name}",
                remedy="use the post-processing of that format, or another recipe",
            )
        if self.plans_integers:
            return
        asked = ["--keep-float"] if self.settings.float_ops else []
        asked += ["--keep-int16"] if self.settings.wide_ops else []
        asked += ["--ranges"] if self.settings.ranges is not RangeMethod.MIN_MAX else []
        if asked:
            raise UnsupportedError(
                "ranges, and operators of other types, are chosen in int8 recipes that the engine"
                " plans",
                received=f"{' and '.join(asked)} with {self.name}, "
                f"{self.settings.optimization.value}",
                remedy="use an int8 recipe without --optimize converter",
            )

    @property
    def planned(self) -> bool:
        """Whether the engine decides the integers, in a plan that other files can share."""
        chosen_here = self.settings.optimization is not Optimization.CONVERTER
        special = self.settings.int16 or self.settings.floating is not None
        return special or (self.precision in INT8_ACTIVATIONS and chosen_here)

    @property
    def plans_integers(self) -> bool:
        """Whether that plan has integers for activations too, which can be repaired and trained."""
        return self.planned and self.settings.floating is None

    @property
    def needs_calibration(self) -> bool:
        """Whether the file cannot be made without representative data."""
        of_weights = (Precision.INT16X8, Precision.WEIGHT_INT8)
        return self.precision in (*INT8_ACTIVATIONS, *of_weights)

    @property
    def takes_calibration(self) -> bool:
        """Whether calibration images, where there are any, decide numbers of the file."""
        chosen_here = self.settings.optimization is not Optimization.CONVERTER
        return self.needs_calibration or (self.precision in FLOATING and chosen_here)

    def with_io(self, io: IoType | None) -> Recipe:
        """Same recipe with another input and output type; None keeps the type."""
        return self if io is None else replace(self, io=io)

    def with_effort(self, optimization: Optimization) -> Recipe:
        """Same recipe with this amount of work on its integers."""
        return replace(self, settings=replace(self.settings, optimization=optimization))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; ``from_dict`` reads them back."""
        return {
            "name": self.name,
            "target": self.target,
            "precision": self.precision.value,
            "granularity": self.settings.granularity.value,
            "io": self.io.value,
            "layout": self.layout.value,
            "batch": self.batch.value,
            "weight_range": self.settings.weight_range.value,
            "optimization": self.settings.optimization.value,
            "ranges": self.settings.ranges.value,
            "float_ops": list(self.settings.float_ops),
            "wide_ops": list(self.settings.wide_ops),
            **({"narrow_ops": list(self.settings.narrow_ops)} if self.settings.narrow_ops else {}),
            **({"int16": True} if self.settings.int16 else {}),
            **({"floating": True} if self.settings.floating else {}),
            **self._postprocess_entry(),
        }

    def _postprocess_entry(self) -> dict[str, Any]:
        """Entry of ``to_dict`` for post-processing; empty without, as in files from before it."""
        if self.postprocess is Postprocess.NONE:
            return {}
        return {"postprocess": self.postprocess.value}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Recipe:
        """Recipe from the values that ``to_dict`` gave; the summary is the registered one."""
        known = recipe(values["name"])
        settings = replace(
            known.settings,
            weight_range=WeightRange(values["weight_range"]),
            optimization=Optimization(values.get("optimization", "converter")),
            ranges=RangeMethod(values.get("ranges", "min-max")),
            float_ops=tuple(values.get("float_ops", ())),
            wide_ops=tuple(values.get("wide_ops", ())),
            narrow_ops=tuple(values.get("narrow_ops", ())),
            int16=bool(values.get("int16", False)),
            floating=known.precision if values.get("floating", False) else None,
        )
        return replace(
            known,
            settings=settings,
            io=IoType(values["io"]),
            layout=Layout(values["layout"]),
            batch=BatchAxis(values["batch"]),
            postprocess=Postprocess(values.get("postprocess", "none")),
        )


def no_wide_onnx(name: str) -> UnsupportedError:
    """Error for int16 activations in an .onnx file: ONNX Runtime has no CPU kernels for them."""
    return UnsupportedError(
        "int16 activations are for .tflite files, since ONNX Runtime computes them in float32",
        received=f"operators in int16x8 with {name}",
        remedy="keep them in float32 there, or use tflite-int8",
    )


_PER_TENSOR = PlanSettings(granularity=Granularity.PER_TENSOR)
_FULL_RANGE = PlanSettings(weight_range=WeightRange.FULL)
_FOUR_BITS = PlanSettings(weight_range=WeightRange.FULL, bits=4)

RECIPES: tuple[Recipe, ...] = (
    Recipe("tflite-float32", "tflite", Precision.FLOAT32, "TFLite, no quantization"),
    Recipe("tflite-float16", "tflite", Precision.FLOAT16, "TFLite, float16 weights"),
    Recipe(
        "tflite-dynamic", "tflite", Precision.DYNAMIC, "TFLite, int8 weights, float activations"
    ),
    Recipe(
        "tflite-weight-int8",
        "tflite",
        Precision.WEIGHT_INT8,
        "TFLite, int8 weights that are read as float, float activations",
        settings=PlanSettings(weight_range=WeightRange.FULL, floating=Precision.WEIGHT_INT8),
    ),
    Recipe(
        "tflite-int8", "tflite", Precision.INT8, "TFLite, int8, weights per channel", io=IoType.INT8
    ),
    Recipe(
        "tflite-int8-per-tensor",
        "tflite",
        Precision.INT8,
        "TFLite, int8, one scale per weight tensor, for NPUs that need it",
        settings=_PER_TENSOR,
        io=IoType.INT8,
    ),
    Recipe(
        "tflite-int4",
        "tflite",
        Precision.INT4,
        "TFLite, weights of convolutions and dense layers in 4 bits, the rest in int8",
        settings=_FOUR_BITS,
        io=IoType.INT8,
    ),
    Recipe(
        "tflite-int16x8", "tflite", Precision.INT16X8, "TFLite, int8 weights, int16 activations"
    ),
    Recipe("onnx-float32", "onnx", Precision.FLOAT32, "ONNX, no quantization"),
    Recipe("onnx-float16", "onnx", Precision.FLOAT16, "ONNX, float16 weights and activations"),
    Recipe("onnx-dynamic", "onnx", Precision.DYNAMIC, "ONNX, int8 weights, float activations"),
    Recipe("onnx-int8", "onnx", Precision.INT8, "ONNX QDQ, int8, weights per channel"),
    Recipe(
        "onnx-int8-per-tensor",
        "onnx",
        Precision.INT8,
        "ONNX QDQ, int8, one scale per weight tensor",
        settings=_PER_TENSOR,
    ),
    Recipe(
        "onnx-int8-full-range",
        "onnx",
        Precision.INT8,
        "ONNX QDQ, int8, weights per channel in [-127, 127], for VNNI and Arm",
        settings=_FULL_RANGE,
    ),
)
"""All recipes."""


def recipe(name: str) -> Recipe:
    """Registered recipe of this name.

    Raises:
        InvalidInputError: a name that no recipe has.
    """
    for known in RECIPES:
        if known.name == name:
            return known
    raise InvalidInputError(
        f"a recipe is one of {', '.join(r.name for r in RECIPES)}",
        received=name,
        remedy="give one of these names",
    )
