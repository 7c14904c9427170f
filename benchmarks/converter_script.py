"""The script that users write for TensorFlow's TFLite converter, as its guide on integers has it.

``python converter_script.py MODEL FOLDER COUNT CONTRACT OUTPUT``: it imports nothing of ours.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


def main(model: str, folder: str, count: str, contract: str, output: str) -> None:
    """Write an int8 .tflite of a Keras file.

    Args:
        model: path of the .keras.
        folder: folder of images, in folders of any depth.
        count: number of them to calibrate on, evenly spread.
        contract: ``size``, ``resize_short_side``, ``mean`` and ``std`` as JSON.
        output: path of the file to write.
    """
    import keras
    import numpy as np
    import tensorflow as tf

    network = keras.models.load_model(model, compile=False)
    values = json.loads(contract)
    mean, std = (np.float32(values[name]) for name in ("mean", "std"))
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    chosen = [paths[i] for i in np.linspace(0, len(paths) - 1, int(count)).round().astype(int)]

    def representative() -> Iterator[list[Any]]:
        for path in chosen:
            yield [((_pixels(path, values) - mean) / std)[None]]

    fixed = keras.Input(batch_shape=(1, *network.input_shape[1:]))
    converter = tf.lite.TFLiteConverter.from_keras_model(keras.Model(fixed, network(fixed)))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    Path(output).write_bytes(converter.convert())


def _pixels(path: Path, contract: dict[str, Any]) -> Any:
    """Image in the network's size, float32 ``[height, width, 3]``."""
    import numpy as np
    from PIL import Image

    image = Image.open(path).convert("RGB")
    height, width = contract["size"]
    short = contract.get("resize_short_side")
    if short is None:
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    else:
        factor = short / min(image.size)
        sides = [round(side * factor) for side in image.size]
        image = image.resize((sides[0], sides[1]), Image.Resampling.BILINEAR)
        left, top = (image.width - width) // 2, (image.height - height) // 2
        image = image.crop((left, top, left + width, top + height))
    return np.asarray(image, np.float32)


if __name__ == "__main__":
    main(*sys.argv[1:])
