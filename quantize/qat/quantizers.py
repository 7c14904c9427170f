"""TF-MOT's quantizers with the scales of a plan.

TF-MOT's 8-bit scheme measures ranges anew, quantizes weights before batch norm is folded, and has
one scale for all channels of a depthwise weight; a plan has decided all that already.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np

from network.affine import QuantParams

WEIGHT_LIMIT = 127
"""Largest magnitude of an integer weight (TFLite's specification excludes -128)."""


@dataclass(frozen=True)
class Quantizers:
    """Quantizers of a layer's weight, bias and result.

    Attributes:
        kernel: name of the layer's attribute with its weight; empty for none.
        scales: scale of each number of the weight, in its shape.
        limit: largest magnitude of an integer of the weight.
        bias_unit: real number that a bias of 1 stands for.
        output: parameters of the result; None for a float32 result.
    """

    kernel: str = ""
    scales: np.ndarray | None = field(default=None, repr=False)
    limit: int = WEIGHT_LIMIT
    bias_unit: float = 1.0
    output: QuantParams | None = None

    def with_output(self, output: QuantParams | None) -> Quantizers:
        """Same quantizers with these parameters of the result."""
        return replace(self, output=output)


def wrapped(layer: Any, quantizers: Quantizers) -> Any:
    """Layer inside TF-MOT's wrapper; the layer itself where nothing is quantized."""
    if not quantizers.kernel and quantizers.output is None:
        return layer
    import tensorflow_model_optimization as tfmot

    config = _config_class()(quantizers)
    return tfmot.quantization.keras.QuantizeWrapperV2(layer, config)


@cache
def _config_class() -> Any:
    """Class of the QuantizeConfig, made when TF-MOT is imported."""
    import tensorflow_model_optimization as tfmot

    class PlanConfig(tfmot.quantization.keras.QuantizeConfig):  # type: ignore[misc]
        def __init__(self, quantizers: Quantizers) -> None:
            self.quantizers = quantizers

        def get_weights_and_quantizers(self, layer: Any) -> list[tuple[Any, Any]]:
            quantizers = self.quantizers
            if not quantizers.kernel:
                return []
            of_weight = _weight_quantizer(quantizers.scales, quantizers.limit)
            return [
                (getattr(layer, quantizers.kernel), of_weight),
                (layer.bias, _bias_quantizer(quantizers.bias_unit)),
            ]

        def set_quantize_weights(self, layer: Any, quantize_weights: list[Any]) -> None:
            if self.quantizers.kernel:
                kernel, bias = quantize_weights
                setattr(layer, self.quantizers.kernel, kernel)
                layer.bias = bias

        def get_activations_and_quantizers(self, layer: Any) -> list[Any]:  # noqa: ARG002
            return []

        def set_quantize_activations(self, layer: Any, quantize_activations: Any) -> None:
            """Nothing to do: no activation is inside a layer here."""

        def get_output_quantizers(self, layer: Any) -> list[Any]:  # noqa: ARG002
            output = self.quantizers.output
            return [] if output is None else [_result_quantizer(output)]

        def get_config(self) -> dict[str, Any]:
            return {"quantizers": self.quantizers}

    return PlanConfig


def _weight_quantizer(scales: Any, limit: int) -> Any:
    """Quantizer from steps to float weights ``round(clip(steps)) * scales``.

    Gradients pass as if nothing were rounded.
    """
    import tensorflow as tf

    def quantize(steps: Any) -> Any:
        clipped = tf.clip_by_value(steps, -limit, limit)
        rounded = clipped + tf.stop_gradient(tf.round(clipped) - clipped)
        return rounded * tf.constant(scales)

    return _quantizer(quantize)


def _bias_quantizer(unit: float) -> Any:
    """Quantizer from units to a float bias: the steps of int32 are too fine to matter."""
    return _quantizer(lambda bias: bias * np.float32(unit))


def _result_quantizer(params: QuantParams) -> Any:
    """Quantizer to integers and back; gradients pass only within the range."""
    import tensorflow as tf

    low, high = params.real_range
    return _quantizer(lambda value: tf.quantization.fake_quant_with_min_max_args(value, low, high))


def _quantizer(function: Any) -> Any:
    import tensorflow_model_optimization as tfmot

    class Fixed(tfmot.quantization.keras.quantizers.Quantizer):  # type: ignore[misc]
        def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:  # noqa: ARG002
            return {}

        def __call__(self, inputs: Any, training: Any, weights: Any, **_: Any) -> Any:  # noqa: ARG002
            return function(inputs)

        def get_config(self) -> dict[str, Any]:
            return {}

    return Fixed()
