"""ONNX Runtime for the export: without log output, on the CPU, from bytes in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from export.onnx.graph import INPUT_NAME
from foundation.errors import UnsupportedError
from foundation.foreign import DAMAGE, reason_of
from foundation.telemetry import switch_off
from quantize.settings import Layout

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import onnx

ERROR_SEVERITY = 4
"""ONNX Runtime's level for fatal messages only; errors are raised anyway."""


def runtime() -> Any:
    """Import ``onnxruntime`` with its telemetry off; nothing else imports it."""
    switch_off()
    import onnxruntime

    return onnxruntime


def open_session(content: bytes, optimized: Path | None = None) -> Any:
    """Load a model on the CPU.

    Args:
        content: bytes of an ONNX file.
        optimized: path to which the runtime writes its optimized graph; None to write none.

    Raises:
        UnsupportedError: the runtime has no kernel for an operator, or the model is not valid.
    """
    onnxruntime = runtime()
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERROR_SEVERITY
    if optimized is not None:
        options.optimized_model_filepath = str(optimized)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except (*_errors(state), *DAMAGE) as error:
        raise UnsupportedError(
            "ONNX Runtime must be able to load the file",
            received=reason_of(error),
            remedy="replace the layer that it names",
        ) from error


def _errors(state: Any) -> tuple[type[Exception], ...]:
    """ONNX Runtime's exceptions, which do not share a base class."""
    return (
        state.Fail, state.InvalidArgument, state.InvalidGraph, state.InvalidProtobuf,
        state.NotImplemented, state.RuntimeException,
    )  # fmt: skip


def run_model(model: onnx.ModelProto, images: np.ndarray, layout: Layout) -> np.ndarray:
    """First output of ``run_outputs``."""
    return run_outputs(model, images, layout)[0]


def run_outputs(
    model: onnx.ModelProto, images: np.ndarray, layout: Layout
) -> tuple[np.ndarray, ...]:
    """Run images through a model whose batch is free or 1.

    Args:
        model: model with the input ``image``.
        images: float32 ``[batch, *shape]``, channels last.
        layout: layout of the model's input.

    Returns:
        float32 ``[batch, ...]`` for each output, in the model's order.

    Raises:
        UnsupportedError: ONNX Runtime cannot load or run it.
    """
    import numpy as np
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    session = open_session(model.SerializeToString())
    batches = [images]
    if isinstance(session.get_inputs()[0].shape[0], int):
        batches = [images[i : i + 1] for i in range(len(images))]
    try:
        outputs = [session.run(None, {INPUT_NAME: in_layout(b, layout)}) for b in batches]
    except (*_errors(state), *DAMAGE) as error:
        raise UnsupportedError(
            "ONNX Runtime must be able to run the file",
            received=reason_of(error),
            remedy="replace the layer that it names",
        ) from error
    return tuple(np.concatenate(values) for values in zip(*outputs, strict=True))


def in_layout(images: np.ndarray, layout: Layout) -> np.ndarray:
    """Inputs ``[batch, *shape]``, channels last, in the layout of a file, contiguous."""
    import numpy as np

    four = images.ndim == 4
    moved = images.transpose(0, 3, 1, 2) if four and layout is Layout.NCHW else images
    return np.ascontiguousarray(moved, np.float32)
