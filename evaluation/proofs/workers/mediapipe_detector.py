"""Script for an interpreter with mediapipe: the ObjectDetector task on raw pixels."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """``python mediapipe_detector.py REQUEST REPLY``."""
    request_file, reply_file = Path(sys.argv[1]), Path(sys.argv[2])
    request = json.loads(request_file.read_text(encoding="utf-8"))
    try:
        reply = detect(request)
    except ImportError as error:
        reply = {"missing": error.name or str(error)}
    except (RuntimeError, ValueError) as error:  # how the task refuses a file
        reply = {"error": " ".join(str(error).split())}
    reply_file.write_text(json.dumps(reply), encoding="utf-8")


def detect(request: dict[str, Any]) -> dict[str, Any]:
    """Label, score and place in pixels (top, left, height, width) of each detection."""
    import mediapipe
    import numpy as np
    from mediapipe.tasks.python import BaseOptions, vision

    shape = request["shape"]
    pixels = np.frombuffer(Path(request["pixels"]).read_bytes(), np.uint8).reshape(shape)
    base = BaseOptions(model_asset_buffer=Path(request["model"]).read_bytes())
    answers = []
    options = vision.ObjectDetectorOptions(base_options=base)
    with vision.ObjectDetector.create_from_options(options) as detector:
        for image in pixels:
            picture = mediapipe.Image(
                image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image)
            )
            found = detector.detect(picture).detections
            answers.append([row for one in found for row in rows(one)])
    return {"version": mediapipe.__version__, "answers": answers}


def rows(found: Any) -> list[list[Any]]:
    """Detections of one box: the task joins those of different classes with equal edges."""
    box = found.bounding_box
    place = [int(box.origin_y), int(box.origin_x), int(box.height), int(box.width)]
    return [[one.category_name, float(one.score), place] for one in found.categories]


if __name__ == "__main__":
    main()
