"""Session of a Keras model on TensorFlow: the float network that files are compared with."""

from __future__ import annotations

import os
from collections.abc import Callable
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
from foundation.threads import OPERATOR_CORES
from models.output_ends import keras_output_names
from quantize.settings import Layout

if TYPE_CHECKING:
    import keras
    import numpy as np


class KerasSession:
    """A Keras model in inference mode; its outputs are the model's logits or probabilities.

    Unlike other sessions, it may be shared by threads: the traced function has no state.
    TensorFlow has one pool of threads per process, so a session cannot choose the number of them.

    Args:
        model: one input of floats or integers, ``[batch, ...]``, and outputs ``[batch, ...]``.

    Attributes:
        info: runtime, version and kernels; ``threads`` is the size of TensorFlow's pool.
        outputs: names of the model's outputs.

    Raises:
        InvalidInputError: another input, or no output.
    """

    def __init__(self, model: keras.Model) -> None:
        self._source = str(model.name)
        inputs = list(getattr(model, "inputs", None) or ())
        require_one("input", len(inputs), self._source)
        require_outputs(len(getattr(model, "outputs", None) or ()), self._source)
        self.outputs = keras_output_names(model)
        self._images = InputTensor.from_shape(inputs[0].shape, self._source, Layout.NHWC)
        self._function = _inference_function(model, inputs[0])
        self.info = _info()

    def run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """See Session.run."""
        results = []
        for chunk, wanted in self._images.chunks(images):
            results.append([output.numpy()[:wanted] for output in self._function(chunk)])
        return joined(results, self._source)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """See Session.predict."""
        return only_output(self.run(images), self._source)

    def timed_call(self, image: np.ndarray) -> Callable[[], object]:
        """See Session.timed_call."""
        import tensorflow as tf

        return partial(self._function, tf.constant(self._images.single(image)))


def _inference_function(model: keras.Model, tensor: Any) -> Callable[[Any], list[Any]]:
    import tensorflow as tf

    dtype = tf.as_dtype(tensor.dtype)

    def outputs_of(images: Any) -> Any:
        # A TFSMLayer's output is a dictionary, also with one output.
        outputs = tf.nest.flatten(model(tf.cast(images, dtype), training=False))
        return [tf.cast(output, tf.float32) for output in outputs]

    function = tf.function(outputs_of, autograph=False)
    concrete: Callable[[Any], list[Any]] = function.get_concrete_function(
        tf.TensorSpec(tuple(tensor.shape), tf.float32)
    )

    def run(images: Any) -> list[Any]:
        return concrete(tf.convert_to_tensor(images))

    return run


def _info() -> RuntimeInfo:
    import keras
    import tensorflow as tf

    variable = os.environ.get(OPERATOR_CORES, "")  # TensorFlow has no call for the value it read
    chosen = int(variable) if variable.isdecimal() else 0
    threads = (
        tf.config.threading.get_intra_op_parallelism_threads() or chosen or os.cpu_count() or 1
    )
    device = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    return RuntimeInfo(
        runtime="keras",
        version=f"{keras.__version__} on TensorFlow {version('tensorflow')}",
        kernels=f"TensorFlow, {device}",
        threads=threads,
    )


def _open(path: Path, _threads: int) -> KerasSession:
    from models.loading.files import load_keras_file  # no other session needs it

    return KerasSession(load_keras_file(path))


RUNTIMES = (
    Runtime(
        name="keras",
        summary="Keras on TensorFlow, the float network itself",
        suffixes=(".keras",),
        open=_open,
        module="tensorflow",
        default=True,
    ),
)
