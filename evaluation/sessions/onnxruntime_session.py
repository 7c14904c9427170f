"""Sessions of ONNX Runtime on this machine's CPU: default, and with exact int8 sums on x86."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.session import Runtime, RuntimeInfo
from evaluation.sessions.tensor_io import (
    InputTensor,
    joined,
    only_output,
    require_one,
    require_outputs,
)
from export.onnx.runtime import runtime
from foundation.errors import InvalidInputError
from foundation.foreign import DAMAGE, require_regular

if TYPE_CHECKING:
    import numpy as np

_LOADABLE = "an .onnx file is one that ONNX Runtime can load and run"
_REMEDY = "export the file again"
_WHOLE_TYPES = ("tensor(int32)", "tensor(int64)")
"""Types of outputs of class numbers, as those of ArgMax are."""
_FLOAT_TYPES = {"tensor(float)": "float32", "tensor(float16)": "float16"}


@dataclass(frozen=True)
class _Mode:
    """A configuration of ONNX Runtime.

    Attributes:
        runtime: registered name.
        kernels: name of the kernels in RuntimeInfo.
        entries: session configuration that only this mode has.
    """

    runtime: str
    kernels: str
    entries: tuple[tuple[str, str], ...] = ()


_DEFAULT = _Mode("onnxruntime", "MLAS")
_PRECISE = _Mode(
    "onnxruntime-precise",
    "MLAS, x64quantprecision=1",
    (("session.x64quantprecision", "1"),),
)


class OnnxRuntimeSession:
    """An .onnx file in ONNX Runtime's CPU provider.

    Inputs and outputs are float32 or float16, in NHWC or NCHW order; outputs may be class numbers.
    Where the batch is free, images run one at a time: a dynamically quantized file scales its
    activations over the whole batch, so that answers would depend on the other images.

    Attributes:
        info: runtime, version and kernels.
        outputs: names of the outputs.
    """

    def __init__(self, path: Path, threads: int, mode: _Mode) -> None:
        self._source = path.name
        self._session = _inference_session(path, threads, mode)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        require_one("input", len(inputs), path.name)
        require_outputs(len(outputs), path.name)
        self._input = inputs[0].name
        self.outputs = tuple(str(output.name) for output in outputs)
        self._dtype = _float_type(inputs[0], path.name)
        for output in outputs:
            if output.type not in _WHOLE_TYPES:
                _float_type(output, path.name)
        image = InputTensor.of_file(path, inputs[0].shape)
        self._images = image.with_batch(image.batch or 1)
        self.batch = self._images.batch or 1
        self.info = RuntimeInfo(mode.runtime, runtime().__version__, mode.kernels, threads)

    def run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """See Session.run."""
        results = []
        for chunk, wanted in self._images.chunks(images):
            outputs = self._run(chunk.astype(self._dtype))
            results.append([output[:wanted] for output in outputs])
        return joined(results, self._source)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """See Session.predict."""
        return only_output(self.run(images), self._source)

    def timed_call(self, image: np.ndarray) -> Callable[[], object]:
        """See Session.timed_call; the tensors are bound, so no copy is inside the clock."""
        onnxruntime = runtime()
        pixels = self._images.single(image).astype(self._dtype)
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self._input, onnxruntime.OrtValue.ortvalue_from_numpy(pixels))
        for name in self.outputs:
            binding.bind_output(name)
        return partial(self._session.run_with_iobinding, binding)

    def _run(self, images: np.ndarray) -> list[np.ndarray]:
        try:
            outputs: list[np.ndarray] = self._session.run(list(self.outputs), {self._input: images})
        except _errors() as error:
            raise _unreadable(self._source, error) from error
        return outputs


def _inference_session(path: Path, threads: int, mode: _Mode) -> Any:
    require_regular(path, _LOADABLE, _REMEDY)
    onnxruntime = runtime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # Spinning threads would take the cores of the other sessions that run at the same time.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    for key, value in mode.entries:
        options.add_session_config_entry(key, value)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except _errors() as error:
        raise _unreadable(str(path), error) from error


def _errors() -> tuple[type[Exception], ...]:
    """ONNX Runtime's exceptions, which do not share a base class, and those of damaged files.

    A message that is not UTF-8 is raised as UnicodeDecodeError, for instance.
    """
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    return (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NoModel,
        state.NoSuchFile,
        state.NotImplemented,
        state.RuntimeException,
        *DAMAGE,
    )


def _unreadable(source: str, error: Exception) -> InvalidInputError:
    reason = " ".join(str(error).split()).removeprefix("[ONNXRuntimeError] : ")
    received = f"{source} ({reason.rstrip('.')})"
    return InvalidInputError(_LOADABLE, received=received, remedy=_REMEDY)


def _float_type(tensor: Any, source: str) -> str:
    if tensor.type not in _FLOAT_TYPES:
        raise InvalidInputError(
            "inputs and outputs of an .onnx network are float32 or float16",
            received=f"{source} with {tensor.type} in {tensor.name}",
            remedy="export it with float32 input and output",
        )
    return _FLOAT_TYPES[tensor.type]


def _open(mode: _Mode, path: Path, threads: int) -> OnnxRuntimeSession:
    return OnnxRuntimeSession(path, threads, mode)


RUNTIMES = (
    Runtime(
        name=_DEFAULT.runtime,
        summary="ONNX Runtime's CPU provider as it comes",
        suffixes=(".onnx",),
        open=partial(_open, _DEFAULT),
        module="onnxruntime",
        default=True,
    ),
    Runtime(
        name=_PRECISE.runtime,
        summary="ONNX Runtime with session.x64quantprecision=1: no 16-bit saturation on x86",
        suffixes=(".onnx",),
        open=partial(_open, _PRECISE),
        module="onnxruntime",
    ),
)
