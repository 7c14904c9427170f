"""Masks at the size of the photo, and what is counted of them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from calibration_data.placement import Placement
from calibration_data.segmentation import Upsampling
from foundation.errors import InvalidInputError, UnsupportedError

if TYPE_CHECKING:
    import numpy as np

MOST_CLASSES = 255
"""Largest number of classes of a mask in 8 bits beside the value of unmeasured pixels."""
TOLERANCE = 0.0075
"""Distance within which boundaries meet, as a share of the photo's diagonal."""
_STRIP = 64
"""Rows of a photo that are enlarged at once, so that memory does not grow with the photo."""


@dataclass(frozen=True, eq=False)
class PhotoGrid:
    """Map of a network on the pixels of a photo.

    A map is enlarged to the tensor of the network and from there to the photo, both bilinear; the
    second with half-pixel centres, the first as ``upsampling`` says. The two are one linear
    function of each axis, which is applied at once.

    Attributes:
        place: where the photo lies in the tensor.
        size: height and width of the map.
        upsampling: pixel convention of the enlargement to the tensor.
    """

    place: Placement
    size: tuple[int, int]
    upsampling: Upsampling = Upsampling.HALF_PIXEL
    _seen: tuple[Any, Any] = field(init=False, repr=False, default=(None, None))

    @property
    def seen(self) -> np.ndarray:
        """Whether the network sees each pixel, bool ``[height, width]``: a crop leaves some out."""
        sides: list[np.ndarray] = [self._inside(axis) for axis in (0, 1)]
        both: np.ndarray = sides[0][:, None] & sides[1]
        return both

    def best(self, scores: np.ndarray, cut: float | None = None) -> np.ndarray:
        """Class of each pixel of the photo, uint8 ``[height, width]``.

        Args:
            scores: ``[h, w, classes]``, of which the largest is the answer; or ``[h, w, 1]``.
            cut: score from which the answer of ``[h, w, 1]`` is class 1.
        """
        import numpy as np

        height, width = self.place.photo
        h, w, classes = scores.shape
        across = scores.transpose(1, 0, 2).reshape(w, h * classes)
        across = (self._columns @ across).reshape(width, h, classes)
        across = across.transpose(1, 0, 2).reshape(h, width * classes)
        answer = np.empty((height, width), np.uint8)
        for start in range(0, height, _STRIP):
            strip = (self._rows[start : start + _STRIP] @ across).reshape(-1, width, classes)
            best = strip.argmax(axis=2) if cut is None else strip[..., 0] >= cut
            answer[start : start + _STRIP] = best
        return answer

    def nearest(self, numbers: np.ndarray) -> np.ndarray:
        """Class of each pixel of the photo from a map of class numbers ``[h, w]``."""
        import numpy as np

        rows, columns = (
            np.clip(
                np.floor(self._positions(axis) * self.size[axis] / self.place.tensor[axis]),
                0,
                self.size[axis] - 1,
            ).astype(np.int64)
            for axis in (0, 1)
        )
        found: np.ndarray = numbers[rows][:, columns]
        return found

    @cached_property
    def _rows(self) -> Any:
        return self._taps(0)

    @cached_property
    def _columns(self) -> Any:
        return self._taps(1)

    def _positions(self, axis: int) -> np.ndarray:
        """Places of the photo's pixel centres in the tensor, in its pixels, float64 ``[n]``."""
        import numpy as np

        centres = np.arange(self.place.photo[axis]) + 0.5
        return centres * self.place.scale[axis] + self.place.offset[axis]

    def _inside(self, axis: int) -> np.ndarray:
        positions = self._positions(axis)
        inside: np.ndarray = (positions >= 0) & (positions <= self.place.tensor[axis])
        return inside

    def _taps(self, axis: int) -> Any:
        """Sparse weights ``[photo, map]`` of one axis."""
        import numpy as np

        side, wanted = self.size[axis], self.place.tensor[axis]
        whole = _bilinear(self._positions(axis), wanted)
        if side == wanted:
            return whole
        centres = (np.arange(wanted) + 0.5) * side / wanted
        if self.upsampling is Upsampling.ALIGN_CORNERS:
            centres = np.linspace(0.5, side - 0.5, wanted)
        return (whole @ _bilinear(centres, side)).tocsr()


