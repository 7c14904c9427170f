"""Manifest of a stored dataset: the origin of its images and the digests of its files."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from foundation.digests import sha256_of
from foundation.errors import InvalidInputError
from foundation.foreign import read_object, reading


@dataclass(frozen=True)
class StoredFile:
    """A file of the dataset and the sha256 of its bytes, in hexadecimal."""

    name: str
    sha256: str


@dataclass(frozen=True)
class StoredSplit:
    """One split of a stored dataset.

    Attributes:
        source_split: split of the source from which the images were taken.
        indices: indices of the images in that split; ``all`` for every image.
        images: file with the images.
        labels: file with the labels.
    """

    source_split: str
    indices: tuple[int, ...] | str
    images: StoredFile
    labels: StoredFile


@dataclass(frozen=True)
class Manifest:
    """Origin and files of a stored dataset.

    Attributes:
        source: publisher of the dataset, and the copy that was used.
        licence: SPDX name of its licence.
        splits: stored splits by name.
    """

    source: str
    licence: str
    splits: dict[str, StoredSplit]

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a manifest written by ``write``.

        Raises:
            InvalidInputError: a missing or damaged file.
        """
        rule = "a stored dataset has a manifest that states its files"
        remedy = "restore the file from the repository"
        values = read_object(path, rule, remedy)
        with reading(path, rule, remedy):
            return cls(
                values["source"],
                values["licence"],
                {name: _split(split) for name, split in values["splits"].items()},
            )

    def write(self, path: Path) -> None:
        """Write the manifest as JSON."""
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    def checked(self, folder: Path, file: StoredFile) -> Path:
        """Path of a file whose digest has been checked.

        Raises:
            InvalidInputError: a missing file, or a digest that differs from the manifest's.
        """
        path = folder / file.name
        digest = sha256_of(path) if path.is_file() else "no file"
        if digest != file.sha256:
            raise InvalidInputError(
                f"{file.name} has the sha256 that its manifest states",
                received=digest,
                remedy="restore the file from the repository",
            )
        return path


def _split(values: dict[str, Any]) -> StoredSplit:
    indices = values["indices"]
    return StoredSplit(
        values["source_split"],
        indices if isinstance(indices, str) else tuple(indices),
        StoredFile(**values["images"]),
        StoredFile(**values["labels"]),
    )
