"""Input tensors and outputs of a file, as every runtime handles them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from export.input_layout import channels_last, file_layout, likely_layout
from foundation.errors import InvalidInputError
from quantize.settings import Layout

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class InputTensor:
    """The only input of a network: images, or other arrays of numbers.

    Attributes:
        shape: shape of one example, channels last: ``(height, width, channels)``, ``(features,)``,
            ``(time, features)``.
        layout: order of the axes in the file; matters for four axes only.
        batch: number of examples per call; None when free.
    """

    shape: tuple[int, ...]
    layout: Layout
    batch: int | None

    @classmethod
    def from_shape(
        cls, shape: Sequence[object], source: str, layout: Layout | None = None
    ) -> InputTensor:
        """Read an input's shape; sizes that are not whole numbers above zero are free axes.

        Args:
            shape: shape of the file's input.
            source: name of the file for an error.
            layout: order of its axes; None for the one that its sizes suggest (``likely_layout``).

        Raises:
            InvalidInputError: fewer than two axes or more than four, or a free axis behind the
                batch.
        """
        sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
        chosen = likely_layout(sizes) if layout is None else layout
        example = channels_last(sizes, chosen)
        fixed = tuple(size for size in example if size is not None)
        if not 2 <= len(sizes) <= 4 or len(fixed) != len(example):
            raise InvalidInputError(
                "the input of a network has one to three axes of fixed sizes behind the batch, "
                "such as [batch, height, width, channels]",
                received=f"{source} with {[s if s is not None else 'free' for s in sizes]}",
                remedy="export the network with one fixed input shape",
            )
        return cls(fixed, chosen, sizes[0])

    @classmethod
    def of_file(cls, path: Path, shape: Sequence[object]) -> InputTensor:
        """``from_shape`` of a file, whose contract, if it has one of ours, tells the layout.

        Raises:
            InvalidInputError: as ``from_shape``.
        """
        sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
        return cls.from_shape(shape, path.name, file_layout(path, sizes))

    def with_batch(self, batch: int) -> InputTensor:
        """Copy with another number of examples per call."""
        return replace(self, batch=batch)

    def check(self, examples: np.ndarray) -> None:
        """Refuse examples that are not finite float32 ``[b, *shape]``.

        Raises:
            InvalidInputError: another dtype or shape, or a value that is NaN or infinite.
        """
        import numpy as np

        if examples.dtype != np.float32 or examples.shape[1:] != self.shape:
            raise InvalidInputError(
                f"this file takes float32 [batch, {', '.join(map(str, self.shape))}]",
                received=f"{examples.dtype} {list(examples.shape)}",
                remedy="use the preprocessing contract that the network was trained with",
            )
        if not np.isfinite(examples).all():
            raise InvalidInputError(
                "preprocessed examples are finite",
                received="NaN or infinity in one of them",
                remedy="check mean and std of the preprocessing contract",
            )

    def arranged(self, examples: np.ndarray) -> np.ndarray:
        """Examples in the file's layout, contiguous."""
        import numpy as np

        if self.layout is Layout.NCHW and examples.ndim == 4:
            examples = examples.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(examples)

    def chunks(self, images: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        """Cut images into calls of ``batch`` images; into one call when the batch is free.

        Args:
            images: float32 ``[b, *shape]``.

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
            image: float32 ``[1, *shape]``.

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
    # One number for each image, such as that of its detections, stands beside outputs with rows.
    rows = {len(output) for output in calls[0] if output.ndim > 1}
    if flat := [o.shape for o in calls[0] if o.ndim < 1 or (o.ndim == 1 and {len(o)} != rows)]:
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
