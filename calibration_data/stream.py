"""Decoding and preprocessing of images on all cores, a bounded number of batches ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from calibration_data.datasets.base import Dataset
from calibration_data.preprocessing import Preprocessing
from foundation.errors import InvalidInputError
from foundation.threads import cores

if TYPE_CHECKING:
    from calibration_data.datasets.base import Picture


@dataclass(frozen=True)
class Batch:
    """A batch of preprocessed examples.

    Attributes:
        images: tensors, float32 ``[b, *shape]`` with the contract's shape.
        labels: class of each image, int64 ``[b]``; None for images without labels.
        indices: index of each image in its dataset, int64 ``[b]``.
        sizes: height and width of each photo in pixels, int64 ``[b, 2]``; zeros for plain arrays.
    """

    images: np.ndarray
    labels: np.ndarray | None
    indices: np.ndarray
    sizes: np.ndarray


def stream(
    dataset: Dataset,
    preprocessing: Preprocessing,
    *,
    batch_size: int = 32,
    threads: int | None = None,
) -> Iterator[Batch]:
    """Decode and preprocess a dataset batch by batch, in its order.

    Pillow and NumPy release the interpreter lock, so threads decode in parallel. At most two
    batches per thread are in memory, however large the dataset is.

    Args:
        dataset: images to decode.
        preprocessing: contract to apply.
        batch_size: images per batch; the last batch may be smaller.
        threads: number of decoding threads; None for one per core.

    Raises:
        InvalidInputError: an image that cannot be decoded or that the contract does not accept;
            the message names it.
    """
    workers = threads or cores()
    order = np.arange(len(dataset))
    chunks = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    pending: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
        try:
            for chunk in chunks:
                if len(pending) == 2 * workers:
                    yield pending.popleft().result()
                pending.append(pool.submit(_load, dataset, preprocessing, chunk))
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


def converted(dataset: Dataset, index: int, convert: Callable[[Picture], np.ndarray]) -> np.ndarray:
    """Decode one image and convert it.

    Args:
        dataset: dataset of the image.
        index: index of the image in the dataset.
        convert: ``Preprocessing.tensor`` or ``Preprocessing.pixels``.

    Raises:
        InvalidInputError: raised by decoding or ``convert``; the message names the image.
    """
    try:
        return convert(dataset.decode(index))
    except InvalidInputError as error:
        name = dataset.describe(index)
        if name in error.received:
            raise
        raise InvalidInputError(
            error.rule,
            received=f"{error.received} ({name} of {dataset.name})",
            remedy=error.remedy,
        ) from error


def require_fit(dataset: Dataset, preprocessing: Preprocessing) -> None:
    """Refuse data whose first example the contract does not accept, before any work is done.

    Raises:
        InvalidInputError: raised by decoding or by the contract; the message names the example.
    """
    converted(dataset, 0, preprocessing.pixels)


def _load(dataset: Dataset, preprocessing: Preprocessing, indices: np.ndarray) -> Batch:
    images = np.empty((len(indices), *preprocessing.shape), np.float32)
    sizes = np.zeros((len(indices), 2), np.int64)
    for row, index in enumerate(indices):

        def convert(picture: Picture, row: int = row) -> np.ndarray:
            if not preprocessing.plain:
                sizes[row] = _size(picture)
            return preprocessing.tensor(picture)

        images[row] = converted(dataset, int(index), convert)
    labels = None if dataset.labels is None else dataset.labels[indices]
    return Batch(images, labels, indices, sizes)


def _size(picture: Picture) -> tuple[int, int]:
    if isinstance(picture, np.ndarray):
        return (picture.shape[0], picture.shape[1]) if picture.ndim > 1 else (0, 0)
    return picture.height, picture.width
