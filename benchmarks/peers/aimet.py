"""Qualcomm's AIMET on ONNX: equalization, weight clipping and adaptive rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.accuracy.peer import Job, Peer, Setting, Source, load_images, onnx_feeds

_KEPT = "ReLU6 kept"
"""AIMET equalizes after it has made ReLU of every ReLU6 that it recognizes, which changes the float
network; those whose limits are initializers it leaves, and equalizes linear pairs alone."""

_CLIPPING_IMAGES = 16
_ROUNDING_IMAGES = 64
_ROUNDING_STEPS = 1000


def _with_constant_nodes(model: Any) -> Any:
    """The model with the limits of Clip as Constant nodes, where AIMET's equalization looks."""
    import onnx

    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    limits = [name for n in model.graph.node if n.op_type == "Clip" for name in n.input[1:] if name]
    moved = [
        onnx.helper.make_node("Constant", [], [name], name=f"{name}.node", value=constants[name])
        for name in dict.fromkeys(limits)
        if name in constants
    ]
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*moved, *nodes])
    for node in moved:
        model.graph.initializer.remove(constants[node.output[0]])
    return model


def _fuse_activations(sim: Any) -> None:
    """No quantizer between a convolution and its ReLU or ReLU6, nor on the limits of a ReLU6.

    AIMET's configurations spare the pair where it is Conv and Relu and not depthwise; every
    runtime fuses the others too.
    """
    nodes = list(sim.model.nodes())
    convolved = {node.output[0] for node in nodes if node.op_type == "Conv"}
    for node in nodes:
        if node.op_type in ("Clip", "Relu"):
            spared = [name for name in node.input if name.removesuffix("_updated") in convolved]
            for name in (*spared, *node.input[1:]):
                name = name.removesuffix("_qdq").removesuffix("_updated")
                if name in sim.qc_quantize_op_dict:
                    sim.qc_quantize_op_dict[name].enabled = False


def quantize(job: Job) -> None:
    """QuantSim of int8 weights and 8-bit activations, exported as QDQ."""
    import aimet_onnx
    import onnx
    from aimet_onnx.cross_layer_equalization import equalize_model

    feeds = onnx_feeds(job.model, load_images(job.images))
    steps = job.setting.split(", ")
    model = onnx.load(job.model)
    if _KEPT not in steps:
        model = _with_constant_nodes(model)
    if "equalized" in steps:
        equalize_model(model)
    folder = Path(aimet_onnx.__file__).parent / "common" / "quantsim_config"
    config = "default_config_per_channel.json" if job.per_channel else "default_config.json"
    sim = aimet_onnx.QuantizationSimModel(
        model,
        param_type="int8",
        activation_type="int8",
        quant_scheme="tf_enhanced" if "enhanced" in steps else "min_max",
        config_file=str(folder / config),
    )
    _fuse_activations(sim)
    if "sequential MSE" in steps:
        aimet_onnx.apply_seq_mse(sim, feeds[:_CLIPPING_IMAGES])
    if "AdaRound" in steps:
        aimet_onnx.apply_adaround(sim, feeds[:_ROUNDING_IMAGES], num_iterations=_ROUNDING_STEPS)
    sim.compute_encodings(feeds)
    written = sim.to_onnx_qdq(export_int32_bias=True, prequantize_constants=True)
    onnx.save(written, job.result(".onnx"))


PEER = Peer(
    name="AIMET",
    distributions=("aimet-onnx", "torch", "onnx", "onnxruntime"),
    source=Source.ONNX,
    imports=("aimet_onnx", "aimet_onnx.cross_layer_equalization", "onnx", "torch"),
    settings=(
        Setting("min-max", "min-max ranges"),
        Setting("equalized", "cross-layer equalization, min-max ranges"),
        Setting(f"equalized, {_KEPT}", "cross-layer equalization of linear pairs, min-max ranges"),
        Setting("equalized, enhanced", "cross-layer equalization, tf_enhanced ranges"),
        Setting("sequential MSE", f"apply_seq_mse on {_CLIPPING_IMAGES} images", slow=True),
        Setting(
            "AdaRound",
            f"apply_adaround, {_ROUNDING_STEPS} steps on {_ROUNDING_IMAGES} images",
            slow=True,
        ),
        Setting(
            "equalized, AdaRound", "cross-layer equalization, then AdaRound as above", slow=True
        ),
    ),
    quantize=quantize,
)
