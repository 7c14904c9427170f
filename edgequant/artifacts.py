"""The folder that an artifact is delivered in, and when it need not be made again.

Beside the file, under its name: the record (what it was made from, which files go with it, and
their digests), the labels, the plan and reports; and SHA256SUMS. Nothing else of the folder is
touched.
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
from edgequant.rooms import ROOMS
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
    """A written file.

    Attributes:
        path: of the file.
        recipe: which numbers it holds.
        sha256: of its bytes.
        size_bytes: of the file.
        key: hash of everything it was made from.
        unchanged: an earlier run had already made it from the same things.
        kept: files that were in the way and are not ours, under their new names.
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
        """Where the file and what goes with it lie."""
        return self.path.parent

    def beside(self, ending: str) -> Path:
        """A file that goes with the artifact: its name with another ending."""
        return self.folder / f"{self.path.stem}{ending}"

    def files(self) -> list[Path]:
        """Everything that goes with the artifact, itself included."""
        record = self.beside(_RECORD)
        names = sorted({*_recorded(self.folder, self.path.stem), record.name})
        return [*(self.folder / name for name in names), self.folder / SUMS]


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
    """A hash that changes when the files behind a DATA text do (names, sizes, times).

    Raises:
        InvalidInputError: a list of images that cannot be read.
    """
    if data is None:
        return ""
    root = next((Path(text) for text, _ in readings(data) if text and Path(text).exists()), None)
    if root is None:
        return data
    files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
    whole = hashlib.sha256(data.encode())
    for path in (*files, *referenced_files(str(root))):
        stat = path.stat()
        line = f"{path} {stat.st_size} {stat.st_mtime_ns}\n"
        whole.update(line.encode(errors="surrogateescape"))  # names need not be UTF-8
    return whole.hexdigest()


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Installed versions of distributions, by name."""
    return {name: version(name) for name in packages}


def key_of(values: dict[str, Any]) -> str:
    """One hash of plain values and of our own source."""
    text = json.dumps({**values, "code": code_digest()}, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def check_folder(folder: Path, stem: str, suffix: str = "") -> tuple[Path, ...]:
    """Look at a folder before minutes are spent on what is to lie in it.

    What a killed process has left there is finished or discarded first.

    Args:
        folder: that need not exist.
        stem: name of the artifact, without its ending.
        suffix: of its file.

    Returns:
        What was kept of files that were in the way, under their new names.

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
    """The artifact at ``path``, if it was made from the same things and all its files are whole."""
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
    """What an artifact is made from and goes with.

    Attributes:
        path: of the file.
        recipe: which numbers it holds.
        key: hash of what it is made from.
        contract: its preprocessing.
        origin: model, calibration and versions, for the record.
        plan: that the file is a rendering of, to lie beside it; None without one.
        force: what is there in its place goes, whoever wrote it.
    """

    path: Path
    recipe: Recipe
    key: str
    contract: Preprocessing
    origin: dict[str, Any]
    plan: QuantizationPlan | None = None
    force: bool = False


def deliver(made: Making, write: Callable[[Path], object]) -> Artifact:
    """Write an artifact with what goes with it: after a kill all of it is new, or nothing.

    Args:
        made: what it is.
        write: given a path with the same name, writes the file there.

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
    """Write more files that go with an artifact, and list them in its record.

    Args:
        artifact: that is there.
        texts: by ending.
        force: what is there in their place goes, whoever wrote it.

    Returns:
        What was kept of files that were in the way, under their new names.
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
    """Move staged files to their place together with SHA256SUMS over them.

    Lines of other files stay, so that several artifacts can share a folder.

    Args:
        staged: the files.
        known: gives digest by name of what an earlier run wrote; such a file goes if it is not
            among the staged ones and still has its digest.
        force: what is there in the place of a staged file goes, whoever wrote it.

    Returns:
        What was kept of files that were in the way, under their new names.
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
    """What its record tells the user: notes of its plan, and what was repaired."""
    record = _record(artifact.folder, artifact.path.stem)
    remarks = record.get("remarks")
    return tuple(map(str, remarks)) if isinstance(remarks, list) else ()


def read_sums(folder: Path) -> dict[str, str]:
    """Digest by name, as SHA256SUMS lists them; nothing without the file.

    Raises:
        InvalidInputError: no regular file, or not UTF-8.
    """
    found = (_SUM.fullmatch(line) for line in _sum_lines(folder))
    return {line["name"]: line["digest"].lower() for line in found if line}


def as_listed(folder: Path, names: Iterable[str]) -> dict[str, bool]:
    """Whether each file of a folder is there with the digest in SHA256SUMS, by name."""
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
    """SHA256SUMS with the lines of what is written, without those of what is gone."""

    def name_of(line: str) -> str:
        found = _SUM.fullmatch(line)
        return found["name"] if found else ""

    old = [line for line in _sum_lines(folder) if name_of(line) not in {*written, *gone}]
    lines = (*old, *(f"{digest}  {name}" for name, digest in written.items()))
    return "\n".join(sorted(lines, key=name_of)) + "\n"


def _record(folder: Path, stem: str) -> dict[str, Any]:
    """The record of an artifact; an empty one when it is missing or cut off.

    Raises:
        InvalidInputError: no regular file, or nothing that a tool of ours can have written.
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
    """Digest by name of the files that an artifact's record says we wrote."""
    files, sums = _record(folder, stem).get("files"), read_sums(folder)
    if isinstance(files, list):  # of earlier versions, which listed other people's files too
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
    """sha256 of a regular file; None of anything else."""
    return sha256_of(path) if path.is_file() else None


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file of ours; an empty one when it is missing or damaged."""
    try:
        return read_object(path, "a record is JSON", "delete it")
    except InvalidInputError:
        return {}


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; what a killed process left there is finished first."""
    settle(path.parent)
    write_whole(path, lambda part: part.write_text(text, encoding="utf-8"))


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write a JSON file whole or not at all; NaN is refused."""
    write_text(path, _json(values))


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, allow_nan=False) + "\n"
