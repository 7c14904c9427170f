"""Patches: the stages whose memory is largest computed tile by tile, as far as a budget needs it.

Rings of a chain that runs by rows are as wide as its tensors. Where that is too much, the chain
is cut into patches of its result, and what two patches need at their edges is computed twice; the
integers are the same. Lin et al. 2021, "MCUNetV2", arXiv:2110.15352, section 3.1, computes each
patch of a first stage wholly; here rows of a patch go through rings, so that bands of patches are
cheap, and the result is written over the image that is no longer needed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from export.c.layout import Layout
from export.c.schedule import Schedule, layer_by_layer
from export.c.search import Search
from foundation.errors import InvalidInputError

MOST_EXTRA = 0.1
"""Share of the multiply-adds that patches may add where no limit of the memory says more."""
_MOST_SIDES = 16
_BANDS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64)
_STRIPS = (1, 2, 3, 4, 5, 6, 7, 8)
_CUTS = tuple((down, across) for down in _BANDS for across in _STRIPS)[1:]


@dataclass(frozen=True)
class Patches:
    """Patches that a schedule may have.

    Attributes:
        sides: number of patches along rows and along columns; 1 for none, 0 for as many as needed.
        most_bytes: bytes of arena that are small enough; 0 for the least that ``MOST_EXTRA``
            allows. Only with as many as needed.
    """

    sides: int = 1
    most_bytes: int = 0

    @classmethod
    def of(cls, text: str) -> Patches:
        """Patches from ``none``, ``auto``, a number from 2, or what ``text`` returned.

        Raises:
            InvalidInputError: another text.
        """
        if text in ("none", "auto"):
            return cls(int(text == "none"))
        if found := re.fullmatch(r"at most ([1-9]\d{0,12}) bytes", text, re.ASCII):
            return cls(0, int(found[1]))
        if re.fullmatch(r"\d{1,2}", text, re.ASCII) and 2 <= int(text) <= _MOST_SIDES:
            return cls(int(text))
        raise InvalidInputError(
            f"--patches takes none, auto, or a number of patches a side from 2 to {_MOST_SIDES}",
            received=ascii(text)[:80] if text else "an empty text",
            remedy="write --patches auto",
        )

    @classmethod
    def asked(cls, text: str | None, most_bytes: int | None) -> Patches:
        """Patches that a user asks for: as many as a limit of the arena needs, unless told.

        Args:
            text: what the user says; None for nothing.
            most_bytes: limit of the arena; None without one.

        Raises:
            InvalidInputError: another text than ``of`` reads.
        """
        asked = cls.of(("none" if most_bytes is None else "auto") if text is None else text)
        return cls(0, most_bytes or 0) if asked == cls(0) else asked

    @property
    def text(self) -> str:
        """The text that ``of`` reads."""
        if self.sides == 0:
            return f"at most {self.most_bytes} bytes" if self.most_bytes else "auto"
        return "none" if self.sides == 1 else str(self.sides)


NONE = Patches()


def scheduled(layout: Layout, patches: Patches = NONE) -> Schedule:
    """Schedule with the least arena that is found, with patches where they are asked for.

    Args:
        layout: operators and sizes.
        patches: patches that it may have; with a limit of bytes, the fewest multiply-adds that
            keep it, or the least arena where none does.
    """
    layers = layer_by_layer(layout)
    whole = min(Search(layers).least(None), layers, key=arena)
    if patches.sides == 1 or (patches.most_bytes and whole.plan.arena <= patches.most_bytes):
        return whole
    if patches.sides:
        found = Search(whole, ((patches.sides, patches.sides),)).fitted(0, None)
    elif patches.most_bytes:
        search = Search(whole, _CUTS)
        found = search.fitted(patches.most_bytes, None)
        if found.plan.arena > patches.most_bytes:
            found = search.least(None)
    else:
        found = Search(whole, _CUTS).least(MOST_EXTRA)
    return min(found, whole, key=arena)


def arena(found: Schedule) -> int:
    """Bytes of the arena of a schedule."""
    return found.plan.arena
