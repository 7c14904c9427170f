"""Script for an interpreter with mediapipe: the ImageClassifier task on raw pixels."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """``python mediapipe_classifier.py REQUEST REPLY``."""
    request_file, reply_file = Path(sys.argv[1]), Path(sys.argv[2])
    request = json.loads(request_file.read_text(encoding="utf-8"))
    try:
        reply = classify(request)
    except ImportError as error:
        reply = {"missing": error.name or str(error)}
    except (RuntimeError, ValueError) as error:  # how the task refuses a file
        reply = {"error": " ".join(str(error).split())}
    reply_file.write_text(json.dumps(reply), encoding="utf-8")


def classify(request: dict[str, Any]) -> dict[str, Any]:
    """Index, label and score of each class for each image, best first."""
    import mediapipe
    import numpy as np
    from mediapipe.tasks.python import BaseOptions, vision

    shape = request["shape"]
    pixels = np.frombuffer(Path(request["pixels"]).read_bytes(), np.uint8).reshape(shape)
    base = BaseOptions(model_asset_buffer=Path(request["model"]).read_bytes())
    answers = []
    options = vision.ImageClassifierOptions(base_options=base)
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for image in pixels:
            picture = mediapipe.Image(
                image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image)
            )
            head = classifier.classify(picture).classifications[0]
            answers.append([[c.index, c.category_name, float(c.score)] for c in head.categories])
    return {"version": mediapipe.__version__, "answers": answers}


if __name__ == "__main__":
    main()
