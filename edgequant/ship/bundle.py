"""A bundle on disk: its manifest, its hashes, its zip, and where it may be written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgequant.artifacts import SUMS, read_json, write_text
from edgequant.ship.survey import survey
from foundation.atomic import sync_folder, sync_tree, write_whole
from foundation.delivery import settle
from foundation.digests import sha256_of
from foundation.errors import InvalidInputError
from foundation.foreign import MOST_TEXT, printable, read_text, reading, reason_of, require_regular
from foundation.locking import exclusive, uninterrupted
from foundation.scratch import output_scratch, unwritable

MANIFEST = "bundle.json"
_LISTED = re.compile(r"([0-9a-f]{64})  (.+)")
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16
_REPLACED = ".replaced-"
_MOST_UNPACKED = 4 << 30
_GENERATOR = b'<meta name="generator" content="edgequant">'


def zip_path(folder: Path) -> Path:
    """Where the zip of a bundle is: beside the folder, under its name."""
    return folder.with_name(f"{folder.name}.zip")


def page_path(folder: Path) -> Path:
    """Where the page of a bundle is: beside the folder, under its name."""
    return folder.with_name(f"{folder.name}.html")


def refuse_occupied(folder: Path, *, force: bool) -> None:
    """Refuse to write where something is; with ``force`` a bundle of ours may be replaced.

    Raises:
        InvalidInputError: a folder or file that is in the way; nothing of it is touched.
    """
    for path, foreign in _beside(folder):
        reason = foreign(path) if os.path.lexists(path) else None
        if reason is None or (force and not reason):
            continue
        raise InvalidInputError(
            "a bundle goes into a folder that is not there yet",
            received=f"{printable(path)}, which exists" + (f" and {reason}" if reason else ""),
            remedy="move it away, or choose another --output"
            if reason
            else "choose another --output, or give --force to replace the bundle",
        )


def refuse_foreign_beside(folder: Path) -> None:
    """Refuse a zip or a page beside a bundle that are not ours: they would be written again.

    Raises:
        InvalidInputError: one of them; nothing of it is touched.
    """
    for path, foreign in _beside(folder)[1:]:
        if os.path.lexists(path) and (reason := foreign(path)):
            raise InvalidInputError(
                "beside a bundle lie its own zip and page",
                received=f"{printable(path)}, which exists and {reason}",
                remedy="move it away, or choose another --output",
            )


def _beside(folder: Path) -> tuple[tuple[Path, Callable[[Path], str]], ...]:
    """What a bundle consists of, and what tells why such a thing is not ours."""
    return (
        (folder, foreign_folder),
        (zip_path(folder), foreign_zip),
        (page_path(folder), foreign_page),
    )


def write_bundle(folder: Path, build: Callable[[Path], None]) -> None:
    """Build a bundle under a temporary name beside its place, then move it there whole.

    Args:
        folder: where it is to appear; an older bundle there goes only when the new one is whole.
        build: fills the folder that it is given, manifest included.

    Raises:
        InvalidInputError: the folder beside it cannot be written, or something that is not a
            bundle has come into its place.
    """
    with output_scratch(folder.parent, folder) as scratch:
        fresh = scratch / folder.name
        fresh.mkdir()
        build(fresh)
        write_sums(fresh)
        packed = scratch / zip_path(folder).name
        pack(fresh, packed)
        sync_tree(fresh)
        with exclusive(folder.parent):
            _recover(folder)
            refuse_occupied(folder, force=True)
            with uninterrupted():
                # A zip that is there is always that of the folder, wherever a kill comes.
                if zip_path(folder).exists():
                    zip_path(folder).rename(_aside(zip_path(folder)))
                if folder.exists():
                    folder.rename(_aside(folder))
                fresh.rename(folder)
                packed.replace(zip_path(folder))
                sync_folder(folder.parent)
                _recover(folder)


def recover(folder: Path) -> None:
    """Finish what processes that were killed have left half done beside a bundle.

    The older bundle comes back where the new one had not taken its place yet, and goes where it
    had; a bundle without its zip gets it. Other bundles beside it are looked after too.

    Raises:
        InvalidInputError: the folder beside the bundle cannot be written.
    """
    parent = folder.parent
    settle(parent)
    names = (path.name.removeprefix(_REPLACED) for path in parent.glob(f"{_REPLACED}?*"))
    others = {parent / name for name in names}
    others |= {path.with_suffix("") for path in others if path.suffix == ".zip"}
    try:
        for path in sorted({folder, *others}):
            if os.path.lexists(path) or os.path.lexists(_aside(path)):
                with exclusive(parent), uninterrupted():
                    _recover(path)
    except OSError as error:
        raise unwritable(folder, error) from error


def _recover(folder: Path) -> None:
    aside = _aside(folder)
    if aside.is_dir() and not aside.is_symlink():
        if not os.path.lexists(folder):
            aside.rename(folder)
        elif not foreign_folder(aside):
            with output_scratch(folder.parent) as scratch:  # a kill leaves what the next one clears
                aside.rename(scratch / "old")
    if not os.path.lexists(zip_path(folder)) and folder.is_dir() and not foreign_folder(folder):
        pack(folder, zip_path(folder))
    waiting = _aside(zip_path(folder))
    if waiting.is_file() and not foreign_zip(waiting):
        waiting.unlink()


def _aside(folder: Path) -> Path:
    """Where an older bundle, or its zip, waits while the new one takes its place."""
    return folder.with_name(f"{_REPLACED}{folder.name}")


def foreign_folder(folder: Path) -> str:
    """Why a folder is not a bundle as ``ship`` wrote it, as the end of a sentence; '' if it is.

    Every file must be listed in SHA256SUMS with its digest, and nothing else be there.
    """
    if folder.is_symlink() or not folder.is_dir():
        return "is no folder"
    if not _is_manifest(read_json(folder / MANIFEST)):
        return f"holds no {MANIFEST} that 'edgequant ship' wrote"
    try:
        entries = list(folder.rglob("*"))
        odd = [p for p in entries if p.is_symlink() or not (p.is_file() or any(p.iterdir()))]
        changed = [] if odd else changed_files(folder)
    except OSError as error:
        return f"cannot be read ({reason_of(error)})"
    except InvalidInputError as error:
        return f"is not as 'edgequant ship' wrote it ({error.received})"
    if odd:
        return (
            f"holds {printable(odd[0].relative_to(folder))}, which 'edgequant ship' did not write"
        )
    return f"is not as 'edgequant ship' wrote it ({changed[0]})" if changed else ""


def foreign_zip(path: Path) -> str:
    """Why a file is not the zip of a bundle, as the end of a sentence; '' if it is."""
    reason = "is not a zip that 'edgequant ship' wrote"
    try:
        sums = zip_sums(path)
    except InvalidInputError:
        return reason
    return "" if sums is not None else reason


def zip_sums(path: Path) -> str | None:
    """SHA256SUMS in the zip of a bundle; None if it holds anything that this does not list.

    Raises:
        InvalidInputError: no zip, or a damaged one.
    """
    rule, remedy = "the zip of a bundle can be read", "give what 'edgequant ship' wrote"
    require_regular(path, rule, remedy)
    with reading(path, rule, remedy), zipfile.ZipFile(path) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist()}
        roots = {name.partition("/")[0] for name in sizes}
        if len(roots) != 1 or sum(sizes.values()) > _MOST_UNPACKED:
            return None
        root = roots.pop()
        if sizes.get(f"{root}/{SUMS}", MOST_TEXT) >= MOST_TEXT:
            return None
        text = archive.read(f"{root}/{SUMS}").decode()
        if not _is_manifest(json.loads(archive.read(f"{root}/{MANIFEST}"))):
            return None
        lines = (line.partition("  ") for line in text.splitlines())
        listed = {f"{root}/{name}": digest for digest, _, name in lines}
        if {*listed, f"{root}/{SUMS}"} != set(sizes):
            return None
        for name, digest in listed.items():
            with archive.open(name) as handle:
                if hashlib.file_digest(handle, "sha256").hexdigest() != digest:  # type: ignore[arg-type]
                    return None
        return text
    return None


def foreign_page(path: Path) -> str:
    """Why a file is not the page of a bundle, as the end of a sentence; '' if it is."""
    reason = "is not a page that 'edgequant ship' wrote"
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_TEXT:
            return reason
        content = path.read_bytes()
    except OSError as error:
        return f"cannot be read ({reason_of(error)})"
    return "" if _GENERATOR in content[:4096] and f"/{MANIFEST}".encode() in content else reason


def is_packed(folder: Path) -> bool:
    """Whether the zip of a bundle is there and holds what the folder does."""
    path = zip_path(folder)
    return path.is_file() and zip_sums(path) == (folder / SUMS).read_text(encoding="utf-8")


def _is_manifest(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and isinstance(values.get("targets"), dict)
        and isinstance(values.get("key"), str)
    )


def bundle_files(folder: Path) -> list[Path]:
    """Every file of a bundle but its hashes, sorted by path inside it."""
    files = (p for p in folder.rglob("*") if p.is_file() and p != folder / SUMS)
    return sorted(files, key=lambda p: p.relative_to(folder).as_posix())


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS over every file (``sha256sum --check`` reads it)."""
    lines = [
        f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}" for path in bundle_files(folder)
    ]
    write_text(folder / SUMS, "\n".join(lines) + "\n")


