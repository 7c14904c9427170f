"""Masks at the size of the photo, and counts of them that are known by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import distance_transform_edt

from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.segmentation import Segmenter, Upsampling
from calibration_data.task import Task
from evaluation.mask_rows import MaskRows, assumed, mask_of
from evaluation.masks import PhotoGrid, boundary_counts, class_count
from evaluation.task import evaluate, task_kinds
from foundation.errors import InvalidInputError, UnsupportedError
from tests.evaluation.segments import CONTRACT, SIDE, masked, photos, rows_of, scores_of

KIND = task_kinds()[Task.SEGMENTATION]
BOX = np.zeros((2, SIDE, SIDE), np.uint8)
BOX[:, 2:8, 2:8] = 1
SHIFTED = np.roll(BOX, 1, axis=2)


def measured(after: np.ndarray, before: np.ndarray, truth: np.ndarray) -> MaskRows:
    rows = rows_of({"float": scores_of(before), "file": scores_of(after)}, truth)
    return MaskRows(rows["file"], np.arange(len(truth)), rows["float"])


def test_iou_accuracy_and_changes_by_hand() -> None:
    result = evaluate(measured(SHIFTED, BOX, BOX), KIND)
    # Of 36 box pixels 30 are hit, 6 are missed and 6 are too many; of the ground 108 - 6.
    box, ground = 30 / 42, (108 - 6) / (108 + 6)
    assert result.values["miou"] == pytest.approx(100 * (box + ground) / 2)
    assert result.values["pixel_accuracy"] == pytest.approx(100 * 132 / 144)
    assert result.values["pixels_changed"] == pytest.approx(100 * 12 / 144)
    assert result.drop.points == pytest.approx(100 - result.values["miou"])
    assert result.classes == 3
    assert [(p.index, p.n) for p in result.parts] == [(0, 2), (1, 2)]  # nothing shows class 2
    assert result.parts[1].value == pytest.approx(100 * box)
    assert result.parts[1].drop == pytest.approx(100 - 100 * box)


def test_sqnr_is_that_of_the_whole_map() -> None:
    exact, moved = scores_of(BOX), scores_of(SHIFTED)
    noise = 10 * np.log10(np.square(exact).sum() / np.square(exact - moved).sum())
    found = evaluate(measured(SHIFTED, BOX, BOX), KIND)
    assert found.sqnr_db == pytest.approx(noise, rel=1e-5)


def test_a_class_that_no_mask_shows_is_no_class_without_a_hit() -> None:
    said = BOX.copy()
    said[0, 0, 0] = 2
    found = evaluate(measured(said, BOX, BOX), KIND).values["miou"]
    assert found == pytest.approx(100 * (1 + (216 - 1) / 216) / 2)


def test_pixels_without_a_class_are_not_measured() -> None:
    truth = BOX.copy()
    truth[SHIFTED != BOX] = 255
    result = evaluate(measured(SHIFTED, BOX, truth), KIND)
    assert result.values["miou"] == result.values["pixel_accuracy"] == 100
    assert result.values["pixels_changed"] > 0  # but they are compared with float


def test_photos_are_named_with_their_largest_change() -> None:
    after = BOX.copy()
    after[1, 3:5, 3:5] = 2
    after[1, 9, 9] = 1
    (flip,) = KIND.flips(measured(after, BOX, BOX), str, 9)
    assert (flip.image, flip.before, flip.after, flip.label) == (1, 1, 2, None)
    assert flip.margin == pytest.approx(100 * 5 / 144)


def test_boundaries_meet_within_the_tolerance() -> None:
    truth = np.zeros((1, 120, 160), np.uint8)  # the diagonal is 200, the tolerance 1.5
    truth[:, 30:90, 40:120] = 1
    near, far = np.roll(truth, 1, axis=2), np.roll(truth, 3, axis=2)
    edge = 2 * (60 + 80) - 4
    counts = boundary_counts(truth[0].astype(int), near[0], 2)
    assert counts[1].tolist() == [edge] * 4
    counts = boundary_counts(truth[0].astype(int), far[0], 2)
    true_edge = np.zeros((120, 160), bool)
    true_edge[30:90, [40, 119]] = true_edge[[30, 89], 40:120] = True
    apart = distance_transform_edt(~true_edge)
    expected = (np.roll(true_edge, 3, axis=1) & (apart <= 1.5)).sum()
    assert counts[1, 0] == expected < edge
    assert counts[1, 1] == counts[1, 3] == edge


def test_boundaries_on_unmeasured_pixels_are_not_counted_as_said() -> None:
    truth = np.zeros((20, 20), int)
    truth[:, 10:] = -1
    said = np.zeros((20, 20), np.uint8)
    said[:, 15:] = 1
    assert boundary_counts(truth, said, 2)[0, 1] == 0


def test_boundary_f1_by_hand() -> None:
    truth = np.zeros((1, 120, 160), np.uint8)
    truth[:, :, 80:] = 1
    said = truth.copy()
    said[:, :60, 70:] = 1  # the upper half of the line lies ten pixels off
    contract = replace(CONTRACT, size=(120, 160))
    rows = rows_of({"float": scores_of(truth), "file": scores_of(said)}, truth, contract)
    found = evaluate(MaskRows(rows["file"], np.arange(1), rows["float"]), KIND)
    # Said: the lower line, the upper one ten pixels off, and nine pixels between them, of which one
    # is beside the true line; it is near two true pixels of the upper half.
    assert rows["file"]["borders"][0, 1].tolist() == [61, 129, 62, 120]
    one = _f1(61 / 129, 62 / 120)
    near, count, close, true = rows["file"]["borders"][0, 0]
    ground = _f1(near / count, close / true)
    assert found.values["boundary_f1"] == pytest.approx(50 * (one + ground))
    assert found.drops["boundary_f1"].points == pytest.approx(100 - found.values["boundary_f1"])


def _f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall)


@pytest.mark.parametrize("crop", [Crop.STRETCH, Crop.LETTERBOX, Crop.PAD, Crop.CENTER])
def test_the_mask_of_a_photo_lies_where_the_photo_does(crop: Crop) -> None:
    short = 24 if crop is Crop.CENTER else None
    contract = Preprocessing((24, 24), crop, short)
    picture = np.zeros((16, 20) if crop is Crop.PAD else (48, 60), np.uint8)
    height, width = picture.shape
    picture[height // 4 : height // 2, width // 4 : width // 2] = 255
    seen = contract.pixels(np.repeat(picture[..., None], 3, axis=2))[..., 0] > 127
    grid = PhotoGrid(contract.placement(height, width), (24, 24))
    said = grid.best(scores_of(seen.astype(int), 2))
    wrong = (said != (picture > 0)) & grid.seen
    assert wrong.mean() < 0.02  # at most a rounded edge
    assert grid.seen.all() == (crop is not Crop.CENTER)


def test_scores_are_enlarged_as_a_library_does() -> None:
    scores = np.random.default_rng(0).normal(size=(7, 9, 2)).astype(np.float32)
    contract = Preprocessing((28, 36), Crop.STRETCH)
    grid = PhotoGrid(contract.placement(28, 36), (7, 9))
    large = [
        np.asarray(Image.fromarray(scores[..., k]).resize((36, 28), Image.Resampling.BILINEAR))
        for k in range(2)
    ]
    np.testing.assert_array_equal(grid.best(scores), np.stack(large, axis=-1).argmax(axis=2))


def test_corners_of_map_and_input_lie_on_each_other_where_the_contract_says_so() -> None:
    import tensorflow as tf

    scores = np.random.default_rng(0).normal(size=(7, 9, 3)).astype(np.float32)
    grid = PhotoGrid(
        Preprocessing((25, 33), Crop.STRETCH).placement(25, 33), (7, 9), Upsampling.ALIGN_CORNERS
    )
    large = tf.compat.v1.image.resize_bilinear(scores[None], (25, 33), align_corners=True)
    np.testing.assert_array_equal(grid.best(scores), np.argmax(large[0], axis=2))


def test_memory_does_not_grow_with_the_photo() -> None:
    grid = PhotoGrid(Preprocessing((8, 8), Crop.STRETCH).placement(200, 130), (8, 8))
    scores = np.random.default_rng(1).normal(size=(8, 8, 3)).astype(np.float32)
    said = grid.best(scores)  # in strips that do not divide the height
    assert said.shape == (200, 130)
    assert set(np.unique(said)) == {0, 1, 2}


def test_class_numbers_are_enlarged_as_they_are_and_compared_as_such() -> None:
    numbers = BOX[:, ::3, ::3].astype(np.float32)  # [2, 4, 4]
    rows = rows_of({"float": scores_of(BOX[:, ::3, ::3]), "file": numbers}, BOX)
    assert not rows["file"]["changed"].any()
    result = evaluate(MaskRows(rows["file"], np.arange(2), rows["float"]), KIND)
    assert "sqnr_db" not in result.values
    assert result.drop.points == 0
    with pytest.raises(InvalidInputError, match="those of 3 classes"):
        rows_of({"file": numbers + 5}, BOX)


@pytest.mark.parametrize("end", ["probabilities", "logits"])
def test_one_score_tells_two_classes(end: str) -> None:
    contract = Preprocessing((SIDE, SIDE), Crop.STRETCH)
    scores = BOX[..., None] * 0.8 + 0.1
    scores = (scores if end == "probabilities" else 10 * scores - 5).astype(np.float32)
    rows = rows_of({"float": scores}, BOX, contract)
    assert evaluate(MaskRows(rows["float"], np.arange(2)), KIND).values["miou"] == 100


def test_nan_is_refused_and_not_an_answer() -> None:
    broken = scores_of(BOX)
    broken[1, 0, 0, 0] = np.nan
    rows = rows_of({"float": broken}, BOX)
    with pytest.raises(InvalidInputError, match="NaN or infinity on 1 of 2"):
        MaskRows(rows["float"])


def test_the_float_network_can_stand_for_the_truth() -> None:
    exact = scores_of(BOX)
    found = assumed(masked(None), CONTRACT, [(photos(2), (exact,))])
    assert found.masks is not None
    np.testing.assert_array_equal(found.masks.of(1), BOX[1])


def test_classes_are_those_of_the_map_or_of_the_labels() -> None:
    assert class_count((4, 4, 7), ()) == 7
    assert class_count((4, 4, 1), ()) == 2
    assert class_count((4, 4), ("a", "b", "c")) == 3
    with pytest.raises(InvalidInputError, match="needs the names of the classes"):
        class_count((4, 4), ())
    with pytest.raises(UnsupportedError, match="at most 255 classes"):
        class_count((4, 4, 300), ())


def test_an_ignored_value_is_that_of_the_contract() -> None:
    truth = BOX.copy()
    truth[SHIFTED != BOX] = 7
    contract = replace(CONTRACT, segmenter=Segmenter(ignored=7))
    rows = rows_of({"float": scores_of(SHIFTED)}, truth, contract)
    assert evaluate(MaskRows(rows["float"], np.arange(2)), KIND).values["miou"] == 100


def test_probabilities_are_told_by_the_float_network() -> None:
    grid = PhotoGrid(Preprocessing((4, 4), Crop.STRETCH).placement(4, 4), (4, 4))
    low = np.full((4, 4, 1), 0.3, np.float32)
    assert mask_of(grid, low, 2, low).max() == 0
    assert mask_of(grid, low, 2, low - 3).min() == 1
