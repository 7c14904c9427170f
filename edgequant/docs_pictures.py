"""Draws the pictures of the docs: ``python -m edgequant.docs_pictures`` (``make picture``).

Each is drawn from a result in ``benchmarks/results``, once for each theme; a test fails if a stored
picture is not what this module draws.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from foundation.atomic import write_whole
from reports.compare_figures import drops, trade
from reports.page import Figure, Section
from reports.standalone import Theme, standalone

HOME = Path(__file__).resolve().parent.parent
_RESULT = Path("benchmarks/results/mobilenet_v2_small-compare.json")
_FOLDER = Path("docs/images")


@dataclass(frozen=True)
class Picture:
    """A picture of the docs.

    Attributes:
        name: name of its files, without the theme.
        draw: sections of a comparison's page, the first figure of which is shown.
    """

    name: str
    draw: Callable[[dict[str, Any]], list[Section]]


PICTURES = (Picture("accuracy", trade), Picture("drops", drops))


def drawn() -> Iterator[tuple[Path, str]]:
    """Path from the root of the checkout, and text, of each picture in each theme."""
    report = json.loads((HOME / _RESULT).read_text(encoding="utf-8"))
    for picture in PICTURES:
        (section,) = picture.draw(report)
        figure = next(part for part in section.parts if isinstance(part, Figure))
        for theme in Theme:
            path = _FOLDER / f"{picture.name}-{theme}.svg"
            yield path, standalone(figure.svg, theme, figure.alt)


def main() -> None:
    """Draw every picture again and print the names of those that changed."""
    for path, text in drawn():
        place = HOME / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_file() or place.read_text(encoding="utf-8") != text:
            write_whole(place, partial(Path.write_text, data=text, encoding="utf-8"))
            sys.stdout.write(f"{path}\n")


if __name__ == "__main__":
    main()
