"""Check that a converted network gives its outputs in the order of the function that it is of."""

from __future__ import annotations

from typing import Any

import numpy as np

from foundation.errors import UnsupportedError

_TOLERANCE = 1e-2
"""Largest relative L2 distance between an output of the file and the function's: far above the
rounding of another order of summation, far below the distance of two outputs of one shape."""


def require_order(function: Any, content: bytes) -> None:
    """Run a float32 file and its function on one random input, and compare output by output.

    Args:
        function: a TensorFlow function of one input with a batch of one.
        content: bytes of the .tflite that the converter made of it.

    Raises:
        UnsupportedError: other numbers, shapes or counts; names the first output that differs.
    """
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    shape = tuple(function.inputs[0].shape)
    image = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    wanted = [np.asarray(value) for value in tf.nest.flatten(function(tf.constant(image)))]
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    ends = interpreter.get_output_details()
    found = [interpreter.get_tensor(end["index"]) for end in ends]
    fits = [_same(*pair) for pair in zip(wanted, found, strict=False)]
    if len(wanted) != len(found) or not all(fits):
        number = fits.index(False) if False in fits else min(len(wanted), len(found))
        raise UnsupportedError(
            "a converted network gives the outputs of the model in their order",
            received=f"other numbers in output {number} of {len(wanted)}",
            remedy="report this model to the project",
        )


def _same(wanted: np.ndarray, found: np.ndarray) -> bool:
    """Whether two arrays have one shape and the same numbers, but for rounding."""
    if wanted.shape != found.shape:
        return False
    distance = float(np.linalg.norm((found - wanted).ravel()))
    return not distance > _TOLERANCE * float(np.linalg.norm(wanted.ravel())) + 1e-6
