"""Bundles on disk: manifest, digests, zip, and the rules for replacing an existing one."""

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
    """Path of the zip of a bundle: beside the folder, under its name."""
    return folder.with_name(f"{folder.name}.zip")


def page_path(folder: Path) -> Path:
    """Path of the page of a bundle: beside the folder, under its name."""
    return folder.with_name(f"{folder.name}.html")


def refuse_occupied(folder: Path, *, force: bool) -> None:
    """Refuse to overwrite anything; with ``force``, only what is not a bundle of ours.

    Raises:
        InvalidInputError: a folder or file is in the way; it is left as it is.
    """
    for path, foreign in _beside(folder):
        reason = foreign(path) if os.path.lexists(path) else None
        if reason is None or (force and not reason):
            continue
        raise InvalidInputError(
            "a bundle is written to a folder that does not exist yet",
            received=f"{printable(path)}, which exists" + (f" and {reason}" if reason else ""),
            remedy="move it away, or choose another --output"
            if reason
            else "choose another --output, or give --force to replace the bundle",
        )


def refuse_foreign_beside(folder: Path) -> None:
    """Refuse a foreign zip or page beside a bundle, which would be overwritten.

    Raises:
        InvalidInputError: the zip or the page is foreign; it is left as it is.
    """
    for path, foreign in _beside(folder)[1:]:
        if os.path.lexists(path) and (reason := foreign(path)):
            raise InvalidInputError(
                "the zip and the page beside a bundle are its own",
                received=f"{printable(path)}, which exists and {reason}",
                remedy="move it away, or choose another --output",
            )


def _beside(folder: Path) -> tuple[tuple[Path, Callable[[Path], str]], ...]:
    """Folder, zip and page of a bundle, each with the function that says why it is not ours."""
    return (
        (folder, foreign_folder),
        (zip_path(folder), foreign_zip),
        (page_path(folder), foreign_page),
    )


def write_bundle(folder: Path, build: Callable[[Path], None]) -> None:
    """Build a bundle under a temporary name beside its path, then move it there whole.

    Args:
        folder: path of the bundle; an older bundle there is deleted once the new one is complete.
        build: fills an empty folder, manifest included.

    Raises:
        InvalidInputError: the parent folder cannot be written, or something that is not a bundle
            is at that path now.
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
                # An existing zip is always that of the folder, wherever a kill comes.
                if zip_path(folder).exists():
                    zip_path(folder).rename(_aside(zip_path(folder)))
                if folder.exists():
                    folder.rename(_aside(folder))
                fresh.rename(folder)
                packed.replace(zip_path(folder))
                sync_folder(folder.parent)
                _recover(folder)


def recover(folder: Path) -> None:
    """Complete what killed processes left unfinished beside a bundle.

    The older bundle is restored if the new one had not been moved to its path, and deleted if it
    had; a bundle without a zip gets one. Other bundles in the same folder are completed too.

    Raises:
        InvalidInputError: the parent folder cannot be written.
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
    """Path of an older bundle, or its zip, while the new one is moved to its path."""
    return folder.with_name(f"{_REPLACED}{folder.name}")


def foreign_folder(folder: Path) -> str:
    """Reason why a folder is not a bundle as ``ship`` wrote it, as the end of a sentence, or ''.

    Every file must be listed in SHA256SUMS with its digest, and there must be nothing else.
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
    """Reason why a file is not the zip of a bundle, as the end of a sentence, or ''."""
    reason = "is not a zip that 'edgequant ship' wrote"
    try:
        sums = zip_sums(path)
    except InvalidInputError:
        return reason
    return "" if sums is not None else reason


def zip_sums(path: Path) -> str | None:
    """SHA256SUMS in the zip of a bundle; None if the zip holds anything that it does not list.

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
    """Reason why a file is not the page of a bundle, as the end of a sentence, or ''."""
    reason = "is not a page that 'edgequant ship' wrote"
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_TEXT:
            return reason
        content = path.read_bytes()
    except OSError as error:
        return f"cannot be read ({reason_of(error)})"
    return "" if _GENERATOR in content[:4096] and f"/{MANIFEST}".encode() in content else reason


def is_packed(folder: Path) -> bool:
    """Whether the zip of a bundle exists and holds the files of the folder."""
    path = zip_path(folder)
    return path.is_file() and zip_sums(path) == (folder / SUMS).read_text(encoding="utf-8")


def _is_manifest(values: Any) -> bool:
    return (
        isinstance(values, dict)
        and isinstance(values.get("targets"), dict)
        and isinstance(values.get("key"), str)
    )


def bundle_files(folder: Path) -> list[Path]:
    """Every file of a bundle except SHA256SUMS, sorted by path inside it."""
    files = (p for p in folder.rglob("*") if p.is_file() and p != folder / SUMS)
    return sorted(files, key=lambda p: p.relative_to(folder).as_posix())


def write_sums(folder: Path) -> None:
    """Write SHA256SUMS over every file (``sha256sum --check`` reads it)."""
    lines = [
        f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}" for path in bundle_files(folder)
    ]
    write_text(folder / SUMS, "\n".join(lines) + "\n")


def changed_files(folder: Path) -> list[str]:
    """Files that differ from SHA256SUMS: missing, changed or not listed, as parts of a sentence.

    Raises:
        InvalidInputError: something that is not a regular file, or more than a bundle may hold.
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
    """Digests in SHA256SUMS by path; None if it is missing or damaged."""
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
