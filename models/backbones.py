"""Feature maps of the MobileNets that detectors and segmenters are built on.

A backbone is a family's network without its classifier. For an output stride below 32 the strides
that would pass it become dilations, so that weights of the classifier still fit (Chen et al. 2017,
"Rethinking Atrous Convolution for Semantic Image Segmentation", https://arxiv.org/abs/1706.05587,
section 3.1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from foundation.errors import InvalidInputError
from models.blocks import Residual


@dataclass(frozen=True)
class Backbone:
    """Feature maps of one network.

    Attributes:
        inputs: image, ``[b, h, w, channels]``.
        blocks: end of each block, in order.
        strides: output stride of each block.
    """

    inputs: Any
    blocks: tuple[Residual, ...]
    strides: tuple[int, ...]

    def last_at(self, stride: int) -> Residual:
        """End of the last block with an output stride.

        Raises:
            InvalidInputError: no block has it.
        """
        found = [block for block, at in zip(self.blocks, self.strides, strict=True) if at == stride]
        if not found:
            raise InvalidInputError(
                f"a block of the backbone has output stride {stride}",
                received=f"strides {', '.join(map(str, sorted(set(self.strides))))}",
                remedy="choose another backbone or stride",
            )
        return found[-1]

    def first_below(self, stride: int) -> Residual:
        """End of the first block whose output stride is above ``stride``; it expands at it.

        Raises:
            InvalidInputError: no block has a larger stride.
        """
        for block, at in zip(self.blocks, self.strides, strict=True):
            if at > stride:
                return block
        raise InvalidInputError(
            f"a block of the backbone follows output stride {stride}",
            received=f"strides up to {max(self.strides)}",
            remedy="choose another backbone or stride",
        )


@dataclass
class Strides:
    """Output stride and dilation while a backbone is built, block by block.

    Attributes:
        most: largest output stride.
        current: output stride of the last block.
        dilation: dilation of the next block.
    """

    most: int
    current: int
    dilation: int = 1

    def step(self, stride: int) -> tuple[int, int]:
        """Stride and dilation of the next block, whose nominal stride is given.

        A block that loses its stride keeps the dilation of those before it; the ones that follow
        are dilated by the stride that was lost.
        """
        dilation = self.dilation
        if self.current * stride > self.most:
            self.dilation *= stride
            return 1, dilation
        self.current *= stride
        # A strided convolution cannot be dilated, and none follows a lost stride.
        return stride, dilation


def unchanged(_spec: Any, x: Any) -> Any:
    """Last feature map as it is, for a head that no convolution stands ahead of."""
    return x


def halved(stages: tuple[Any, ...], first: int) -> tuple[Any, ...]:
    """Table of stages with half of the output channels from a row on.

    For few classes the last block of a network for ImageNet's thousand has more channels than it
    needs (Howard et al. 2019, https://arxiv.org/abs/1905.02244, sections 6.3 and 6.4).

    Args:
        stages: rows with ``channels``.
        first: index of the first row that is halved.
    """
    return tuple(
        replace(row, channels=row.channels // 2) if index >= first else row
        for index, row in enumerate(stages)
    )


def require_aligned(size: tuple[int, ...], stride: int) -> None:
    """Refuse an input on which a feature map of an output stride does not lie evenly.

    Cells of a feature map stand for ``stride`` pixels each if the side is a multiple of it, and
    their centres are ``stride`` pixels apart, from the first pixel to the last, if it is one more.

    Args:
        size: height and width of the input.
        stride: output stride of the feature map.

    Raises:
        InvalidInputError: another side.
    """
    if all(side % stride in (0, 1) and side > 1 for side in size):
        return
    side = next(side for side in size if side % stride not in (0, 1) or side <= 1)
    whole = max(stride, round(side / stride) * stride)
    raise InvalidInputError(
        f"at output stride {stride} the sides of the input are multiples of {stride}, or one more",
        received=f"{size[0]}x{size[1]}",
        remedy=f"choose {whole} or {whole + 1} instead of {side}, or another output stride",
    )
