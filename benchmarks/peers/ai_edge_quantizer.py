"""Google's AI Edge Quantizer, whose last release is 0.10: LiteRT Quantizer goes on with it.

Its GPTQ and OSCAR are left out: release 0.10 has them for fully connected layers alone.
Its MSE has neither ADD nor MEAN, which stay in float there.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.accuracy.peer import Job, Peer, Setting, Source, load_images, tflite_feeds


def quantize(job: Job) -> None:
    """Static int8 weights and activations for every operator that it supports."""
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

    granularity = qtyping.QuantGranularity
    tool = quantizer.Quantizer(job.model)
    tool.add_static_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        activation_num_bits=8,
        weight_num_bits=8,
        weight_granularity=granularity.CHANNELWISE if job.per_channel else granularity.TENSORWISE,
        algorithm_key=algorithm_manager.AlgorithmName[job.setting],
    )
    ranges = tool.calibrate(tflite_feeds(job.model, load_images(job.images)))
    quantized = tool.quantize(ranges).quantized_model
    Path(job.result(".tflite")).write_bytes(quantized)


PEER = Peer(
    name="AI Edge Quantizer",
    distributions=("ai-edge-quantizer", "ai-edge-litert"),
    source=Source.TFLITE,
    imports=("ai_edge_quantizer.quantizer", "ai_edge_litert.interpreter"),
    settings=(
        Setting("MIN_MAX_UNIFORM_QUANT", "static_wi8_ai8"),
        Setting("MSE", "static_wi8_ai8 with clipping by squared error"),
        Setting("OCTAV", "static_wi8_ai8 with OCTAV clipping"),
    ),
    quantize=quantize,
)
