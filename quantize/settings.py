"""Choices that make up a recipe: types of numbers, order of axes, and how a plan finds integers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Precision(StrEnum):
    """Types of weights and activations."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    """Weights (TFLite), or weights and activations (ONNX), in half precision."""
    DYNAMIC = "dynamic"
    """int8 weights; activations are quantized while the network runs, without calibration."""
    INT8 = "int8"
    """int8 weights and activations, from calibration."""
    INT4 = "int4"
    """4-bit weights where kernels read them, int8 weights elsewhere, and int8 activations."""
    WEIGHT_INT8 = "weight-int8"
    """int8 weights, float32 activations: weights become float when the network is loaded."""
    INT16X8 = "int16x8"
    """int8 weights and int16 activations, from calibration."""


class Granularity(StrEnum):
    """Number of scales of a weight tensor."""

    PER_CHANNEL = "per-channel"
    PER_TENSOR = "per-tensor"


class IoType(StrEnum):
    """Type of the file's input and output tensor."""

    INT8 = "int8"
    UINT8 = "uint8"
    FLOAT32 = "float32"


class Layout(StrEnum):
    """Order of the input's axes."""

    NHWC = "nhwc"
    NCHW = "nchw"


class BatchAxis(StrEnum):
    """First axis of the input."""

    ONE = "one"
    NAMED = "named"
    """A free axis named ``batch``."""


class Postprocess(StrEnum):
    """Operators behind the outputs of the network, inside the file."""

    NONE = "none"
    TFLITE = "tflite"
    """TFLite_Detection_PostProcess, in a .tflite: the file gives detections."""
    ONNX = "onnx"
    """NonMaxSuppression and what it needs, in an .onnx: the file gives detections."""
    ARGMAX = "argmax"
    """The class of each pixel in the place of the scores of all classes."""

    @property
    def target(self) -> str | None:
        """Name of the only export target that has these operators; None for all targets."""
        return self.value if self in (Postprocess.TFLITE, Postprocess.ONNX) else None


class WeightRange(StrEnum):
    """Integers that the weights of an int8 ONNX file use.

    x86 cores with AVX2 and no VNNI add the 8-bit products of two neighbours in 16 bits
    (VPMADDUBSW) and saturate: 255 * (127 + 127) is 64,770. Where two neighbouring weights of one
    sign add up to 128 at most they cannot: 255 * 128 is 32,640.
    """

    SATURATION_SAFE = "saturation-safe"
    """Scales with room for two neighbours where 16-bit sums occur (convolutions over channels,
    matrix products); all of [-127, 127] in depthwise convolutions, whose kernels add in 32 bits."""
    FULL = "full"
    """[-127, 127]: for VNNI and Arm, or with ``session.x64quantprecision=1``."""


class Optimization(StrEnum):
    """Amount of work on the integers of an int8 file."""

    CONVERTER = "converter"
    """The scales and weights that TensorFlow's converter or ONNX Runtime's quantizer choose."""
    FAST = "fast"
    """The engine of this project, on few images."""
    DEFAULT = "default"
    """The most accurate in about the time that the converter takes."""
    BEST = "best"
    """Up to three minutes for a network of 300M multiply-adds on two cores."""
    QAT = "qat"
    """Training with quantizers in the network, from the plan of ``best``."""


class RepairType(StrEnum):
    """Type that operators get instead of int8, so that a gate is met."""

    FLOAT32 = "float32"
    INT16 = "int16"
    """int16 activations and int8 weights: in a .tflite, for hardware without float."""


class RangeMethod(StrEnum):
    """Method that chooses the range of an activation from the observed values."""

    MIN_MAX = "min-max"
    """From the smallest to the largest value."""
    MOVING_AVERAGE = "moving-average"
    """Means over the images of each image's smallest and largest value (a moving average of weight
    1/n, which does not depend on the order)."""
    PERCENTILE = "percentile"
    """All but the outermost values at each end."""
    ENTROPY = "entropy"
    """Least Kullback-Leibler divergence of the values from what 256 steps leave of them (Migacz
    2017, 8-bit Inference with TensorRT), searched over both ends."""
    MSE = "mse"
    """Least mean squared error of 256 steps, searched over both ends."""


@dataclass(frozen=True)
class PlanSettings:
    """Settings that a plan is made with: contained in a recipe, and stored in the plan.

    Attributes:
        granularity: number of scales of a convolution weight.
        weight_range: integers that the weights use.
        optimization: amount of work on the integers.
        float_ops: names of operators that stay in float32 in an int8 file.
        ranges: method that chooses the ranges of activations.
        wide_ops: names of operators with int16 activations in an int8 .tflite.
        int16: whether every operator is in int16x8 or in float32, none in int8: the whole file is
            then in int16x8, its input and outputs included.
        floating: precision of a file whose activations stay float numbers, for which weights and
            biases alone are rounded; None where activations are integers.
        bits: 4 for a .tflite with weights in 4 bits where kernels read them; 8 otherwise.
        narrow_ops: names of the operators with weights in 4 bits; with none, all that are worth it
            (``quantize.plans.narrow``).
    """

    granularity: Granularity = Granularity.PER_CHANNEL
    weight_range: WeightRange = WeightRange.SATURATION_SAFE
    optimization: Optimization = Optimization.DEFAULT
    float_ops: tuple[str, ...] = ()
    ranges: RangeMethod = RangeMethod.MIN_MAX
    wide_ops: tuple[str, ...] = ()
    int16: bool = False
    floating: Precision | None = None
    bits: int = 8
    narrow_ops: tuple[str, ...] = ()


FLOATING = (Precision.FLOAT16, Precision.DYNAMIC, Precision.WEIGHT_INT8)
"""Precisions with activations in float, whose weights the engine rounds where it has images."""

INT8_ACTIVATIONS = (Precision.INT8, Precision.INT4)
"""Precisions whose activations are int8."""