def _bilinear(positions: np.ndarray, size: int) -> Any:
    """Sparse float32 weights ``[n, size]`` of linear interpolation at places in pixels."""
    import numpy as np
    from scipy.sparse import csr_array

    centre = np.clip(positions - 0.5, 0, size - 1)
    low = np.minimum(np.floor(centre).astype(np.int64), max(size - 2, 0))
    share = (centre - low).astype(np.float32)
    columns = np.stack([low, np.minimum(low + 1, size - 1)], axis=1).ravel()
    weights = np.stack([1 - share, share], axis=1).ravel()
    rows = np.repeat(np.arange(len(positions)), 2)
    return csr_array((weights, (rows, columns)), shape=(len(positions), size))


def boundary_counts(truth: np.ndarray, said: np.ndarray, classes: int) -> np.ndarray:
    """Pixels of boundaries that meet those of the other mask, int64 ``[classes, 4]``.

    Of each class: said boundary pixels near a true one, all said ones, true ones near a said one,
    all true ones. A boundary pixel is one of the class beside a pixel that is not; two meet within
    TOLERANCE of the photo's diagonal. Said ones on unmeasured pixels do not count.
    Source: Csurka, Larlus and Perronnin 2013, What is a good evaluation measure for semantic
    segmentation?, BMVC, section 3.

    Args:
        truth: true class of each pixel, ``[height, width]``; below zero where unmeasured.
        said: class that a network says.
        classes: number of classes.
    """
    import numpy as np
    from scipy.spatial import cKDTree

    counts = np.zeros((classes, 4), np.int64)
    reach = TOLERANCE * math.hypot(*truth.shape)
    for number in np.unique(truth[truth >= 0]):
        true, found = _edge(truth == number), _edge(said == number)
        counts[number, 3] = len(true)
        counted = found[truth[found[:, 0], found[:, 1]] >= 0]
        counts[number, 1] = len(counted)
        if len(true) and len(found):
            near_true = cKDTree(true).query(counted, distance_upper_bound=reach + 1e-9)[0]
            near_said = cKDTree(found).query(true, distance_upper_bound=reach + 1e-9)[0]
            counts[number, 0] = np.isfinite(near_true).sum()
            counts[number, 2] = np.isfinite(near_said).sum()
    return counts


def _edge(inside: np.ndarray) -> np.ndarray:
    """Rows and columns of the pixels of a region beside one outside, int64 ``[n, 2]``."""
    import numpy as np

    kept = np.ones_like(inside)
    kept[1:] &= inside[:-1]
    kept[:-1] &= inside[1:]
    kept[:, 1:] &= inside[:, :-1]
    kept[:, :-1] &= inside[:, 1:]
    return np.argwhere(inside & ~kept)


def class_count(shape: tuple[int, ...], labels: tuple[str, ...]) -> int:
    """Number of classes of a segmenter's output.

    Args:
        shape: shape of the output for one image: ``(h, w, classes)`` of scores, ``(h, w, 1)`` of
            scores for yes, or ``(h, w)`` of class numbers.
        labels: names of the classes; empty if unknown.

    Raises:
        InvalidInputError: class numbers without labels, which tell how many there are.
        UnsupportedError: more classes than a mask in 8 bits can have.
    """
    count = shape[2] if len(shape) == 3 and shape[2] > 1 else len(labels)
    if len(shape) == 3 and shape[2] == 1 and not labels:
        count = 2
    if count < 2:
        raise InvalidInputError(
            "a map of class numbers needs the names of the classes",
            received=f"an output {list(shape)} and {len(labels) or 'no'} labels",
            remedy="give --labels FILE, or labels in the contract",
        )
    if count > MOST_CLASSES:
        raise UnsupportedError(
            f"masks are measured for at most {MOST_CLASSES} classes",
            received=f"{count}",
            remedy="join classes that are not told apart",
        )
    return count
