"""The decoder in ONNX bundles: a file that needs NumPy alone, and gives the definition's boxes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration_data.detection import Detector, ScoreEnd
from evaluation.decoding import decoded
from export.bundles.onnx_decoder import SCRIPT, TABLE, decoder_files
from tests.export.detectors import CONTRACT, DETECTOR, with_detector

RUN = f"""
import json, sys, numpy
sys.path.insert(0, ".")
from {SCRIPT.removesuffix(".py")} import detections
found = detections(json.load(open("{TABLE}")), dict(numpy.load("outputs.npz")))
print(json.dumps({{"found": found, "loaded": sorted({{m.split(".")[0] for m in sys.modules}})}}))
"""
DETECTORS = {
    "sigmoid": DETECTOR,
    "softmax": replace(DETECTOR, end=ScoreEnd.SOFTMAX, score_threshold=0.4),
    "probabilities": replace(DETECTOR, end=ScoreEnd.NONE, ground=False, most=7),
}


def raw(detector: Detector, count: int) -> dict[str, np.ndarray]:
    """Random outputs, with scores that are probabilities of most boxes that are no detection."""
    random = np.random.default_rng(3)
    width = 3 + detector.ground
    found = {}
    for box, score, level in zip(detector.boxes, detector.scores, detector.levels, strict=True):
        shape = (count, level.rows, level.columns)
        found[box] = random.normal(0, 2, (*shape, 4 * len(level.shapes))).astype(np.float32)
        values = random.normal(-1, 1, (*shape, width * len(level.shapes)))
        found[score] = values.astype(np.float32)
    return found


@pytest.mark.parametrize("name", DETECTORS)
def test_the_script_alone_gives_the_definitions_detections(name: str, tmp_path: Path) -> None:
    detector, count = DETECTORS[name], 12
    for file, content in decoder_files(with_detector(detector)).items():
        (tmp_path / file).write_bytes(content)
    outputs = raw(detector, count)
    np.savez(tmp_path / "outputs.npz", **outputs)
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    answer = json.loads(done.stdout)
    assert not {"calibration_data", "evaluation", "foundation", "tensorflow"} & set(
        answer["loaded"]
    )
    wanted = decoded(detector, outputs)
    assert wanted.counts.min() > 3
    for row, found in enumerate(answer["found"]):
        n = int(wanted.counts[row])
        assert [label for _, _, label in found] == wanted.classes[row, :n].tolist()
        np.testing.assert_array_equal(
            np.array([box for box, _, _ in found], np.float32), wanted.boxes[row, :n]
        )
        np.testing.assert_array_equal(
            np.array([score for _, score, _ in found], np.float32), wanted.scores[row, :n]
        )


def test_a_network_that_is_no_detector_has_no_decoder() -> None:
    assert decoder_files(replace(CONTRACT, detector=None)) == {}
    table = json.loads(decoder_files(CONTRACT)[TABLE])
    assert Detector.from_dict(table) == DETECTOR
