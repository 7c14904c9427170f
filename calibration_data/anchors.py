"""Anchors of a single-shot detector, the coding of boxes against them, and their matching.

Boxes are relative to the image, float32 ``[n, 4]``: top, left, bottom, right from 0 to 1. Anchors
are float32 ``[n, 4]``: centre y, centre x, height, width, in the same unit.

Source: Liu et al. 2016, "SSD: Single Shot MultiBox Detector", https://arxiv.org/abs/1512.02325,
section 2.2; values, order and coding are those of tensorflow/models,
research/object_detection/anchor_generators/multiple_grid_anchor_generator.py and
box_coders/faster_rcnn_box_coder.py, for which published SSDLite weights were trained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from calibration_data.box_decoder import boxes_of, grid, overlaps
from foundation.errors import InvalidInputError


@dataclass(frozen=True)
class AnchorLevel:
    """Anchors of one feature map: the same shapes around each of its cells.

    Attributes:
        rows: height of the feature map.
        columns: width of the feature map.
        shapes: height and width of each anchor of a cell, relative to the image.
    """

    rows: int
    columns: int
    shapes: tuple[tuple[float, float], ...]

    @property
    def count(self) -> int:
        """Number of anchors."""
        return self.rows * self.columns * len(self.shapes)

    def boxes(self) -> np.ndarray:
        """Anchors row by row, cell by cell, shape by shape: float32 ``[count, 4]``."""
        return grid(self.rows, self.columns, self.shapes)


@dataclass(frozen=True)
class Scales:
    """Rule for the shapes of all levels.

    Attributes:
        smallest: scale of the first level, as a part of the image's shorter side.
        largest: scale of the last level.
        ratios: width over height of a cell's anchors; each level has one more square anchor of a
            scale between its own and the next level's.
        reduced: whether the first level has three anchors only, one of them of scale 0.1.
    """

    smallest: float = 0.2
    largest: float = 0.95
    ratios: tuple[float, ...] = (1.0, 2.0, 0.5, 3.0, 0.3333)
    reduced: bool = True

    def levels(
        self, sizes: tuple[tuple[int, int], ...], image: tuple[int, int] = (1, 1)
    ) -> tuple[AnchorLevel, ...]:
        """Anchors of feature maps of these heights and widths, the finest first.

        Args:
            sizes: height and width of each feature map.
            image: height and width of the image, or any other two numbers of their ratio. A square
                anchor is square in pixels.

        Raises:
            InvalidInputError: no feature map, or scales that do not rise.
        """
        if not sizes or not 0 < self.smallest <= self.largest <= 1:
            raise InvalidInputError(
                "anchors need a feature map, and scales that rise from above 0 to at most 1",
                received=f"{len(sizes)} maps, {self.smallest:g} to {self.largest:g}",
                remedy="choose other scales",
            )
        steps = max(len(sizes) - 1, 1)
        scales = [
            self.smallest + (self.largest - self.smallest) * i / steps for i in range(len(sizes))
        ] + [1.0]
        shorter = min(image)
        high, wide = shorter / image[0], shorter / image[1]
        return tuple(
            AnchorLevel(
                rows, columns, tuple((h * high, w * wide) for h, w in self._shapes(level, scales))
            )
            for level, (rows, columns) in enumerate(sizes)
        )

    def _shapes(self, level: int, scales: list[float]) -> tuple[tuple[float, float], ...]:
        scale = scales[level]
        if level == 0 and self.reduced:
            pairs = [(0.1, 1.0), (scale, 2.0), (scale, 0.5)]
        else:
            pairs = [(scale, ratio) for ratio in self.ratios]
            pairs.append((math.sqrt(scale * scales[level + 1]), 1.0))
        return tuple((s / math.sqrt(ratio), s * math.sqrt(ratio)) for s, ratio in pairs)


@dataclass(frozen=True)
class BoxCoding:
    """Coding of a box against an anchor: offsets of the centre, and logarithms of the sides.

    Attributes:
        factors: factors of y, x, height and width; the inverses are SSD's "variances".
    """

    factors: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)

    def encode(self, boxes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
        """Codes float32 ``[n, 4]`` of boxes ``[n, 4]`` against as many anchors."""
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        sides = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-6)
        offsets = (centres - anchors[:, :2]) / anchors[:, 2:]
        codes = np.concatenate([offsets, np.log(sides / anchors[:, 2:])], axis=1)
        coded: np.ndarray = (codes * np.array(self.factors, np.float32)).astype(np.float32)
        return coded

    def decode(self, codes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
        """Boxes float32 ``[..., n, 4]`` of codes ``[..., n, 4]`` against ``n`` anchors."""
        return boxes_of(codes, anchors, self.factors)


def corners(anchors: np.ndarray) -> np.ndarray:
    """Top, left, bottom and right of anchors, ``[n, 4]``."""
    half = anchors[:, 2:] / 2
    return np.concatenate([anchors[:, :2] - half, anchors[:, :2] + half], axis=1)


def matched(anchors: np.ndarray, boxes: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Box that each anchor is to find, int64 ``[anchors]``; -1 for none.

    An anchor takes the box that it overlaps most, if by ``threshold`` at least; every box has in
    any case the anchor that overlaps it most (Liu et al. 2016, section 2.2, "Matching strategy").

    Args:
        anchors: ``[n, 4]``, centres and sides.
        boxes: ``[m, 4]``, corners.
        threshold: least intersection over union.
    """
    if not len(boxes):
        return np.full(len(anchors), -1, np.int64)
    shares: Any = overlaps(corners(anchors), boxes.astype(np.float32))  # [n, m]
    best = shares.argmax(axis=1)
    result = np.where(shares[np.arange(len(anchors)), best] >= threshold, best, -1)
    for box, anchor in enumerate(shares.argmax(axis=0)):
        if shares[anchor, box] > 0:
            result[anchor] = box
    return result.astype(np.int64)
