"""TensorFlow's own TFLite converter, as its guide on integer quantization has it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.accuracy.peer import Job, Peer, Setting, Source, load_images


def plain_converter(job: Job, images: Any) -> Any:
    """A converter for int8 with int8 input and output, on a fixed batch of one.

    Args:
        job: names the Keras model and the granularity.
        images: float32 ``[n, height, width, 3]``, of which only the size is read.
    """
    import keras
    import tensorflow as tf

    import edgequant.process  # noqa: F401 - makes the rooms ours
    from edgequant.loading import load
    from models.loading.request import ModelRequest

    loaded = load(ModelRequest(job.model, weights=job.weights or None, alpha=job.alpha))
    fixed = keras.Input(batch_shape=(1, *images.shape[1:]))
    outputs = loaded.model(fixed)
    if len(loaded.outputs) > 1:  # the converter gives several in an order of its own
        names = [output.name for output in loaded.outputs]
        outputs = dict(zip(names, outputs, strict=True))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(fixed, outputs))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    converter._experimental_disable_per_channel = not job.per_channel
    return converter


def one_by_one(images: Any) -> Iterator[list[Any]]:
    """The calibration tensors as the converter takes them."""
    for i in range(len(images)):
        yield [images[i : i + 1]]


def quantize(job: Job) -> None:
    """Convert and quantize on all calibration tensors."""
    images = load_images(job.images)
    converter = plain_converter(job, images)
    converter.representative_dataset = lambda: one_by_one(images)
    Path(job.result(".tflite")).write_bytes(converter.convert())


PEER = Peer(
    name="TFLite converter",
    distributions=("tensorflow",),
    source=Source.KERAS,
    imports=("tensorflow", "keras"),
    settings=(Setting("default", "Optimize.DEFAULT, int8 input and output"),),
    quantize=quantize,
)
