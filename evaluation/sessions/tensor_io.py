"""Image inputs and outputs of a file, as every runtime handles them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from foundation.errors import InvalidInputError
from quantize.recipes import Layout

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class ImageInput:
    """The only input of an image network.

    Attributes:
        height: height in pixels.
        width: width in pixels.
        layout: order of the axes.
        batch: number of images per call; None when free.
    """

    height: int
    width: int
    layout: Layout
    batch: int | None

    @classmethod
    def from_shape(cls, shape: Sequence[object], source: str) -> ImageInput:
        """Read an input's shape; sizes that are not whole numbers above zero are free axes.

        Args:
            shape: shape of the file's input; NHWC where both layouts fit.
            source: name of the file for an error.

        Raises:
            InvalidInputError: not four axes, not 3 channels, or a free height or width.
        """
        sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
        if len(sizes) == 4 and sizes[3] == 3:
            layout, height, width = Layout.NHWC, sizes[1], sizes[2]
        elif len(sizes) == 4 and sizes[1] == 3:
            layout, height, width = Layout.NCHW, sizes[2], sizes[3]
        else:
            height = width = None
        if height is None or width is None:
            raise InvalidInputError(
                "the input of an image network is [batch, height, width, 3] or "
                "[batch, 3, height, width] with fixed height and width",
                received=f"{source} with {[s if s is not None else 'free' for s in sizes]}",
                remedy="export the network with one fixed image size",
            )
        return cls(height, width, layout, sizes[0])

    def check(self, images: np.ndarray) -> None:
        """Refuse images that are not finite float32 ``[b, height, width, 3]``.

        Raises:
            InvalidInputError: another dtype or shape, or a value that is NaN or infinite.
        """
        import numpy as np

        if images.dtype != np.float32 or images.shape[1:] != (self.height, self.width, 3):
            raise InvalidInputError(
                f"this file takes float32 images [batch, {self.height}, {self.width}, 3]",
                received=f"{images.dtype} {list(images.shape)}",
                remedy="use the preprocessing contract that the network was trained with",
            )
        if not np.isfinite(images).all():
            raise InvalidInputError(
                "preprocessed images are finite",
                received="NaN or infinity in an image",
                remedy="check mean and std of the preprocessing contract",
            )

    def arranged(self, images: np.ndarray) -> np.ndarray:
        """Images in the file's layout, ``[b, h, w, 3]`` or ``[b, 3, h, w]``, contiguous."""
        import numpy as np

        if self.layout is Layout.NCHW:
            images = images.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(images)

    def chunks(self, images: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Cut images into calls of ``batch`` images; into one call when the batch is free.

        Args:
            images: float32 ``[b, height, width, 3]``.

        Yields:
            Images of one call in the file's layout, and the number of wanted results: the last
            call is filled up with copies of its last image.

        Raises:
            InvalidInputError: images that ``check`` refuses.
        """
        import numpy as np

        self.check(images)
        size = self.batch or len(images)
        for start in range(0, len(images), max(size, 1)):
            chunk = images[start : start + size]
            wanted = len(chunk)
            if wanted < size:
                filling = np.repeat(chunk[-1:], size - wanted, axis=0)
                chunk = np.concatenate([chunk, filling])
            yield self.arranged(chunk), wanted

    def single(self, image: np.ndarray) -> np.ndarray:
        """One image in the file's layout, for a measurement of latency.

        Args:
            image: float32 ``[1, height, width, 3]``.

        Raises:
            InvalidInputError: an image that ``check`` refuses; more than one image; or a file
                whose batch is fixed above one, which cannot be timed on one image.
        """
        self.check(image)
        if len(image) != 1 or self.batch not in (None, 1):
            raise InvalidInputError(
                "latency is the time of one image",
                received=f"{len(image)} images for a file with batch {self.batch or 'free'}",
                remedy="export the network with batch 1",
            )
        return self.arranged(image)


def require_one(kind: str, count: int, source: str) -> None:
    """Refuse a network with several inputs or outputs, or none.

    Args:
        kind: ``input`` or ``output``.
        count: number of inputs or outputs of the file.
        source: name of the file for an error.

    Raises:
        InvalidInputError: ``count`` is not 1.
    """
    if count != 1:
        raise InvalidInputError(
            f"this needs a network with one {kind}",
            received=f"{source} with {count} {kind}s",
            remedy=f"export the network with the {kind} that matters",
        )


def require_outputs(count: int, source: str) -> None:
    """Refuse a network without outputs.

    Args:
        count: number of outputs of the file.
        source: name of the file for an error.

    Raises:
        InvalidInputError: no output.
    """
    if count < 1:
        raise InvalidInputError(
            "a network has one output at least",
            received=f"{source} with none",
            remedy="export the network up to its answers",
        )


def joined(calls: Sequence[Sequence[np.ndarray]], source: str) -> tuple[np.ndarray, ...]:
    """Join the outputs of several calls, output by output.

    Args:
        calls: for each call, one float ``[b, ...]`` per output.
        source: name of the file for an error.

    Returns:
        float32 ``[sum of b, ...]`` for each output.

    Raises:
        InvalidInputError: an output without a batch axis, or no images at all.
    """
    import numpy as np

    if not calls:
        raise InvalidInputError(
            "a prediction needs at least one image", received="none", remedy="give some images"
        )
    if flat := [output.shape for output in calls[0] if output.ndim < 2]:
        raise InvalidInputError(
            "an output of a network is [batch, ...], one row for each image",
            received=f"{source} with {list(flat[0])}",
            remedy="export the network with its batch axis",
        )
    return tuple(
        np.concatenate(outputs).astype(np.float32, copy=False)
        for outputs in zip(*calls, strict=True)
    )


def only_output(outputs: Sequence[np.ndarray], source: str) -> np.ndarray:
    """The output of a network that has only one.

    Args:
        outputs: arrays of ``Session.run``.
        source: name of the file for an error.

    Raises:
        InvalidInputError: several outputs.
    """
    require_one("output", len(outputs), source)
    return outputs[0]
