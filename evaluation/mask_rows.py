"""What is kept of the masks of a network: counts of each photo, instead of maps and masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from calibration_data.annotations import IGNORED, MaskTruth
from calibration_data.mask_classes import UNMEASURED, MaskClasses
from calibration_data.segmentation import Segmenter
from evaluation.masks import PhotoGrid, boundary_counts, class_count
from evaluation.scores import Outputs
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

    from calibration_data.datasets.base import Dataset
    from calibration_data.preprocessing import Preprocessing
    from evaluation.runner import Batch, Reduction

HITS, TRUE, SAID = range(3)
"""Columns of ``counts``."""


def row_type(classes: int) -> np.dtype[np.void]:
    """Structured dtype of what is kept of one photo.

    ``counts``: of each class, pixels where it is true and said, true, and said (what a matrix of
    true and said classes has in its diagonal and margins); ``borders`` as ``boundary_counts``;
    ``changed`` of ``seen`` pixels have another class than in the float network, most of them the
    change ``moved``; ``signal`` and ``noise`` are the sums of SQNR over the map as it is.
    """
    import numpy as np

    return np.dtype(
        [
            ("counts", np.int64, (classes, 3)),
            ("borders", np.int64, (classes, 4)),
            ("changed", np.int64),
            ("seen", np.int64),
            ("moved", np.int64, (2,)),
            ("signal", np.float64),
            ("noise", np.float64),
            ("finite", np.bool_),
        ]
    )


@dataclass(frozen=True, eq=False)
class MaskRows(Outputs):
    """Statistics of the masks of a network, ``[n]`` of ``row_type``.

    ``targets`` are the numbers of the photos, ``[n]``; the truth has been counted in the rows.

    Raises:
        InvalidInputError: a map with NaN or infinity, or masks of different classes.
    """

    def __post_init__(self) -> None:
        for rows, name in ((self.outputs, "outputs"), (self.reference, "outputs of float")):
            if rows is not None and not rows["finite"].all():
                raise InvalidInputError(
                    f"{name} are finite",
                    received=f"NaN or infinity on {int((~rows['finite']).sum())} of {len(rows)} "
                    "images",
                    remedy="check the weights, and the range of float16 activations",
                )

    @property
    def width(self) -> int:
        """Number of classes."""
        return int(self.outputs["counts"].shape[1])


def mask_classes(
    dataset: Dataset, contract: Preprocessing, classes: int, labels: tuple[str, ...]
) -> MaskClasses | None:
    """True masks of a dataset as classes of a network; None for images without masks."""
    if dataset.masks is None:
        return None
    segmenter = contract.segmenter or Segmenter(ignored=dataset.masks.ignored)
    return MaskClasses(dataset.masks, classes, labels, segmenter, dataset.name)


def reduction(dataset: Dataset, contract: Preprocessing, names: tuple[str, ...]) -> Reduction:
    """What is kept of the maps of a batch.

    Args:
        dataset: photos, with true masks or without.
        contract: contract of the networks.
        names: name of the output.
    """
    labels = contract.tasks.of(names[0], contract.labels).labels or contract.labels

    def reduced(
        arrays: Mapping[str, tuple[np.ndarray, ...]], batch: Batch
    ) -> dict[str, np.ndarray]:
        import numpy as np

        maps = {name: array for name, (array,) in arrays.items()}
        shapes = [array.shape[1:] for array in maps.values()]
        told = [s for s in shapes if len(s) == 3 and s[2] > 1]  # class numbers do not tell how many
        classes = max(class_count(shape, labels) for shape in told or shapes)
        truths = mask_classes(dataset, contract, classes, labels)
        rows = {name: np.zeros(len(batch.indices), row_type(classes)) for name in maps}
        for place, index in enumerate(batch.indices):
            size = _photo_size(batch, place, contract)
            truth = None if truths is None else truths.of(int(index), size, dataset.describe(index))
            # Where one gives classes, what is lost is not that others are enlarged smoothly.
            grids = _Grids(contract, size, as_numbers=len(told) < len(shapes))
            one = {name: array[place] for name, array in maps.items()}
            of_photo = {name: row[place] for name, row in rows.items()}
            _count(one, truth, grids, of_photo)
        return rows

    return reduced


@dataclass(frozen=True)
class _Grids:
    """How maps become masks of one photo.

    Attributes:
        contract: contract of the networks.
        size: height and width of the photo.
        as_numbers: whether scores become class numbers at the size of the map.
    """

    contract: Preprocessing
    size: tuple[int, int]
    as_numbers: bool

    def of(self, values: np.ndarray) -> tuple[PhotoGrid, np.ndarray]:
        """Grid of a map, and the values that are enlarged."""
        grid = grid_of(self.contract, self.size, values.shape[:2])
        return grid, classes_of(values) if self.as_numbers else values


def _count(
    maps: Mapping[str, np.ndarray],
    truth: np.ndarray | None,
    grids: _Grids,
    rows: Mapping[str, np.void],
) -> None:
    """Fill the rows of one photo, which all networks have seen."""
    import numpy as np

    exact = exact_mask = None
    for name, whole in maps.items():
        row, classes = rows[name], len(rows[name]["counts"])
        row["finite"] = np.isfinite(whole).all()
        if not row["finite"]:
            continue
        grid, values = grids.of(whole)
        seen = grid.seen
        exact = values if exact is None else exact
        mask = mask_of(grid, values, classes, exact)
        exact_mask = mask if exact_mask is None else exact_mask
        row["seen"] = seen.sum()
        _compare(row, exact_mask[seen], mask[seen], classes)
        if exact.shape == values.shape and values.ndim == 3:
            row["signal"] = np.square(exact.astype(np.float64)).sum()
            row["noise"] = np.square(exact.astype(np.float64) - values).sum()
        if truth is not None:
            known = np.where(seen, truth, UNMEASURED)
            row["counts"] = _counts(known, mask, classes)
            row["borders"] = boundary_counts(known, mask, classes)


def classes_of(values: np.ndarray) -> np.ndarray:
    """Class numbers ``[h, w]`` of a map of scores ``[h, w, classes]``; others as they are."""
    if values.ndim == 3 and values.shape[2] > 1:
        numbers: np.ndarray = values.argmax(axis=2)
        return numbers
    return values


def grid_of(contract: Preprocessing, size: tuple[int, int], map_size: tuple[int, ...]) -> PhotoGrid:
    """A map of a network on the pixels of a photo of a height and width."""
    place = contract.placement(*size)
    segmenter = contract.segmenter or Segmenter()
    return PhotoGrid(place, (map_size[0], map_size[1]), segmenter.upsampling)


def mask_of(grid: PhotoGrid, values: np.ndarray, classes: int, exact: np.ndarray) -> np.ndarray:
    """Mask of a photo, uint8 ``[height, width]``.

    Args:
        grid: the map on the photo.
        values: ``[h, w, classes]`` of scores, ``[h, w, 1]`` of scores of class 1 of two, or class
            numbers ``[h, w]`` or ``[h, w, 1]``.
        classes: number of classes.
        exact: the float network's values, which tell whether scores are probabilities.

    Raises:
        InvalidInputError: a class number that is no class.
    """
    import numpy as np

    if values.ndim == 3 and values.shape[2] > 1:
        return grid.best(values)
    if values.ndim == 3 and classes == 2:
        probabilities = exact.min() >= 0 and exact.max() <= 1
        return grid.best(values, 0.5 if probabilities else 0.0)
    numbers = values.reshape(values.shape[:2])
    if not 0 <= numbers.min() <= numbers.max() < classes:
        raise InvalidInputError(
            f"a map of class numbers has those of {classes} classes, from 0",
            received=f"{numbers.min():g} to {numbers.max():g}",
            remedy="give the labels that the network was trained with",
        )
    return grid.nearest(numbers.astype(np.uint8))


def _counts(truth: np.ndarray, said: np.ndarray, classes: int) -> np.ndarray:
    import numpy as np

    measured = truth >= 0
    true, found = truth[measured], said[measured]
    sets = (true[true == found], true, found)
    return np.stack([np.bincount(x, minlength=classes) for x in sets], axis=1)


def _compare(row: np.void, before: np.ndarray, after: np.ndarray, classes: int) -> None:
    """Count changed pixels, and find the most frequent change."""
    import numpy as np

    other = before != after
    row["changed"] = other.sum()
    if row["changed"]:
        pairs = before[other].astype(np.int64) * classes + after[other]
        row["moved"] = divmod(int(np.bincount(pairs).argmax()), classes)


def assumed(
    dataset: Dataset,
    contract: Preprocessing,
    batches: Sequence[tuple[Batch, tuple[np.ndarray, ...]]],
) -> Dataset:
    """Photos whose true masks are those of the float network.

    Args:
        dataset: photos.
        contract: contract of the network.
        batches: all photos, each batch with the float network's map.
    """
    import numpy as np

    masks: dict[int, np.ndarray] = {}
    for batch, (maps,) in batches:
        for place, index in enumerate(batch.indices):
            size, exact = _photo_size(batch, place, contract), maps[place]
            grid = grid_of(contract, size, exact.shape[:2])
            classes = class_count(exact.shape, contract.labels)
            mask = mask_of(grid, exact, classes, exact)
            masks[int(index)] = np.where(grid.seen, mask, IGNORED).astype(np.uint8)
    # With names, so that pixels that are not measured have the value given here.
    names = contract.labels or tuple(str(number) for number in range(classes))
    return replace(dataset, masks=MaskTruth(masks.__getitem__, names, IGNORED))


def _photo_size(batch: Batch, place: int, contract: Preprocessing) -> tuple[int, int]:
    """Height and width of a photo; plain arrays are as large as the tensor."""
    height, width = (int(side) for side in batch.sizes[place])
    return (height, width) if height and width else (contract.size[0], contract.size[1])