def changed_files(folder: Path) -> list[str]:
    """What is not as SHA256SUMS says: files that are missing, changed or not listed.

    Raises:
        InvalidInputError: something that is no regular file, or more than a bundle holds.
    """
    there = set(survey(folder)) - {SUMS}
    listed = listed_digests(folder)
    if listed is None:
        return [f"{SUMS} is missing or damaged"]
    problems = [f"{printable(name)} is missing" for name in listed if name not in there]
    problems += [f"{printable(name)} is not listed" for name in there if name not in listed]
    problems += [
        f"{printable(name)} has changed"
        for name in there
        if name in listed and sha256_of(folder / name) != listed[name]
    ]
    return sorted(problems)


def listed_digests(folder: Path) -> dict[str, str] | None:
    """The digests in SHA256SUMS by path; None when it is missing or damaged."""
    try:
        text = read_text(folder / SUMS, f"{SUMS} has a digest and a path on each line", "-")
    except InvalidInputError:
        return None
    matches = [_LISTED.fullmatch(line) for line in text.splitlines()]
    listed = {match[2]: match[1] for match in matches if match}
    return listed if listed and len(listed) == len(matches) else None


def pack(folder: Path, target: Path) -> None:
    """Zip a bundle under its folder's name; equal bundles give equal bytes."""

    def write(part: Path) -> None:
        with zipfile.ZipFile(part, "w") as archive:
            for path in [*bundle_files(folder), folder / SUMS]:
                name = f"{folder.name}/{path.relative_to(folder).as_posix()}"
                info = zipfile.ZipInfo(name, _ZIP_DATE)
                info.external_attr = _MODE
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, path.read_bytes())

    write_whole(target, write)
