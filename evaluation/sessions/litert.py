"""Sessions of LiteRT (TensorFlow Lite) on this machine's CPU, with a choice of kernels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
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
from foundation.errors import InvalidInputError
from foundation.foreign import DAMAGE, require_regular

if TYPE_CHECKING:
    import numpy as np

    from network.affine import QuantParams

_LOADABLE = "a .tflite file is one that LiteRT can load and run"
_REMEDY = "export the file again"


@dataclass(frozen=True)
class _Kernels:
    """A choice of kernels.

    Attributes:
        runtime: registered name.
        resolver: member of ``ai_edge_litert.interpreter.OpResolverType``.
        words: name of the kernels in reports.
    """

    runtime: str
    resolver: str
    words: str


_PLAIN = _Kernels("litert-plain", "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "LiteRT optimized")
_REFERENCE = _Kernels("litert-reference", "BUILTIN_REF", "LiteRT reference")
_XNNPACK = _Kernels("litert-xnnpack", "BUILTIN", "XNNPACK")


class LiteRTSession:
    """A .tflite file in LiteRT's interpreter.

    Inputs and outputs are float32, int8, uint8 or int16; scales and zero points come from the file.
    Outputs may be whole numbers without a scale, as those of ARG_MAX are.
    Every call runs as many images as the file's batch, or one where that is free.

    Attributes:
        outputs: names of the outputs in the SignatureDef, or of their tensors without one.
        info: runtime and version; ``kernels`` says whether XNNPACK left operators to LiteRT.
    """

    def __init__(self, path: Path, threads: int, kernels: _Kernels) -> None:
        self._source = path.name
        self._interpreter = _interpreter(path, threads, kernels)
        inputs = self._interpreter.get_input_details()
        named = _named_outputs(self._interpreter, path.name)
        require_one("input", len(inputs), path.name)
        require_outputs(len(named), path.name)
        self.outputs = tuple(named)
        self._input = inputs[0]["index"]
        self._images = _image_input(inputs[0], path)
        self.batch = self._images.batch or 1
        self._allocate()
        self._input_params = _params(inputs[0], path.name)
        self._results = [
            (d["index"], None if _counts(d) else _params(d, path.name)) for d in named.values()
        ]
        self.info = RuntimeInfo(
            kernels.runtime, version("ai-edge-litert"), self._kernels_used(kernels), threads
        )

    def run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """See Session.run."""
        results = []
        for chunk, wanted in self._images.chunks(images):
            self._set_input(chunk)
            self._invoke()
            results.append([output[:wanted] for output in self._read()])
        return joined(results, self._source)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """See Session.predict."""
        return only_output(self.run(images), self._source)

    def timed_call(self, image: np.ndarray) -> Callable[[], object]:
        """See Session.timed_call; quantizing the input is outside the clock."""
        self._set_input(self._images.single(image))
        # LiteRT's memory planner keeps inputs alive between calls, so one call sets it for all.
        return self._interpreter.invoke  # type: ignore[no-any-return]

    def _allocate(self) -> None:
        try:
            self._interpreter.allocate_tensors()
        except DAMAGE as error:
            raise _unreadable(self._source, error) from error

    def _set_input(self, images: np.ndarray) -> None:
        if self._input_params is not None:
            images = self._input_params.quantize(images)
        self._interpreter.set_tensor(self._input, images)

    def _invoke(self) -> None:
        try:
            self._interpreter.invoke()
        except DAMAGE as error:
            raise _unreadable(self._source, error) from error

    def _read(self) -> list[np.ndarray]:
        return [
            self._interpreter.get_tensor(index)
            if params is None
            else params.dequantize(self._interpreter.get_tensor(index))
            for index, params in self._results
        ]

    def _kernels_used(self, kernels: _Kernels) -> str:
        """Name of the kernels that run: XNNPACK leaves some operators to LiteRT (int16x8: all)."""
        if kernels is not _XNNPACK:
            return kernels.words
        # There is no public call for the operators that a delegate took.
        operators = self._interpreter._get_ops_details()
        subgraphs = [o for o in operators if o["op_name"] == "DELEGATE"]
        if not subgraphs:
            return f"{_PLAIN.words} (XNNPACK took no operator)"
        if len(subgraphs) == 1 and (
            self._input in subgraphs[0]["inputs"]
            and all(index in subgraphs[0]["outputs"] for index, _ in self._results)
        ):
            return kernels.words
        return f"{kernels.words} in part ({len(subgraphs)} subgraphs), {_PLAIN.words}"


def _interpreter(path: Path, threads: int, kernels: _Kernels) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    require_regular(path, _LOADABLE, _REMEDY)
    try:
        return Interpreter(
            str(path),
            num_threads=threads,
            experimental_op_resolver_type=OpResolverType[kernels.resolver],
        )
    except DAMAGE as error:
        raise _unreadable(str(path), error) from error


def _named_outputs(interpreter: Any, source: str) -> dict[str, dict[str, Any]]:
    """Details of the outputs by name: the signature's names, or those of the tensors without one.

    The order is that of the file; the runtime sorts the names of a signature.
    """
    details = {d["index"]: d for d in interpreter.get_output_details()}
    names = {index: str(d["name"]) for index, d in details.items()}
    try:
        signatures = interpreter.get_signature_list()
        if len(signatures) == 1:
            runner = interpreter.get_signature_runner(next(iter(signatures)))
            stated = {d["index"]: name for name, d in runner.get_output_details().items()}
            names = stated if set(stated) == set(details) else names
    except DAMAGE as error:
        raise _unreadable(source, error) from error
    if len(set(names.values())) < len(details):
        names = {index: f"output {place}" for place, index in enumerate(details)}
    return {names[index]: d for index, d in details.items()}


def _unreadable(source: str, error: Exception) -> InvalidInputError:
    reason = " ".join(str(error).split())
    received = f"{source} ({reason.rstrip('.')})"
    return InvalidInputError(_LOADABLE, received=received, remedy=_REMEDY)


def _image_input(details: dict[str, Any], path: Path) -> InputTensor:
    # A free axis is -1 in shape_signature; in shape it is 1, which LiteRT allocates.
    free = [int(size) for size in details["shape_signature"]] or [int(s) for s in details["shape"]]
    image = InputTensor.of_file(path, free)
    return image.with_batch(image.batch or 1)


def _counts(details: dict[str, Any]) -> bool:
    """Whether an output holds whole numbers as they are, such as classes."""
    import numpy as np

    return np.dtype(details["dtype"]).name in ("int32", "int64")


def _params(details: dict[str, Any], source: str) -> QuantParams | None:
    """Scale and zero point of an input or output; None in float32."""
    import numpy as np

    from network.affine import IntType, QuantParams

    dtype = np.dtype(details["dtype"])
    if dtype == np.float32:
        return None
    parameters = details["quantization_parameters"]
    scales, zero_points = parameters["scales"], parameters["zero_points"]
    if dtype.name not in ("int8", "uint8", "int16") or len(scales) != 1 or not scales[0] > 0:
        raise InvalidInputError(
            "inputs and outputs are float32, or int8, uint8 or int16 with one scale",
            received=f"{source} with {dtype.name} and {len(scales)} scales in {details['name']}",
            remedy="export the file again with --io float32, int8 or uint8",
        )
    return QuantParams((float(scales[0]),), (int(zero_points[0]),), IntType(dtype.name))


def _open(kernels: _Kernels, path: Path, threads: int) -> LiteRTSession:
    return LiteRTSession(path, threads, kernels)


RUNTIMES = (
    Runtime(
        name=_PLAIN.runtime,
        summary="LiteRT's own optimized CPU kernels, no delegate",
        suffixes=(".tflite",),
        open=partial(_open, _PLAIN),
        module="ai_edge_litert",
    ),
    Runtime(
        name=_REFERENCE.runtime,
        summary="LiteRT's reference kernels: the integers of TFLite Micro; slow",
        suffixes=(".tflite",),
        open=partial(_open, _REFERENCE),
        module="ai_edge_litert",
    ),
    Runtime(
        name=_XNNPACK.runtime,
        summary="LiteRT with the XNNPACK delegate, as on Android and desktop CPUs",
        suffixes=(".tflite",),
        open=partial(_open, _XNNPACK),
        module="ai_edge_litert",
        default=True,
    ),
)
