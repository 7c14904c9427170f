"""The quantization plan: the integers that a network becomes, as one plain value.

It holds everything that the int8 files of a network share: parameters of activations and weights,
integer weights and biases. TFLite and ONNX files are renderings of it. A plan is stored as one
archive (NumPy's .npz) with equal bytes for equal plans.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from foundation.archives import Arrays, open_arrays
from foundation.errors import InvalidInputError
from foundation.foreign import printable
from network.affine import QuantParams
from network.graph import Graph
from quantize.settings import (
    Granularity,
    Optimization,
    PlanSettings,
    Precision,
    RangeMethod,
    WeightRange,
)

FORMAT = "edgequant plan 1"
SUFFIX = ".plan"


@dataclass(frozen=True)
class IntegerConstant:
    """A constant tensor in integers.

    Attributes:
        params: scales and zero points.
        integers: int8 (weights, those in 4 bits too, and constants of elementwise operators), int32
            (biases) or int64 (biases of operators in int16x8), of the shape that the graph's
            tensor has.
    """

    params: QuantParams
    integers: np.ndarray = field(repr=False)

    def to_float(self) -> np.ndarray:
        """Float32 numbers that the integers stand for."""
        return self.params.dequantize(self.integers)


@dataclass(frozen=True)
class QuantizationPlan:
    """Integers that a graph becomes.

    Attributes:
        graph: digest of the canonical float graph that the plan was made for.
        activations: parameters by tensor name; an activation without is float32.
        constants: integers by tensor name.
        settings: settings that it was made with; its ``wide_ops`` are in the graph's order.
        floats: float32 constants of operators that stay in float32, where equalization changed
            them.
        story: how it was made, as plain values for the reader.
        notes: sentences about it that the user must know.
    """

    graph: str
    activations: Mapping[str, QuantParams]
    constants: Mapping[str, IntegerConstant]
    settings: PlanSettings
    floats: Mapping[str, np.ndarray] = field(default_factory=dict, repr=False)
    story: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def check_graph(self, graph: Graph) -> None:
        """Refuse any graph but the one that the plan was made for.

        Raises:
            InvalidInputError: another structure or other float weights.
        """
        actual = digest(graph)
        if actual != self.graph:
            raise InvalidInputError(
                "a plan is applied to the network that it was made for",
                received=f"a network with the digest {actual[:12]} and a plan for "
                f"{self.graph[:12]}",
                remedy="give that network, with the same weights, or make a new plan",
            )

    def network(self, graph: Graph) -> Graph:
        """The graph to render: its float operators fit the plan's integers.

        Raises:
            InvalidInputError: any graph but the one that the plan was made for.
        """
        self.check_graph(graph)
        return graph.with_values(self.floats)

    @property
    def described(self) -> dict[str, Any]:
        """Optimization, range method and story of the plan as plain values, for the reader."""
        return {
            "optimization": self.settings.optimization.value,
            "ranges": self.settings.ranges.value,
            **self.story,
        }

    def save(self, path: Path) -> None:
        """Write the archive at ``path``; equal plans give equal bytes."""
        path.write_bytes(self._archive)

    @cached_property
    def _archive(self) -> bytes:
        """Bytes of the archive, made once for all files that the plan is written beside."""
        header = {
            "format": FORMAT,
            "graph": self.graph,
            "granularity": self.settings.granularity.value,
            "weight_range": self.settings.weight_range.value,
            "float_ops": list(self.settings.float_ops),
            "wide_ops": list(self.settings.wide_ops),
            **({"narrow_ops": list(self.settings.narrow_ops)} if self.settings.narrow_ops else {}),
            **({"int16": True} if self.settings.int16 else {}),
            **_floating_entry(self.settings.floating),
            "floats": sorted(self.floats),
            "settings": self.described,
            "notes": list(self.notes),
            "activations": {name: p.to_dict() for name, p in sorted(self.activations.items())},
            "constants": {name: c.params.to_dict() for name, c in sorted(self.constants.items())},
        }
        text = json.dumps(header, sort_keys=True, separators=(",", ":"))
        arrays: dict[str, Any] = {
            f"i.{number}": self.constants[name].integers
            for number, name in enumerate(sorted(self.constants))
        }
        arrays |= {f"f.{number}": self.floats[n] for number, n in enumerate(sorted(self.floats))}
        arrays["header"] = np.frombuffer(text.encode(), np.uint8)
        archive = BytesIO()
        np.savez_compressed(archive, **arrays)
        return archive.getvalue()

    @classmethod
    def load(cls, path: Path) -> QuantizationPlan:
        """Read an archive that ``save`` wrote.

        Raises:
            InvalidInputError: no such file, a file of another format, or a damaged one.
        """
        with open_arrays(path, _RULE, _REMEDY) as archive:
            plan = cls._read(archive)
        fault = next(_absurdities(plan), None)
        if fault is not None:
            raise InvalidInputError(
                "the numbers of a plan are those that calibration can give",
                received=f"{printable(path)} with {fault}",
                remedy=_REMEDY,
            )
        return plan

    @classmethod
    def _read(cls, archive: Arrays) -> QuantizationPlan:
        """Plan in an archive; raises whatever damage leads to."""
        header = json.loads(archive["header"].tobytes(), parse_constant=_no_number)
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise ValueError("another format")
        _check_header(header)
        constants = {
            name: IntegerConstant(_params(name, params), archive[f"i.{number}"])
            for number, (name, params) in enumerate(sorted(header["constants"].items()))
        }
        return cls(
            graph=header["graph"],
            activations={
                name: _params(name, params) for name, params in header["activations"].items()
            },
            constants=constants,
            settings=_settings(header),
            floats={n: archive[f"f.{number}"] for number, n in enumerate(header["floats"])},
            story={k: v for k, v in header["settings"].items() if k not in _ASKED},
            notes=tuple(header["notes"]),
        )


@dataclass(frozen=True)
class PlannedNetwork:
    """A plan and the graph that it is rendered with (``QuantizationPlan.network``)."""

    graph: Graph
    plan: QuantizationPlan


_RULE = f"a plan is an archive of the format {FORMAT!r}"
_REMEDY = "make it again with edgequant quantize"

LARGEST_SCALE = 1e15
"""Largest scale of any tensor."""
SMALLEST_SCALE = 1e-12
"""Smallest scale of an activation: a thousandth of that of SMALLEST_SPAN in 16 bits."""
SMALLEST_CONSTANT_SCALE = 1e-30
"""Smallest scale of a weight or bias: products of two stay normal numbers of float32."""


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _no_number(text: str) -> float:
    """Refuse NaN and Infinity, which ``json.loads`` takes and JSON does not have."""
    raise ValueError(f"{text} in its header")


def _params(name: str, values: Mapping[str, Any]) -> QuantParams:
    """Parameters of a tensor; raises ValueError with its name where they are not valid."""
    try:
        return QuantParams.from_dict(values)
    except InvalidInputError as error:
        raise ValueError(f"{name}: {error.received}") from error


def _absurdities(plan: QuantizationPlan) -> Iterator[str]:
    """Well-formed numbers that no calibration leads to, a phrase for each."""
    for name, params in plan.activations.items():
        if not all(SMALLEST_SCALE <= scale <= LARGEST_SCALE for scale in params.scale):
            yield f"the scale {params.scale[0]:g} for {printable(name)}"
    for name, constant in plan.constants.items():
        scales = constant.params.scale
        if not all(SMALLEST_CONSTANT_SCALE <= scale <= LARGEST_SCALE for scale in scales):
            yield f"scales from {min(scales):g} to {max(scales):g} for {printable(name)}"
    for name, value in plan.floats.items():
        if value.dtype != np.float32 or not np.isfinite(value).all():
            yield f"other values than finite float32 numbers for {printable(name)}"


_ASKED = ("optimization", "ranges")
_TABLES = ("activations", "constants", "settings")
_LISTS = ("float_ops", "floats", "notes")
_LATER_LISTS = ("wide_ops", "narrow_ops")


def _check_header(header: Mapping[str, Any]) -> None:
    """Raise TypeError, KeyError or ValueError where the header does not have a plan's fields."""
    wrong = [name for name in _TABLES if not isinstance(header[name], dict)]
    for name in (*_LISTS, *_LATER_LISTS):
        values = header[name] if name in _LISTS else header.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            wrong.append(name)
    if not isinstance(header["graph"], str):
        wrong.append("graph")
    if not all(_is_finite(value) for value in header["settings"].values()):
        wrong.append("settings")
    if wrong:
        raise TypeError(f"{', '.join(wrong)} of another form")


