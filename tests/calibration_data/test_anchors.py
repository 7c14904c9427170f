"""Anchors, the coding of boxes and matching against golden values of tensorflow/models."""

from __future__ import annotations

import numpy as np
import pytest

from calibration_data.anchors import BoxCoding, Scales, corners, matched
from calibration_data.box_decoder import overlaps
from foundation.errors import InvalidInputError

MAPS_300 = ((19, 19), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1))
"""Feature maps of ssdlite_mobilenet_v2_coco."""


def _boxes(scales: Scales, maps: tuple[tuple[int, int], ...]) -> np.ndarray:
    return np.concatenate([level.boxes() for level in scales.levels(maps)])


def test_anchors_of_the_published_detector() -> None:
    anchors = _boxes(Scales(), MAPS_300)
    assert anchors.shape == (1917, 4)
    assert anchors.dtype == np.float32
    centre = 0.5 / 19
    first = [
        (centre, centre, 0.1, 0.1),
        (centre, centre, 0.2 / 2**0.5, 0.2 * 2**0.5),
        (centre, centre, 0.2 * 2**0.5, 0.2 / 2**0.5),
        (centre, 3 * centre, 0.1, 0.1),  # the next column
    ]
    np.testing.assert_allclose(anchors[:4], first, rtol=1e-6)
    assert anchors[3 * 19, 0] == pytest.approx(3 * centre)  # the next row
    last = [
        (0.5, 0.5, 0.95, 0.95),
        (0.5, 0.5, 0.671751, 1.343503),
        (0.5, 0.5, 1.343503, 0.671751),
        (0.5, 0.5, 0.548483, 1.645448),
        (0.5, 0.5, 1.645530, 0.548456),  # of the ratio 0.3333
        (0.5, 0.5, 0.974679, 0.974679),  # of a scale between 0.95 and 1
    ]
    np.testing.assert_allclose(anchors[-6:], last, rtol=2e-6)


@pytest.mark.parametrize(("reduced", "count"), [(True, 7308), (False, 11640)])
def test_the_count_is_that_of_the_source(reduced: bool, count: int) -> None:
    """multiple_grid_anchor_generator_test.py, test_create_ssd_anchors_returns_correct_shape."""
    maps = ((38, 38), (19, 19), (10, 10), (5, 5), (3, 3), (1, 1))
    assert len(_boxes(Scales(reduced=reduced), maps)) == count


def test_a_square_anchor_is_square_in_the_pixels_of_a_rectangle() -> None:
    (level,) = Scales(0.5, 0.5, (1.0,), reduced=False).levels(((2, 4),), (100, 200))
    assert level.count == 2 * 4 * 2
    assert level.shapes[0] == (0.5, 0.25)
    anchors = level.boxes()
    np.testing.assert_allclose(anchors[0], (0.25, 0.125, 0.5, 0.25))
    np.testing.assert_allclose(anchors[-2, :2], (0.75, 0.875))


def test_scales_that_fall_are_refused() -> None:
    with pytest.raises(InvalidInputError, match=r"scales that rise .* 0.9 to 0.2: choose"):
        Scales(0.9, 0.2).levels(MAPS_300)


def test_codes_are_those_of_the_source() -> None:
    """faster_rcnn_box_coder_test.py: boxes and anchors by corners, with factors and without."""
    boxes = np.array([[10, 10, 20, 15], [0.2, 0.1, 0.5, 0.4]], np.float32)
    anchors = np.array([[22.5, 15, 15, 6], [0.35, 0.45, 0.7, 0.9]], np.float32)
    anchors[1] = [(0.1 + 0.7) / 2, (0.0 + 0.9) / 2, 0.7 - 0.1, 0.9 - 0.0]
    plain = [[-0.5, -0.416666, -0.405465, -0.182321], [-0.083333, -0.222222, -0.693147, -1.098612]]
    scaled = [[-1.0, -1.25, -1.62186, -0.911608], [-0.166667, -0.666667, -2.772588, -5.493062]]
    for factors, expected in (((1.0, 1.0, 1.0, 1.0), plain), ((2.0, 3.0, 4.0, 5.0), scaled)):
        coding = BoxCoding(factors)
        codes = coding.encode(boxes, anchors)
        np.testing.assert_allclose(codes, expected, rtol=1e-5)
        np.testing.assert_allclose(coding.decode(codes, anchors), boxes, atol=1e-5)


def test_codes_have_the_factors_of_the_published_detectors() -> None:
    """Factors 10 and 5 are the inverses of SSD's variances 0.1 and 0.2."""
    anchor = np.array([[0.5, 0.5, 0.2, 0.4]], np.float32)
    box = np.array([[0.4, 0.3, 0.8, 0.9]], np.float32)
    expected = [[5.0, 2.5, 5 * np.log(2), 5 * np.log(1.5)]]
    np.testing.assert_allclose(BoxCoding().encode(box, anchor), expected, rtol=1e-5)


def test_decoding_takes_a_batch() -> None:
    anchors = _boxes(Scales(), MAPS_300)[:7]
    boxes = BoxCoding().decode(np.zeros((2, 7, 4), np.float32), anchors)
    np.testing.assert_allclose(boxes, np.stack([corners(anchors)] * 2), atol=1e-7)


def test_overlaps_are_intersection_over_union() -> None:
    boxes = np.array([[0, 0, 2, 2], [0, 1, 2, 3], [5, 5, 6, 6], [1, 1, 1, 1]], np.float32)
    expected = np.zeros((4, 4))
    expected[:2, :2] = [[1, 1 / 3], [1 / 3, 1]]
    expected[2, 2] = 1
    np.testing.assert_allclose(overlaps(boxes, boxes), expected, atol=1e-6)


def test_an_anchor_takes_the_box_that_it_overlaps_most_and_a_box_its_best_anchor() -> None:
    anchors = np.array(
        [[0.25, 0.25, 0.5, 0.5], [0.25, 0.75, 0.5, 0.5], [0.75, 0.5, 0.5, 1.0]], np.float32
    )
    boxes = np.array(
        [
            [0.0, 0.0, 0.5, 0.5],  # the first anchor itself
            [0.0, 0.05, 0.5, 0.55],  # overlaps the first by 0.82, less than the box before
            [0.9, 0.0, 1.0, 0.1],  # in the third, by a fiftieth: taken for want of a better one
        ],
        np.float32,
    )
    assert matched(anchors, boxes[:1]).tolist() == [0, -1, -1]
    assert matched(anchors, boxes[:1], threshold=1.01).tolist() == [0, -1, -1]
    assert matched(anchors, boxes[[0, 2]]).tolist() == [0, -1, 1]
    assert matched(anchors, boxes[[1]], threshold=0.9).tolist() == [0, -1, -1]
    assert matched(anchors, np.zeros((0, 4), np.float32)).tolist() == [-1, -1, -1]
    outside = np.array([[2, 2, 3, 3]], np.float32)
    assert matched(anchors, outside).tolist() == [-1, -1, -1]
