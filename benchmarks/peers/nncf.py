"""Intel's NNCF on its ONNX backend."""

from __future__ import annotations

from typing import Any

from benchmarks.accuracy.peer import Job, Peer, Setting, Source, load_images, onnx_feeds

_FAST = "fast bias correction"
_ACCURATE = "accurate bias correction"
_ALIGNED = "accurate bias correction, channel alignment"


def quantize(job: Job) -> None:
    """The mixed preset (symmetric weights, asymmetric activations), no overflow fix."""
    import nncf
    import onnx
    from nncf.quantization.advanced_parameters import (
        AdvancedQuantizationParameters,
        OverflowFix,
        QuantizationParameters,
    )

    feeds = onnx_feeds(job.model, load_images(job.images))
    advanced = AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.DISABLE,
        disable_channel_alignment=job.setting != _ALIGNED,
        weights_quantization_params=QuantizationParameters(per_channel=job.per_channel),
    )
    quantized: Any = nncf.quantize(
        onnx.load(job.model),
        nncf.Dataset(feeds),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(feeds),
        fast_bias_correction=job.setting == _FAST,
        advanced_parameters=advanced,
    )
    onnx.save(quantized, job.result(".onnx"))


PEER = Peer(
    name="NNCF",
    distributions=("nncf", "onnx", "onnxruntime"),
    source=Source.ONNX,
    imports=("nncf", "onnx", "onnxruntime"),
    settings=(
        Setting(_FAST, "preset mixed, overflow_fix off"),
        Setting(_ACCURATE, "preset mixed, overflow_fix off, fast_bias_correction=False"),
        Setting(_ALIGNED, "as before, disable_channel_alignment=False"),
    ),
    quantize=quantize,
)
