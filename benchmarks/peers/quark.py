"""AMD's Quark for ONNX: equalization, bias correction and adaptive rounding."""

from __future__ import annotations

from typing import Any

from benchmarks.accuracy.peer import Job, Peer, Setting, Source, load_images, onnx_feeds

_ROUNDING_IMAGES = 64


def quantize(job: Job) -> None:
    """QDQ with int8 weights and uint8 activations on float scales."""
    from onnxruntime.quantization.calibrate import CalibrationDataReader
    from quark.onnx import ModelQuantizer
    from quark.onnx.quantization.config import algorithm, spec
    from quark.onnx.quantization.config.config import QConfig

    feeds = onnx_feeds(job.model, load_images(job.images))

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Hands the calibration tensors out, anew after a rewind."""

        def __init__(self) -> None:
            self.rewind()

        def rewind(self) -> None:
            """Start again."""
            self._feeds = iter(feeds)

        def get_next(self) -> dict[str, Any] | None:
            """The next feed; None at the end."""
            return next(self._feeds, None)

        def __len__(self) -> int:
            return len(feeds)

    steps = job.setting.split(", ")
    made: dict[str, Any] = {
        "equalized": lambda: algorithm.CLEConfig(cle_steps=-1),
        "bias correction": algorithm.BiasCorrectionConfig,
        "AdaRound": lambda: algorithm.AdaRoundConfig(
            num_iterations=1000, learning_rate=0.1, data_size=_ROUNDING_IMAGES, batch_size=2
        ),
        "AdaQuant": lambda: algorithm.AdaQuantConfig(
            num_iterations=1000, learning_rate=1e-5, data_size=_ROUNDING_IMAGES, batch_size=2
        ),
    }
    granularity = spec.QuantGranularity
    minmax = spec.CalibMethod.MinMax
    config = QConfig(
        global_config=spec.QLayerConfig(
            activation=spec.UInt8Spec(calibration_method=minmax),
            weight=spec.Int8Spec(
                calibration_method=minmax,
                quant_granularity=granularity.Channel if job.per_channel else granularity.Tensor,
            ),
        ),
        algo_config=[made[step]() for step in steps if step in made],
    )
    ModelQuantizer(config).quantize_model(job.model, job.result(".onnx"), Reader())


PEER = Peer(
    name="Quark",
    distributions=("amd-quark", "torch", "onnx", "onnxruntime"),
    source=Source.ONNX,
    imports=("onnx", "torch", "quark.onnx"),
    settings=(
        Setting("MinMax", "min-max ranges"),
        Setting("equalized", "cross-layer equalization until it settles"),
        Setting("bias correction", "empirical bias correction"),
        Setting(
            "AdaRound", f"adaptive rounding, 1,000 steps on {_ROUNDING_IMAGES} images", slow=True
        ),
        Setting("AdaQuant", f"AdaQuant, 1,000 steps on {_ROUNDING_IMAGES} images", slow=True),
    ),
    quantize=quantize,
)
