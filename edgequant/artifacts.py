"""The folder that an artifact is delivered in, and when it need not be made again.

Beside the file, under its name: the record (what it was made from) and the labels; and SHA256SUMS.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from calibration_data.datasets.base import readings
from calibration_data.preprocessing import Preprocessing
from edgequant.rooms import ROOMS
from foundation.atomic import write_whole
from foundation.digests import sha256_of
from foundation.errors import InvalidInputError
from foundation.foreign import read_object
from quantize.plan import SUFFIX, QuantizationPlan
from quantize.recipes import Recipe

SUMS = "SHA256SUMS"
_RECORD = ".recipe.json"
_LABELS = ".labels.txt"


@dataclass(frozen=True)
class Artifact:
    """A written file.

    Attributes:
        path: of the file.
        recipe: which numbers it holds.
        sha256: of its bytes.
        size_bytes: of the file.
        key: hash of everything it was made from.
        unchanged: an earlier run had already made it from the same things.
    """

    path: Path
    recipe: Recipe
    sha256: str
    size_bytes: int
    key: str
    unchanged: bool

    @property
    def folder(self) -> Path:
        """Where the file and what goes with it lie."""
        return self.path.parent

    def beside(self, ending: str) -> Path:
        """A file that goes with the artifact: its name with another ending."""
        return self.folder / f"{self.path.stem}{ending}"

    def files(self) -> list[Path]:
        """Everything that goes with the artifact, itself included."""
        return [*own_files(self.folder, self.path.stem), self.folder / SUMS]


@cache
def code_digest() -> str:
    """A hash of our own source: another version may write other files."""
    home = Path(__file__).resolve().parent.parent
    whole = hashlib.sha256()
    for room in ("edgequant", *ROOMS):
        for path in sorted([*(home / room).rglob("*.py"), *(home / room).glob("templates/*")]):
            whole.update(path.read_bytes())
    return whole.hexdigest()


def data_digest(data: str | None) -> str:
    """A hash that changes when the files behind a DATA text do (names, sizes, times)."""
    if data is None:
        return ""
    root = next((Path(text) for text, _ in readings(data) if text and Path(text).exists()), None)
    if root is None:
        return data
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    whole = hashlib.sha256(data.encode())
    for path in files:
        stat = path.stat()
        whole.update(f"{path} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return whole.hexdigest()


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Installed versions of distributions, by name."""
    return {name: version(name) for name in packages}


def key_of(values: dict[str, Any]) -> str:
    """One hash of plain values and of our own source."""
    text = json.dumps({**values, "code": code_digest()}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def find_artifact(path: Path, recipe: Recipe, key: str) -> Artifact | None:
    """The artifact at ``path``, if it was made from the same things and all its files are whole."""
    stored = read_json(path.parent / f"{path.stem}{_RECORD}")
    sums = path.parent / SUMS
    if stored.get("key") != key or not path.is_file() or not sums.is_file():
        return None
    listed = set(sums.read_text(encoding="utf-8", errors="replace").splitlines())
    expected = {path.name, *stored.get("files", ())}
    there = own_files(path.parent, path.stem)
    if not expected <= {p.name for p in there} or not set(_sums(there)) <= listed:
        return None
    return Artifact(path, recipe, sha256_of(path), path.stat().st_size, key, unchanged=True)


def deliver(
    path: Path,
    recipe: Recipe,
    key: str,
    contract: Preprocessing,
    origin: dict[str, Any],
    plan: QuantizationPlan | None = None,
) -> Artifact:
    """Write what goes with a new artifact.

    Args:
        path: of the file, already in place.
        recipe: which numbers it holds.
        key: hash of what it was made from.
        contract: its preprocessing.
        origin: model, calibration and versions, for the record.
        plan: that the file is a rendering of, to lie beside it; None without one.
    """
    artifact = Artifact(path, recipe, sha256_of(path), path.stat().st_size, key, unchanged=False)
    for old in own_files(path.parent, path.stem):
        if old != path:  # a report of another file, say
            old.unlink()
    if contract.labels:
        write_text(artifact.beside(_LABELS), "\n".join(contract.labels) + "\n")
    if plan is not None:
        write_whole(artifact.beside(SUFFIX), plan.save)
    record = {
        "artifact": path.name,
        "sha256": artifact.sha256,
        "size_bytes": artifact.size_bytes,
        "recipe": recipe.to_dict(),
        "preprocessing": contract.to_dict(),
        **origin,
        "key": key,
    }
    record["files"] = [p.name for p in own_files(path.parent, path.stem)]
    write_json(artifact.beside(_RECORD), record)
    write_sums(path.parent, path.stem)
    return artifact


def remarks_of(artifact: Artifact) -> tuple[str, ...]:
    """What its record tells the user: notes of its plan, and what was repaired."""
    record = read_json(artifact.beside(_RECORD))
    return tuple(str(remark) for remark in record.get("remarks", ()))


def own_files(folder: Path, stem: str) -> list[Path]:
    """The files in a folder that belong to an artifact or report of that name, sorted."""
    return sorted(p for p in folder.iterdir() if p.is_file() and p.name.startswith(f"{stem}."))


def write_sums(folder: Path, stem: str) -> None:
    """Bring SHA256SUMS (``sha256sum --check`` reads it) up to date for the files of one name.

    Lines of other files stay, so that several artifacts can share a folder.
    """
    sums = folder / SUMS
    old = sums.read_text(encoding="utf-8").splitlines() if sums.is_file() else []
    kept = [line for line in old if not line.partition("  ")[2].startswith(f"{stem}.")]
    lines = sorted(
        (*kept, *_sums(own_files(folder, stem))), key=lambda line: line.partition("  ")[2]
    )
    write_text(sums, "\n".join(lines) + "\n")


def _sums(files: list[Path]) -> list[str]:
    return [f"{sha256_of(path)}  {path.name}" for path in files]


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of ours; an empty one when it is missing or damaged."""
    try:
        return read_object(path, "a record is JSON", "write it again")
    except InvalidInputError:
        return {}


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all; NaN is refused."""
    write_text(path, json.dumps(values, indent=2, allow_nan=False) + "\n")
