"""Bundles of a user's own detector: what is in them, and that they are verified."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from export.bundles.target import read_vectors
from tests.edgequant.conftest import Run
from tests.edgequant.test_detections_inside import boxed, detector_file

__all__ = ["boxed", "detector_file"]


@pytest.mark.slow
def test_a_detector_of_the_users_ships_and_is_verified(
    run: Run, detector_file: Path, boxed: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    made = run(
        "ship", "--model", detector_file, "--for", "android,c,microcontroller,onnx-mobile",
        "--calibration", boxed / "calibration", "--data", boxed / "dev", "--vectors", 4,
        "--output", output,
    )  # fmt: skip
    assert made.code == 0, made.err
    again = run("verify", output)
    assert again.code == 0, again.err
    manifest = json.loads((output / "bundle.json").read_text())
    assert manifest["accuracy"]["task"] == "detection"
    assert list(manifest["targets"]["onnx-mobile"]["files"]) == ["int8", "int8-detections"]
    assert "Finds objects of 3 classes in an RGB image" in (output / "MODEL_CARD.md").read_text()
    guide = (output / "SHIPPING.md").read_text()
    assert "ObjectDetector.createFromOptions" in guide
    assert "decode_boxes.py gives the detections of NonMaxSuppression" in guide
    assert "net_decode(out, found)" in guide
    assert {"net_decoder.h", "net_decoder.c"} <= {path.name for path in (output / "c").iterdir()}
    _python_lines_find_objects(output, guide, tmp_path)
    _changed_values_are_found(run, output)


def _python_lines_find_objects(output: Path, guide: str, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    np.save(tmp_path / "pixels.npy", read_vectors(output / "android/vectors", "int8").inputs[0])
    script = f"import sys, numpy; sys.path.insert(0, '.'); pixels = numpy.load(sys.argv[1])\n{code}"
    done = subprocess.run(
        [sys.executable, "-I", "-c", script, str(tmp_path / "pixels.npy")],
        cwd=output / "onnx-mobile", capture_output=True, text=True, check=True,
    )  # fmt: skip
    expected = read_vectors(output / "onnx-mobile/vectors", "int8-detections")
    names = (output / "labels.txt").read_text().splitlines()
    most, row = expected.detections, expected.outputs[0]
    wanted = [names[int(label)] for label in row[4 * most : 4 * most + int(row[-1])]]
    assert wanted
    assert [line.split()[0] for line in done.stdout.splitlines()] == wanted


def _changed_values_are_found(run: Run, output: Path) -> None:
    """Another threshold in the decoder's values, though the list of digests agrees."""
    from edgequant.ship.bundle import write_sums

    table = output / "onnx-mobile/detector.json"
    table.write_text(table.read_text().replace('"most": 40', '"most": 39'))
    write_sums(output)
    changed = run("verify", output)
    assert changed.code == 1
    assert "onnx-mobile/detector.json differs" in changed.err
