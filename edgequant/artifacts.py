"""Output folder of an artifact, and whether an existing artifact is up to date.

Beside the file, under its name, lie its record (inputs, companion files and their digests), labels,
plan and reports; and SHA256SUMS. Nothing else in the folder is touched.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from calibration_data.datasets.base import readings, referenced_files
from calibration_data.preprocessing import Preprocessing
from edgequant.rooms import source_folders
from export.target import export_targets
from foundation.atomic import write_whole
from foundation.delivery import Orders, Staging, is_plain, require_free, settle, staging
from foundation.delivery import deliver as move_in
from foundation.digests import sha256_of
from foundation.errors import InvalidInputError
from foundation.foreign import read_object, read_text, reading
from quantize.plans.plan import SUFFIX, QuantizationPlan
from quantize.recipes import Recipe

SUMS = "SHA256SUMS"
_RECORD = ".recipe.json"
_LABELS = ".labels.txt"
_ENDINGS = (SUFFIX, _RECORD, _LABELS, ".report.md", ".report.json")
_SUM = re.compile(r"(?P<digest>[0-9a-fA-F]{64}) [ *](?P<name>.+)")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_AWAY = "move it away, or choose another --output"


@dataclass(frozen=True)
class Artifact:
    """Written file.

    Attributes:
        path: path of the file.
        recipe: recipe of its numbers.
        sha256: digest of its bytes.
        size_bytes: size of the file.
        key: hash of everything that it was made from.
        unchanged: whether an earlier run had made it from the same inputs.
        kept: foreign files that were in the way, under their new names.
    """

    path: Path
    recipe: Recipe
    sha256: str
    size_bytes: int
    key: str
    unchanged: bool
    kept: tuple[Path, ...] = ()

    @property
    def folder(self) -> Path:
        """Folder of the file and its companions."""
        return self.path.parent

    def beside(self, ending: str) -> Path:
        """Path of a companion file: the artifact's name with another ending."""
        return self.folder / f"{self.path.stem}{ending}"

    def files(self) -> list[Path]:
        """Paths of the artifact, its companions and SHA256SUMS."""
        record = self.beside(_RECORD)
        names = sorted({*_recorded(self.folder, self.path.stem), record.name})
        return [*(self.folder / name for name in names), self.folder / SUMS]


@cache
def code_digest() -> str:
    """Hash of our own source: another version may write other files."""
    whole = hashlib.sha256()
    for folder in source_folders():
        for path in sorted([*folder.rglob("*.py"), *folder.glob("templates/*")]):
            whole.update(path.read_bytes())
    return whole.hexdigest()


