"""ONNX Runtime's quantize_static after its own pre-processing, as its guide recommends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.accuracy.peer import Job, Peer, Setting, Source, load_images, onnx_feeds


def quantize(job: Job) -> None:
    """QDQ with uint8 activations and int8 weights."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    feeds = onnx_feeds(job.model, load_images(job.images))

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Hands the calibration tensors out once."""

        def __init__(self) -> None:
            self._feeds = iter(feeds)

        def get_next(self) -> dict[str, Any] | None:
            """The next feed; None at the end."""
            return next(self._feeds, None)

    method, _, rest = job.setting.partition(", ")
    prepared = str(Path(job.output) / "prepared.tmp")
    quant_pre_process(job.model, prepared, skip_symbolic_shape=True)  # all shapes are fixed
    quantize_static(
        prepared,
        job.result(".onnx"),
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=job.per_channel,
        reduce_range="7-bit" in rest,
        calibrate_method=CalibrationMethod[method],
        extra_options={
            "CalibMovingAverage": "average" in rest,
            "CalibTensorRangeSymmetric": False,
        },
    )
    Path(prepared).unlink()


PEER = Peer(
    name="ONNX Runtime",
    distributions=("onnxruntime", "onnx"),
    source=Source.ONNX,
    imports=("onnx", "onnxruntime.quantization", "onnxruntime.quantization.shape_inference"),
    settings=(
        Setting("MinMax", "quant_pre_process, min-max ranges"),
        Setting("MinMax, average", "quant_pre_process, moving average of min-max ranges"),
        Setting("MinMax, 7-bit", "quant_pre_process, min-max ranges, reduce_range"),
        Setting("Percentile", "quant_pre_process, percentile ranges", slow=True),
        Setting("Entropy", "quant_pre_process, ranges of least divergence", slow=True),
    ),
    quantize=quantize,
)
