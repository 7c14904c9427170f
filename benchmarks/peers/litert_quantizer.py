"""Google's LiteRT Quantizer, which was named AI Edge Quantizer up to release 0.10.

Its GPTQ, OSCAR and Hadamard rotations are left out: release 0.11 has them for fully connected
layers alone. Ranges of activations are its moving average of each image's extremes in every
setting. Weights in 4 bits are for CONV_2D and FULLY_CONNECTED; depthwise weights stay in int8.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.accuracy.peer import Job, Peer, Setting, Source, load_images, tflite_feeds

_INT4 = "int4, "
_MIN_MAX = "MIN_MAX_UNIFORM_QUANT"
_ALGORITHMS = {
    _MIN_MAX: "",
    "MSE": ", weights clipped by squared error",
    "OCTAV": ", weights clipped by OCTAV",
}
_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_NARROW = ("CONV_2D", "FULLY_CONNECTED")


def quantize(job: Job) -> None:
    """Static int8 activations, and weights of int8 or int4, for every operator that it supports."""
    from litert_quantizer import algorithm_manager, calibrator, qtyping, quantizer

    tool = quantizer.Quantizer(job.model)
    granularity = qtyping.QuantGranularity

    def add(operator: str, algorithm: str, bits: int) -> None:
        tool.add_static_config(
            regex=".*",
            operation_name=qtyping.TFLOperationName[operator],
            activation_num_bits=8,
            weight_num_bits=bits,
            weight_granularity=granularity.CHANNELWISE
            if job.per_channel
            else granularity.TENSORWISE,
            algorithm_key=algorithm_manager.AlgorithmName[algorithm],
        )

    bits = 4 if job.setting.startswith(_INT4) else 8
    add("ALL_SUPPORTED", _MIN_MAX, 8)  # MSE alone would leave ADD and MEAN in float
    for operator in _WEIGHTED:
        add(operator, job.setting.removeprefix(_INT4), bits if operator in _NARROW else 8)
    ranges = tool.calibrate(
        tflite_feeds(job.model, load_images(job.images)),
        mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,  # as its guide recommends
    )
    quantized = tool.quantize(ranges).quantized_model
    Path(job.result(".tflite")).write_bytes(quantized)


PEER = Peer(
    name="LiteRT Quantizer",
    distributions=("litert-quantizer", "ai-edge-litert"),
    source=Source.TFLITE,
    imports=("litert_quantizer.quantizer", "ai_edge_litert.interpreter"),
    settings=(
        *(Setting(name, f"static_wi8_ai8{how}") for name, how in _ALGORITHMS.items()),
        *(
            Setting(f"{_INT4}{name}", f"static_wi4_ai8{how}; depthwise weights static_wi8_ai8")
            for name, how in _ALGORITHMS.items()
        ),
    ),
    quantize=quantize,
)
