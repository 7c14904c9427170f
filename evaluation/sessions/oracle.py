"""Session of the integer interpreter in network/oracle: LiteRT's reference kernels in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.session import Runtime, RuntimeInfo
from evaluation.sessions.tensor_io import InputTensor, joined, only_output
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

    from network.oracle.model import IntegerModel, IntegerTensor


class OracleSession:
    """An int8 .tflite file in NumPy, one image at a time.

    Attributes:
        info: runtime, version and kernels; the threads are those of NumPy's BLAS.
    """

    def __init__(self, path: Path, threads: int) -> None:
        from network.oracle.reader import read_integers

        self._source = path.name
        self._model: IntegerModel = read_integers(path)
        self._input = self._model.tensors[self._model.input]
        for name in (self._model.input, *self._model.outputs):
            _check_type(self._model.tensors[name], path.name)
        computed = {name for op in self._model.ops for name in op.outputs}
        if loose := [name for name in self._model.outputs if name not in computed]:
            raise InvalidInputError(
                "the output of a network is the result of an operator",
                received=f"{path.name} with {', '.join(loose)}",
                remedy="export the file again",
            )
        self._images = InputTensor.of_file(path, self._input.shape).with_batch(1)
        self.info = RuntimeInfo("oracle", version("numpy"), "NumPy, exact integers", threads)

    @property
    def outputs(self) -> tuple[str, ...]:
        """See Session.outputs."""
        return self._model.outputs

    def run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """See Session.run."""
        chunks = (chunk for chunk, _ in self._images.chunks(images))
        return joined([self._results(self._quantized(chunk)) for chunk in chunks], self._source)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """See Session.predict."""
        return only_output(self.run(images), self._source)

    def timed_call(self, image: np.ndarray) -> Callable[[], object]:
        """See Session.timed_call; quantizing the input is outside the clock."""
        return partial(self._model.activations, self._quantized(self._images.single(image)))

    def _quantized(self, image: np.ndarray) -> np.ndarray:
        params = self._input.params
        return image if params is None else params.quantize(image)

    def _results(self, image: np.ndarray) -> list[np.ndarray]:
        activations = self._model.activations(image)
        results = []
        for name in self._model.outputs:
            params = self._model.tensors[name].params
            results.append(
                activations[name] if params is None else params.dequantize(activations[name])
            )
        return results


def _check_type(tensor: IntegerTensor, source: str) -> None:
    integer = tensor.params is not None and not tensor.params.per_axis
    if tensor.dtype != "float32" and not integer:
        raise InvalidInputError(
            "inputs and outputs are float32, or integers with one scale",
            received=f"{source} with {tensor.dtype} in {tensor.name}",
            remedy="export the file again with --io float32, int8 or uint8",
        )


def _open(path: Path, threads: int) -> OracleSession:
    return OracleSession(path, threads)


RUNTIMES = (
    Runtime(
        name="oracle",
        summary="int8 files in plain NumPy: the bits of litert-reference, from its definition",
        suffixes=(".tflite",),
        open=_open,
        module="numpy",
    ),
)
