"""Intel's Neural Compressor, at the last release that takes ONNX: releases 3 do not.

It reads ``onnx.mapping``, which onnx has up to release 1.18, and needs NumPy 1.
"""

from __future__ import annotations

from typing import Any

from benchmarks.accuracy.peer import Job, Peer, Setting, Source, load_images, onnx_feeds


def quantize(job: Job) -> None:
    """Static QDQ at quantization level 1, without its search over operators."""
    import onnx
    from neural_compressor import PostTrainingQuantConfig
    from neural_compressor import quantization as quantizer

    feeds = onnx_feeds(job.model, load_images(job.images))
    name = next(iter(feeds[0]))

    class Loader:
        """Image and a label that nobody reads, as the tool wants them."""

        batch_size = 1

        def __iter__(self) -> Any:
            return iter([(feed[name], 0) for feed in feeds])

        def __len__(self) -> int:
            return len(feeds)

    algorithm, _, rest = job.setting.partition(", ")
    config = PostTrainingQuantConfig(
        approach="static",
        quant_format="QDQ",
        quant_level=1,
        calibration_sampling_size=[len(feeds)],
        reduce_range="7-bit" in rest,
        op_type_dict={
            ".*": {
                "weight": {
                    "granularity": ["per_channel" if job.per_channel else "per_tensor"],
                    "scheme": ["sym"],
                },
                "activation": {"scheme": ["asym"], "algorithm": [algorithm]},
            }
        },
    )
    quantized: Any = quantizer.fit(
        model=onnx.load(job.model), conf=config, calib_dataloader=Loader()
    )
    quantized.save(job.result(".onnx"))


PEER = Peer(
    name="Neural Compressor",
    distributions=("neural-compressor", "onnx", "onnxruntime"),
    source=Source.ONNX,
    imports=("neural_compressor", "neural_compressor.quantization", "onnx", "onnxruntime"),
    settings=(
        Setting("minmax", "min-max ranges, reduce_range off"),
        Setting("minmax, 7-bit", "min-max ranges, reduce_range (its default without VNNI)"),
        Setting("percentile", "percentile ranges, reduce_range off", slow=True),
    ),
    quantize=quantize,
)
