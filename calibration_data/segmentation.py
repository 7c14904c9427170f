"""The part of a contract that turns the output of a segmenter into a mask."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from calibration_data.annotations import IGNORED
from foundation.errors import InvalidInputError
from foundation.foreign import printable


class Upsampling(StrEnum):
    """Pixel convention of the bilinear enlargement of a map to the input of the network."""

    HALF_PIXEL = "half_pixel"
    """Pixels are areas, whose centres lie at a half."""
    ALIGN_CORNERS = "align_corners"
    """The first and last pixels of both lie on each other, as in DeepLab's own code."""


@dataclass(frozen=True)
class Segmenter:
    """What a segmenter's masks mean.

    Attributes:
        ignored: value of a true mask's pixels that are not measured.
        palette: red, green and blue of each class for pictures; empty for the usual colours.
        upsampling: how scores are enlarged to the input; a map as large as it is left as it is.

    Raises:
        InvalidInputError: a value that no mask can have.
    """

    ignored: int = IGNORED
    palette: tuple[tuple[int, int, int], ...] = ()
    upsampling: Upsampling = Upsampling.HALF_PIXEL

    def __post_init__(self) -> None:
        values = [self.ignored, *(level for colour in self.palette for level in colour)]
        if strange := [value for value in values if not 0 <= value <= 255]:
            _refuse(
                "ignored and the levels of a palette are whole numbers from 0 to 255", strange[0]
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values of the table ``[segmentation]``, readable by ``from_dict``."""
        values: dict[str, Any] = {"ignored": self.ignored}
        if self.palette:
            values["palette"] = [list(colour) for colour in self.palette]
        if self.upsampling is not Upsampling.HALF_PIXEL:
            values["upsampling"] = self.upsampling.value
        return values

    @classmethod
    def from_dict(cls, values: Any) -> Segmenter:
        """Read the table ``[segmentation]`` of a contract.

        Raises:
            InvalidInputError: an unknown key, or a value that breaks a rule.
            TypeError, ValueError: a value of the wrong type.
        """
        if not isinstance(values, dict) or set(values) - {"ignored", "palette", "upsampling"}:
            _refuse("[segmentation] has the keys ignored, palette and upsampling", values)
        palette = values.get("palette", ())
        if not isinstance(palette, list | tuple) or not all(
            isinstance(colour, list | tuple) and len(colour) == 3 for colour in palette
        ):
            _refuse("a palette is a list of colours of three levels, [[r, g, b], ...]", palette)
        colours = tuple((int(r), int(g), int(b)) for r, g, b in palette)
        upsampling = values.get("upsampling", Upsampling.HALF_PIXEL.value)
        if upsampling not in list(Upsampling):
            _refuse(f"upsampling is one of {', '.join(Upsampling)}", upsampling)
        return cls(int(values.get("ignored", IGNORED)), colours, Upsampling(upsampling))


def _refuse(rule: str, received: object) -> None:
    raise InvalidInputError(
        rule, received=printable(received)[:200], remedy="correct [segmentation] in the contract"
    )
