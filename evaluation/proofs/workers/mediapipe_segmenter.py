"""Script for an interpreter with mediapipe: the ImageSegmenter task on raw pixels."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """``python mediapipe_segmenter.py REQUEST REPLY``."""
    request_file, reply_file = Path(sys.argv[1]), Path(sys.argv[2])
    request = json.loads(request_file.read_text(encoding="utf-8"))
    try:
        reply = segment(request)
    except ImportError as error:
        reply = {"missing": error.name or str(error)}
    except (RuntimeError, ValueError) as error:  # how the task refuses a file
        reply = {"error": " ".join(str(error).split())}
    reply_file.write_text(json.dumps(reply), encoding="utf-8")


def segment(request: dict[str, Any]) -> dict[str, Any]:
    """Write the category mask of each image, uint8 ``[n, height, width]``, to ``outputs``.

    ``spread`` is the largest distance of a pixel's confidences from a sum of 1, on the first image.
    """
    import mediapipe
    import numpy as np
    from mediapipe.tasks.python import BaseOptions, vision

    shape = request["shape"]
    pixels = np.frombuffer(Path(request["pixels"]).read_bytes(), np.uint8).reshape(shape)
    base = BaseOptions(model_asset_buffer=Path(request["model"]).read_bytes())
    masks, spread = [], 0.0
    options = vision.ImageSegmenterOptions(
        base_options=base, output_category_mask=True, output_confidence_masks=True
    )
    with vision.ImageSegmenter.create_from_options(options) as segmenter:
        for number, image in enumerate(pixels):
            picture = mediapipe.Image(
                image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image)
            )
            result = segmenter.segment(picture)
            masks.append(np.array(result.category_mask.numpy_view(), np.uint8).reshape(shape[1:3]))
            if number == 0:
                total = sum(np.array(mask.numpy_view()) for mask in result.confidence_masks)
                spread = float(np.abs(total - 1).max())
        labels = list(segmenter.labels)
    Path(request["outputs"]).write_bytes(np.stack(masks).tobytes())
    return {"version": mediapipe.__version__, "labels": labels, "spread": spread}


if __name__ == "__main__":
    main()