def data_digest(data: str | None) -> str:
    """Hash of the names, sizes and times of the files behind a DATA text.

    Raises:
        InvalidInputError: a list of images that cannot be read.
    """
    if data is None:
        return ""
    root = next((Path(text) for text, _ in readings(data) if text and Path(text).exists()), None)
    files = [] if root is None else [root]
    if root is not None and not root.is_file():
        files = sorted(p for p in root.rglob("*") if p.is_file())
    for text in [text for text, _ in readings(data) if text] if root is None else [str(root)]:
        files += referenced_files(text)
    if not files:
        return data
    whole = hashlib.sha256(data.encode())
    for path in files:
        stat = path.stat()
        line = f"{path} {stat.st_size} {stat.st_mtime_ns}\n"
        whole.update(line.encode(errors="surrogateescape"))  # names need not be UTF-8
    return whole.hexdigest()


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Installed versions of distributions, by name."""
    return {name: version(name) for name in packages}


def key_of(values: dict[str, Any]) -> str:
    """Hash of plain values and of our own source."""
    text = json.dumps({**values, "code": code_digest()}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def check_folder(folder: Path, stem: str, suffix: str = "") -> tuple[Path, ...]:
    """Check an output folder before minutes are spent on its files.

    An unfinished delivery of a killed process is completed or discarded first.

    Args:
        folder: output folder, which need not exist.
        stem: name of the artifact, without its ending.
        suffix: ending of its file.

    Returns:
        Foreign files that were in the way, under their new names.

    Raises:
        InvalidInputError: SHA256SUMS or a record that cannot be read, or a folder or pipe in the
            place of a file.
    """
    kept = settle(folder)
    for name in (SUMS, *(f"{stem}{ending}" for ending in (suffix, *_ENDINGS) if ending)):
        require_free(folder / name)
    _recorded(folder, stem)
    return kept


def find_artifact(path: Path, recipe: Recipe, key: str) -> Artifact | None:
    """Artifact at ``path`` if its key is ``key`` and all its files are intact, else None."""
    folder, record = path.parent, path.with_name(f"{path.stem}{_RECORD}")
    if _record(folder, path.stem).get("key") != key:
        return None
    recorded, sums = _recorded(folder, path.stem), read_sums(folder)
    if path.name not in recorded or not set(recorded.items()) <= set(sums.items()):
        return None
    expected = {**recorded, record.name: sums.get(record.name)}
    if any(_digest_there(folder / name) != digest for name, digest in expected.items()):
        return None
    return Artifact(path, recipe, sha256_of(path), path.stat().st_size, key, unchanged=True)


@dataclass(frozen=True)
class Making:
    """Artifact to write.

    Attributes:
        path: path of the file.
        recipe: recipe of its numbers.
        key: hash of everything that it is made from.
        contract: its preprocessing.
        origin: model, calibration and versions, for the record.
        plan: plan that the file renders, to lie beside it; None without a plan.
        force: replace foreign files in the way.
    """

    path: Path
    recipe: Recipe
    key: str
    contract: Preprocessing
    origin: dict[str, Any]
    plan: QuantizationPlan | None = None
    force: bool = False


def deliver(made: Making, write: Callable[[Path], object]) -> Artifact:
    """Write an artifact and its companions: after a kill, all of them are new or none is.

    Args:
        made: artifact to write.
        write: writes the file to a path with the same name.

    Raises:
        InvalidInputError: the folder cannot be written, or a pipe has the name of a file.
    """
    stem, folder = made.path.stem, made.path.parent
    with staging(folder) as staged:
        part = staged.path(made.path.name)
        write(part)
        size, digest = part.stat().st_size, sha256_of(part)
        if made.contract.labels:
            text = "\n".join(made.contract.labels) + "\n"
            staged.path(f"{stem}{_LABELS}").write_text(text, encoding="utf-8")
        if made.plan is not None:
            made.plan.save(staged.path(f"{stem}{SUFFIX}"))
        record = {
            "artifact": made.path.name,
            "sha256": digest,
            "size_bytes": size,
            "recipe": made.recipe.to_dict(),
            "preprocessing": made.contract.to_dict(),
            **made.origin,
            "key": made.key,
            "files": staged.digests(),
        }
        staged.path(f"{stem}{_RECORD}").write_text(_json(record), encoding="utf-8")
        kept = deliver_files(staged, lambda: _recorded(folder, stem), force=made.force)
    return Artifact(made.path, made.recipe, digest, size, made.key, unchanged=False, kept=kept)


def add_files(artifact: Artifact, texts: Mapping[str, str], *, force: bool) -> tuple[Path, ...]:
    """Write more companions of an artifact, and list them in its record.

    Args:
        artifact: existing artifact.
        texts: contents of the files by ending.
        force: replace foreign files in the way.

    Returns:
        Foreign files that were in the way, under their new names.
    """
    folder, stem = artifact.folder, artifact.path.stem
    with staging(folder) as staged:
        for ending, text in texts.items():
            staged.path(f"{stem}{ending}").write_text(text, encoding="utf-8")
        added = staged.digests()

        def known() -> dict[str, str]:
            recorded = _recorded(folder, stem)
            record = {**_record(folder, stem), "files": {**recorded, **added}}
            staged.path(f"{stem}{_RECORD}").write_text(_json(record), encoding="utf-8")
            return {name: digest for name, digest in recorded.items() if name in added}

        return deliver_files(staged, known, force=force)


def deliver_files(
    staged: Staging, known: Callable[[], Mapping[str, str]] = dict, *, force: bool
) -> tuple[Path, ...]:
    """Move staged files into the output folder, and list them in SHA256SUMS.

    Lines of other files stay, so that several artifacts can share a folder.

    Args:
        staged: files to move.
        known: returns digests by name of the files that an earlier run wrote; such a file is
            deleted if it is not among the staged ones and still has its digest.
        force: replace foreign files in the way.

    Returns:
        Foreign files that were in the way, under their new names.
    """
    folder = staged.folder

    def order() -> Orders:
        recorded, sums = known(), read_sums(folder)
        written = staged.digests()
        text = _merged(folder, written, set(recorded) - set(written))
        staged.path(SUMS).write_text(text, encoding="utf-8")
        there = {name: _digest_there(folder / name) for name in (*written, SUMS)}
        replaced = {
            name: {there[name]} if force else {recorded.get(name), sums.get(name)}
            for name in written
        }
        replaced[SUMS] = {there[SUMS]}
        return Orders(
            {name: frozenset(d for d in known if d) for name, known in replaced.items()},
            {name: digest for name, digest in recorded.items() if name not in written},
        )

    return move_in(staged, order)


def remarks_of(artifact: Artifact) -> tuple[str, ...]:
    """Remarks in the record of an artifact: notes of its plan, and repairs."""
    record = _record(artifact.folder, artifact.path.stem)
    remarks = record.get("remarks")
    return tuple(map(str, remarks)) if isinstance(remarks, list) else ()


def read_sums(folder: Path) -> dict[str, str]:
    """Digests by name in SHA256SUMS; empty without that file.

    Raises:
        InvalidInputError: no regular file, or not UTF-8.
    """
    matches = (_SUM.fullmatch(line) for line in _sum_lines(folder))
    return {line["name"]: line["digest"].lower() for line in matches if line}


def as_listed(folder: Path, names: Iterable[str]) -> dict[str, bool]:
    """Whether each file of a folder has the digest in SHA256SUMS, by name."""
    sums = read_sums(folder)
    there = {name: _digest_there(folder / name) for name in names}
    return {name: digest is not None and sums.get(name) == digest for name, digest in there.items()}


def _sum_lines(folder: Path) -> list[str]:
    path = folder / SUMS
    if not os.path.lexists(path):
        return []
    rule = "SHA256SUMS in the output folder is a text file in UTF-8"
    return read_text(path, rule, _AWAY).splitlines()


def _merged(folder: Path, written: Mapping[str, str], gone: Collection[str]) -> str:
    """Text of SHA256SUMS with lines for written files and without those of deleted ones."""

    def name_of(line: str) -> str:
        match = _SUM.fullmatch(line)
        return match["name"] if match else ""

    old = [line for line in _sum_lines(folder) if name_of(line) not in {*written, *gone}]
    lines = (*old, *(f"{digest}  {name}" for name, digest in written.items()))
    return "\n".join(sorted(lines, key=name_of)) + "\n"


def _record(folder: Path, stem: str) -> dict[str, Any]:
    """Record of an artifact; empty if it is missing or cut off.

    Raises:
        InvalidInputError: no regular file, or nothing that this program writes.
    """
    path = folder / f"{stem}{_RECORD}"
    if not os.path.lexists(path):
        return {}
    rule = "the record of an artifact in the output folder is JSON in UTF-8"
    text = read_text(path, rule, _AWAY)
    with reading(path, rule, _AWAY):
        try:
            values = json.loads(text)
        except json.JSONDecodeError:
            return {}
    return values if isinstance(values, dict) else {}


def _recorded(folder: Path, stem: str) -> dict[str, str]:
    """Digests by name of the files that we wrote, by an artifact's record."""
    files, sums = _record(folder, stem).get("files"), read_sums(folder)
    if isinstance(files, list):  # earlier versions listed foreign files too
        files = {name: sums.get(name) for name in files if _is_ours(name, stem)}
    if not isinstance(files, dict):
        return {}
    return {
        name: digest
        for name, digest in files.items()
        if is_plain(name) and name.startswith(f"{stem}.") and isinstance(digest, str)
        if _DIGEST.fullmatch(digest)
    }


def _is_ours(name: object, stem: str) -> bool:
    endings = (*_ENDINGS, *(target.suffix for target in export_targets().values()))
    return isinstance(name, str) and name in {f"{stem}{ending}" for ending in endings}


def _digest_there(path: Path) -> str | None:
    """sha256 of a regular file; None for anything else."""
    return sha256_of(path) if path.is_file() else None


def read_json(path: Path) -> dict[str, Any]:
    """Object in a JSON file of ours; empty if it is missing or damaged."""
    try:
        return read_object(path, "a record is JSON", "delete it")
    except InvalidInputError:
        return {}


def write_text(path: Path, text: str) -> None:
    """Write a whole text file or none, after completing the delivery of a killed process."""
    settle(path.parent)
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a whole JSON file or none; NaN is refused."""
    write_text(path, _json(values))


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, allow_nan=False) + "\n"
