"""``quantize --postprocess``, and ``evaluate`` of what it writes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from calibration_data.detection import Detector
from evaluation.decoding import decoded
from tests.edgequant.conftest import Run
from tests.export.detectors import CONTRACT, DETECTOR, SIDE, images, network

TOML = """\
size = [{side}, {side}]
crop = "stretch"
labels = {labels}
task = "detection"

[detection]
boxes = {boxes}
scores = {scores}
levels = [{levels}]
iou_threshold = {iou}
most = {most}
"""


def contract_text(detector: Detector) -> str:
    levels = ", ".join(
        f"{{rows = {x.rows}, columns = {x.columns}, shapes = {[list(s) for s in x.shapes]}}}"
        for x in detector.levels
    )
    return TOML.format(
        side=SIDE, labels=json.dumps(CONTRACT.labels), boxes=json.dumps(detector.boxes),
        scores=json.dumps(detector.scores), levels=levels, iou=detector.iou_threshold,
        most=detector.most,
    )  # fmt: skip


@pytest.fixture
def detector_file(tmp_path: Path) -> Path:
    """A tiny detector with its contract beside it."""
    path = tmp_path / "net.keras"
    network().save(path)
    path.with_suffix(".toml").write_text(contract_text(DETECTOR))
    return path


@pytest.fixture
def boxed(tmp_path: Path) -> Path:
    """Photos in COCO's layout, whose true boxes are the surest that the network itself finds."""
    from PIL import Image

    pixels = (127.5 * images(14) + 127.5).round().astype(np.uint8)
    answers = network()(CONTRACT.normalize(pixels), training=False)
    names_of = (*DETECTOR.boxes, *DETECTOR.scores)
    found = decoded(DETECTOR, {n: np.asarray(a) for n, a in zip(names_of, answers, strict=True)})
    edges = np.clip(found.boxes * SIDE, 0, SIDE).round().astype(int)
    names = [{"id": i + 1, "name": name} for i, name in enumerate(CONTRACT.labels)]
    for split, chosen in (("calibration", range(8)), ("dev", range(8, 14))):
        folder = tmp_path / "data" / split
        (folder / "images").mkdir(parents=True)
        files, annotations = [], []
        for i in chosen:
            Image.fromarray(pixels[i]).save(folder / "images" / f"{i}.png")
            files.append({"id": i, "file_name": f"{i}.png", "width": SIDE, "height": SIDE})
            for j, (top, left, bottom, right) in enumerate(edges[i, :6].tolist()):
                if bottom - top > 2 and right - left > 2:
                    annotations.append(
                        {"id": 9 * i + j, "image_id": i, "iscrowd": 0,
                         "category_id": 1 + int(found.classes[i, j]),
                         "bbox": [left, top, right - left, bottom - top],
                         "area": (right - left) * (bottom - top)}
                    )  # fmt: skip
        values = {"images": files, "annotations": annotations, "categories": names}
        (folder / "instances.json").write_text(json.dumps(values))
    return tmp_path / "data"


@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_detections_inside_a_file_are_measured(
    kind: str, detector_file: Path, boxed: Path, tmp_path: Path, run: Run
) -> None:
    data = ("--calibration", boxed / "calibration", "--data", boxed / "dev")
    made = run(
        "quantize", "--model", detector_file, "--recipe", f"{kind}-int8", "--postprocess", kind,
        "--optimize", "fast", *data, "--output", tmp_path / "out", "--json",
    )  # fmt: skip
    assert made.code == 0, made.err
    exact, row = made.json["report"]["rows"]
    assert row["agreement"] > 80
    assert "sqnr_db" not in row["metrics"]
    assert min(one["metrics"]["ap50"] for one in (exact, row)) > 80
    assert any("its AP lies below that of raw outputs" in remark for remark in row["remarks"])
    file = tmp_path / "out" / f"net-{kind}-int8.{kind}"
    seen = run("evaluate", file, "--data", boxed / "dev", "--reference", detector_file, "--json")
    assert seen.code == 0, seen.err
    assert seen.json["metrics"] == pytest.approx(row["metrics"])
    shown = run("inspect", file)
    assert shown.code == 0
    assert "num_detections" in shown.out


def test_what_cannot_be_is_refused_in_a_sentence(
    tiny_keras: Path, photos: Path, tmp_path: Path, run: Run
) -> None:
    images_of = ("--calibration", f"{photos}:train", "--output", tmp_path / "out")
    for recipe, kind, words in (
        ("tflite-int8", "tflite", "for detectors, whose contract has a table [detection]"),
        ("tflite-int8", "onnx", "for recipes whose names begin with onnx"),
        ("tflite-int8,onnx-int8", "tflite", "for recipes whose names begin with tflite"),
    ):
        done = run(
            "quantize", "--model", tiny_keras, "--recipe", recipe, "--postprocess", kind, *images_of
        )
        assert done.code == 2, done.err
        assert words in done.err
        assert not (tmp_path / "out").exists()