def _settings(header: Mapping[str, Any]) -> PlanSettings:
    """Settings of the plan, from a header that was checked."""
    asked = header["settings"]
    return PlanSettings(
        granularity=Granularity(header["granularity"]),
        weight_range=WeightRange(header["weight_range"]),
        optimization=Optimization(asked.get("optimization", Optimization.DEFAULT)),
        float_ops=tuple(header["float_ops"]),
        ranges=RangeMethod(asked.get("ranges", RangeMethod.MIN_MAX)),
        wide_ops=tuple(header.get("wide_ops", ())),
        int16=header.get("int16", False) is True,
        floating=Precision(header["floating"]) if "floating" in header else None,
        bits=4 if header.get("narrow_ops") else 8,
        narrow_ops=tuple(header.get("narrow_ops", ())),
    )


def _floating_entry(floating: Precision | None) -> dict[str, str]:
    return {} if floating is None else {"floating": floating.value}


def digest(graph: Graph) -> str:
    """SHA-256 of a canonical graph: its structure and the bytes of its constants."""
    checksum = hashlib.sha256()
    if len(graph.outputs) > 1:
        checksum.update(repr(graph.outputs).encode())
    for op in graph.ops:
        checksum.update(repr((op.kind, op.inputs, op.outputs, sorted(op.options.items()))).encode())
    for name in sorted(graph.tensors):
        tensor = graph.tensors[name]
        checksum.update(repr((name, tensor.shape)).encode())
        if tensor.value is not None:
            checksum.update(np.ascontiguousarray(tensor.value).tobytes())
    return checksum.hexdigest()
