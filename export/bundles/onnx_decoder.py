"""Files of an ONNX bundle that turn the outputs of a detector into boxes, with NumPy."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence

from calibration_data import box_decoder
from calibration_data.preprocessing import Preprocessing

SCRIPT, TABLE = "decode_boxes.py", "detector.json"


def decoder_files(contract: Preprocessing) -> dict[str, bytes]:
    """Content of the script and of the values that it reads, by name; empty if no detector."""
    if contract.detector is None:
        return {}
    values = json.dumps(contract.detector.to_dict(), indent=2)
    return {SCRIPT: inspect.getsource(box_decoder).encode(), TABLE: f"{values}\n".encode()}


def python_lines(labels: Sequence[str]) -> list[str]:
    """Lines of Python that print what was found, after the session is open."""
    name = "names[label]" if labels else "label"
    return [
        "keys = [output.name for output in session.get_outputs()]",
        "outputs = dict(zip(keys, session.run(None, {'image': image})))",
        f"[found] = detections(json.load(open('{TABLE}')), outputs)",
        *(["names = open('labels.txt').read().splitlines()"] if labels else []),
        "for box, score, label in found:  # top, left, bottom, right, 0 to 1",
        f"    print({name}, score, box)",
    ]
