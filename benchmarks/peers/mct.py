"""Sony's Model Compression Toolkit on PyTorch, from the ONNX file by onnx2torch.

It exports fake quantization: weights on the int8 grid but stored in float32, and QDQ pairs on the
activations. ONNX Runtime would quantize such weights again, with one scale each, and answer by
chance; so they are stored here as the integers that they are. Of its platforms the default one
(IMX500) is used: release 2.6.1 stops with an error on the one for TFLite, and leaves the weights of
PyTorch's convolutions in float on the one for QNNPACK.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from benchmarks.accuracy.peer import PER_CHANNEL, Job, Peer, Setting, Source, load_images

_EPOCHS = 5
_BATCH = 10
_ON_GRID = 0.02
"""Steps that a stored weight may be off its integer by float32 rounding."""

_LIBRARIES: list[Any] = []


def _declare_torchvision() -> None:
    """Let torchvision, which onnx2torch imports and does not need here, load beside a CPU torch.

    PyPI's torchvision is built for CUDA: its operators do not load then, and it fails to describe
    the two that it takes for granted.
    """
    import torch

    if not hasattr(torch.ops.torchvision, "nms"):
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _LIBRARIES.append(library)


def _grid_step(values: Any) -> Any:
    """The step of each row of weights: the largest of which all are 128-fold at most."""
    import numpy as np

    reach = np.abs(values).max(axis=1)
    steps = np.where(reach > 0, reach / 128, 1.0)
    for most in range(1, 129):
        step = np.where(reach > 0, reach / most, 1.0)
        off = np.abs(values / step[:, None] - np.round(values / step[:, None])).max(axis=1)
        steps = np.where((off < _ON_GRID) & (step > steps), step, steps)
    return steps.astype(np.float32)


def _with_integers(model: Any) -> Any:
    """The model with int8 weights and their DequantizeLinear, a scale for each output channel."""
    import numpy as np
    import onnx

    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    readers: dict[str, Any] = {
        node.input[1]: node for node in model.graph.node if node.op_type in ("Conv", "Gemm")
    }
    added = []
    for name, node in readers.items():
        weights = onnx.numpy_helper.to_array(stored[name])
        steps = _grid_step(weights.reshape(len(weights), -1))
        shaped = steps.reshape(-1, *[1] * (weights.ndim - 1))
        integers = np.round(weights / shaped)
        if np.abs(integers).max() > 128 or np.abs(weights / shaped - integers).max() > _ON_GRID:
            raise ValueError(f"{name} is not on a grid of 8 bits")
        integers = np.clip(integers, -128, 127)
        zeros = np.zeros(len(steps), np.int8)
        parts = {"q": integers.astype(np.int8), "scale": steps, "zero": zeros}
        for part, value in parts.items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(value, f"{name}.{part}"))
        inputs = [f"{name}.{part}" for part in parts]
        added.append(onnx.helper.make_node("DequantizeLinear", inputs, [f"{name}.dq"], axis=0))
        node.input[1] = f"{name}.dq"
        model.graph.initializer.remove(stored[name])
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*added, *nodes])
    return model


def quantize(job: Job) -> None:
    """Post-training quantization, plain or followed by its gradient-based rounding."""
    import torch

    _declare_torchvision()
    import model_compression_toolkit as mct
    import onnx
    import onnx2torch
    from model_compression_toolkit.exporter import QuantizationFormat

    torch.manual_seed(0)
    images = torch.from_numpy(load_images(job.images))
    network = onnx2torch.convert(job.model).eval()

    def batches() -> Iterator[list[Any]]:
        for start in range(0, len(images), _BATCH):
            yield [images[start : start + _BATCH]]

    capabilities = mct.get_target_platform_capabilities()
    core = mct.core.CoreConfig(
        quantization_config=mct.core.QuantizationConfig(shift_negative_activation_correction=True)
    )
    if job.setting == "GPTQ":
        config = mct.gptq.get_pytorch_gptq_config(
            _EPOCHS, use_hessian_based_weights=False, use_hessian_sample_attention=False
        )
        quantized, _ = mct.gptq.pytorch_gradient_post_training_quantization(
            network, batches, core_config=core, gptq_config=config,
            target_platform_capabilities=capabilities,
        )  # fmt: skip
    else:
        quantized, _ = mct.ptq.pytorch_post_training_quantization(
            network, batches, core_config=core, target_platform_capabilities=capabilities
        )
    # The toolkit calls PyTorch's exporter as it was before 2.9; this process does nothing else.
    torch.onnx.export = partial(torch.onnx.export, dynamo=False)
    mct.exporter.pytorch_export_model(
        quantized,
        job.result(".onnx"),
        batches,
        quantization_format=QuantizationFormat.FAKELY_QUANT,
        onnx_opset_version=17,
    )
    onnx.save(_with_integers(onnx.load(job.result(".onnx"))), job.result(".onnx"))


_PER_CHANNEL = (PER_CHANNEL,)
PEER = Peer(
    name="MCT",
    distributions=("model-compression-toolkit", "torch", "onnx2torch", "onnx"),
    source=Source.ONNX,
    imports=("torch", "onnx"),
    settings=(
        Setting("PTQ", "its default platform", _PER_CHANNEL),
        Setting(
            "GPTQ",
            f"as before, gradient-based rounding for {_EPOCHS} epochs",
            _PER_CHANNEL,
            slow=True,
        ),
    ),
    quantize=quantize,
)
