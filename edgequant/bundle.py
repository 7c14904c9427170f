"""A bundle on disk: its manifest, its hashes, its zip, and where it may be written."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgequant.artifacts import SUMS, read_json, write_text
from foundation.archives import open_zip
from foundation.atomic import PREFIX, clear_leftovers, write_whole
from foundation.digests import sha256_of
from foundation.errors import InvalidInputError

MANIFEST = "bundle.json"
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle.

    Raises:
        InvalidInputError: no bundle of ours.
    """
    values = read_json(folder / MANIFEST)
    if not isinstance(values.get("targets"), dict):
        raise InvalidInputError(
            f"a bundle is a folder with a {MANIFEST} that 'edgequant ship' wrote",
            received=str(folder),
            remedy="give the folder, or the .zip, that it wrote",
        )
    return values


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
    for path in (folder, zip_path(folder), page_path(folder)):
        if not os.path.lexists(path):
            continue
        ours = (path.is_dir() and read_json(path / MANIFEST)) or path.suffix in (".zip", ".html")
        if force and ours:
            continue
        raise InvalidInputError(
            "a bundle goes into a folder that is not there yet",
            received=f"{path}, which exists",
            remedy="choose another --output"
            + (", or give --force to replace the bundle" if ours else ""),
        )


def write_bundle(folder: Path, build: Callable[[Path], None]) -> None:
    """Build a bundle under a temporary name beside its place, then move it there whole.

    Args:
        folder: where it is to appear; an older bundle there goes only when the new one is whole.
        build: fills the folder that it is given, manifest included.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        clear_leftovers(folder.parent)
        scratch = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=folder.parent))
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        fresh = scratch / folder.name
        fresh.mkdir()
        build(fresh)
        write_sums(fresh)
        packed = scratch / zip_path(folder).name
        pack(fresh, packed)
        # A zip that is there is always that of the folder, wherever a kill comes.
        zip_path(folder).unlink(missing_ok=True)
        if folder.exists():
            folder.rename(_aside(folder))
        fresh.rename(folder)
        packed.replace(zip_path(folder))
        recover(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def recover(folder: Path) -> None:
    """Finish what a process that was killed while it replaced a bundle has left half done.

    The older bundle comes back where the new one had not taken its place yet, and goes where it
    had.

    Raises:
        InvalidInputError: the folder beside the bundle cannot be written.
    """
    aside = _aside(folder)
    try:
        if aside.is_dir() and os.path.lexists(folder):
            shutil.rmtree(aside)
        elif aside.is_dir():
            aside.rename(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _aside(folder: Path) -> Path:
    """Where an older bundle waits while the new one takes its place."""
    return folder.with_name(f".replaced-{folder.name}")


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
    """What is not as SHA256SUMS says: files that are missing, changed or not listed."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return [f"{SUMS} is missing or damaged"]
    listed = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    there = {path.relative_to(folder).as_posix(): path for path in bundle_files(folder)}
    problems = [f"{name} is missing" for name in listed if name not in there]
    problems += [f"{name} is not listed" for name in there if name not in listed]
    problems += [
        f"{name} has changed"
        for name, path in there.items()
        if name in listed and sha256_of(path) != listed[name]
    ]
    return sorted(problems)


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


def unpack(path: Path, folder: Path) -> Path:
    """Unpack the zip of a bundle into an empty folder and give the bundle's folder in it.

    Raises:
        InvalidInputError: no zip, or not of one folder.
    """
    rule = "a bundle is a folder, or the .zip of one"
    with open_zip(path, rule, "give what 'edgequant ship' wrote") as archive:
        archive.extractall(folder)
    roots = [p for p in folder.iterdir() if p.is_dir()]
    return roots[0] if len(roots) == 1 else folder


def _unwritable(folder: Path, error: OSError) -> InvalidInputError:
    return InvalidInputError(
        "the output folder is writable and has room",
        received=f"{folder} ({error.strerror or error})",
        remedy="free space, or choose another --output",
    )
