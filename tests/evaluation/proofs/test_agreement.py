"""Outputs compared with test vectors, by what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from evaluation.proofs.agreement import agreement
from export.bundles.target import Vectors, read_vectors
from foundation.errors import InvalidInputError

MOST = 3


def row(*found: tuple[float, float, float]) -> list[float]:
    """Outputs of an image: left edge, class and probability of each detection."""
    rest = [0.0] * (MOST - len(found))
    boxes = [x for left, _, _ in found for x in (0.1, left, 0.5, left + 0.4)]
    classes, scores = ([one[i] for one in found] + rest for i in (1, 2))
    return [*boxes, *rest * 4, *classes, *scores, float(len(found))]


def vectors(*rows: list[float]) -> Vectors:
    outputs = np.array(rows, np.float32)
    inputs = np.zeros((len(rows), 2, 2, 3), np.uint8)
    return Vectors(inputs, outputs, "test", classes=False, detections=MOST)


SURE, WEAK = (0.1, 1.0, 0.9), (0.3, 0.0, 0.5)


@pytest.mark.parametrize(
    ("found", "same"),
    [
        ((SURE, WEAK), True),
        ((WEAK, SURE), True),  # equal probabilities come in any order
        (((0.105, 1.0, 0.9), WEAK), True),
        (((0.2, 1.0, 0.9), WEAK), False),  # elsewhere
        (((0.1, 2.0, 0.9), WEAK), False),  # another class
        (((0.1, 1.0, 0.8), WEAK), False),  # another probability
        ((SURE,), False),
        ((SURE, WEAK, WEAK), False),
        ((SURE, SURE), False),  # one for two
    ],
)
def test_detections_are_paired(found: tuple[tuple[float, float, float], ...], same: bool) -> None:
    expected = vectors(row(SURE, WEAK), row())
    agreed = agreement(expected, np.array([row(*found), row()], np.float32))
    assert agreed.same == (same, True)
    assert agreed.holds is same
    assert agreed.what == "detections"


def test_masks_are_compared_by_pixels() -> None:
    outputs = np.zeros((2, 1000), np.uint8)
    expected = Vectors(outputs, outputs, "test", classes=False, masks=True)
    other = outputs.copy()
    other[0, :10], other[1, :11] = 1, 1
    agreed = agreement(expected, other)
    assert agreed.same == (True, False)
    assert agreed.largest == pytest.approx(1.1)
    assert agreed.first_wrong == 1


def test_vectors_of_detections_and_masks_come_back(tmp_path: Path) -> None:
    of = vectors(row(SURE), row())
    of.write(tmp_path, "int8")
    assert read_vectors(tmp_path, "int8").detections == MOST
    text = (tmp_path / "int8.json").read_text()
    for value in ("4", "-1", "true", '"3"'):
        (tmp_path / "int8.json").write_text(
            text.replace('"detections": 3', f'"detections": {value}')
        )
        with pytest.raises(InvalidInputError, match="test vectors are"):
            read_vectors(tmp_path, "int8")
    Vectors(of.inputs, np.ones((2, 5), np.uint8), "r", masks=True).write(tmp_path, "int8")
    assert read_vectors(tmp_path, "int8").masks
    Vectors(of.inputs, of.outputs, "r", masks=True).write(tmp_path, "int8")
    with pytest.raises(InvalidInputError, match="test vectors are"):
        read_vectors(tmp_path, "int8")
