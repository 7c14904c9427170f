"""Google's AI Edge Quantizer, the successor of the TFLite converter's quantizer.

Its GPTQ and OSCAR are left out: release 0.10 has them for fully connected layers alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.accuracy.peer import Job, Peer, Setting, Source, load_images

_SIGNATURE = "serving_default"
_IMAGE = "image"


def _with_signature(path: str) -> bytes:
    """The model with a signature, by which the tool names the input; our files have none."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.tools import flatbuffer_utils

    def ends(name: str, tensors: Any) -> list[Any]:
        end = schema.TensorMapT()
        end.name, end.tensorIndex = name, int(tensors[0])
        return [end]

    model = flatbuffer_utils.read_model(path)
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = _SIGNATURE, 0
    signature.inputs = ends(_IMAGE, model.subgraphs[0].inputs)
    signature.outputs = ends("scores", model.subgraphs[0].outputs)
    model.signatureDefs = [signature]
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def quantize(job: Job) -> None:
    """Static int8 weights and activations for every operator that it supports."""
    from ai_edge_quantizer import algorithm_manager, qtyping, quantizer

    granularity = qtyping.QuantGranularity
    tool = quantizer.Quantizer(_with_signature(job.model))
    tool.add_static_config(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        activation_num_bits=8,
        weight_num_bits=8,
        weight_granularity=granularity.CHANNELWISE if job.per_channel else granularity.TENSORWISE,
        algorithm_key=algorithm_manager.AlgorithmName[job.setting],
    )
    images = load_images(job.images)
    feeds = [{_IMAGE: images[i : i + 1]} for i in range(len(images))]
    ranges = tool.calibrate({_SIGNATURE: feeds})
    quantized = tool.quantize(ranges).quantized_model
    Path(job.result(".tflite")).write_bytes(quantized)


PEER = Peer(
    name="AI Edge Quantizer",
    distributions=("ai-edge-quantizer", "ai-edge-litert"),
    source=Source.TFLITE,
    imports=("ai_edge_quantizer.quantizer", "ai_edge_litert.tools.flatbuffer_utils"),
    settings=(
        Setting("MIN_MAX_UNIFORM_QUANT", "static_wi8_ai8"),
        Setting("MSE", "static_wi8_ai8 with clipping by squared error"),
        Setting("OCTAV", "static_wi8_ai8 with OCTAV clipping"),
    ),
    quantize=quantize,
)
