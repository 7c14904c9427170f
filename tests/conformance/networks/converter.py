"""TensorFlow's own int8 files, as its guide on integer quantization makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras


def converted(model: keras.Model, examples: np.ndarray) -> bytes:
    """Int8 .tflite of a network, calibrated on tensors ``[n, ...]``.

    An operator that the converter has no integers for stays in float, as its guide allows.
    """
    import keras
    import tensorflow as tf

    dtype = model.inputs[0].dtype
    fixed = keras.Input(batch_shape=(1, *examples.shape[1:]), dtype=dtype)
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(fixed, model(fixed)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    kinds = tf.lite.OpsSet
    converter.target_spec.supported_ops = [kinds.TFLITE_BUILTINS_INT8, kinds.TFLITE_BUILTINS]
    kind = tf.uint8 if dtype == "uint8" else tf.int8
    converter.inference_input_type = converter.inference_output_type = kind
    typed = examples.astype(dtype)
    converter.representative_dataset = lambda: ([typed[i : i + 1]] for i in range(len(typed)))
    content: bytes = converter.convert()
    return content
