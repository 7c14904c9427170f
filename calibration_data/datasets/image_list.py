"""A text file with one image path per line: images without labels."""

from __future__ import annotations

from pathlib import Path

from calibration_data.datasets.base import Dataset, DatasetKind, SplitRole
from calibration_data.image_files import from_paths, listed_files
from foundation.errors import InvalidInputError
from foundation.foreign import read_text


def listed_names(path: Path) -> list[str]:
    """Image paths in a list, as they stand there; empty lines are passed over.

    Raises:
        InvalidInputError: unreadable, or not UTF-8.
    """
    rule = "a list of images is UTF-8 text with one path per line"
    text = read_text(path, rule, "write the list again", encoding="utf-8-sig")
    return [name for line in text.split("\n") if (name := line.strip())]


def _files(text: str) -> tuple[Path, ...]:
    path = Path(text)
    return tuple(listed_files(path, listed_names(path)))


def _open(text: str, split: str | None) -> Dataset:
    refuse_split(text, split)
    return from_paths(text, SplitRole.of(Path(text).stem), _files(text))


def refuse_split(text: str, split: str | None) -> None:
    """Raise InvalidInputError for a split of a file that has none."""
    if split is not None:
        raise InvalidInputError(
            f"{Path(text).suffix} data has no splits",
            received=f"{text}:{split}",
            remedy=f"give {text}, or a file for each split",
        )


KIND = DatasetKind(
    name="list",
    syntax="FILE.txt",
    summary="one image path per line, relative to the file, in its folder or below; no labels",
    matches=lambda text: text.endswith(".txt") and Path(text).is_file(),
    open=_open,
    referenced=_files,
    order=24,
)
