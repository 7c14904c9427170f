"""Changes of scale and type.

Source: Requantize and AffineQuantize of tensorflow/lite/kernels/internal/reference, and the Prepare
function of quantize.cc beside it.
"""

from __future__ import annotations

import numpy as np

from network.oracle.call import Call, Kernel, rescaling

QUANTIZE = "QUANTIZE"
DEQUANTIZE = "DEQUANTIZE"


def quantize(call: Call) -> tuple[np.ndarray, ...]:
    """QUANTIZE: from float32, or from another scale or integer type."""
    if call.sources[0] is None:
        return (call.result.quantize(call.array(0)),)
    return (call.stored(rescaling(call).apply(call.centred(wide=True))),)


def dequantize(call: Call) -> tuple[np.ndarray, ...]:
    """DEQUANTIZE to float32."""
    return (call.source().dequantize(call.array(0)),)


KERNELS: dict[str, Kernel] = {
    QUANTIZE: quantize,
    DEQUANTIZE: dequantize,
}
