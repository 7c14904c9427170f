"""The .zip of a bundle, which anybody may have made.

``foundation.archives`` checks what holds for every zip; this module adds the rules of a bundle: a
small directory at the end of the file, one root folder, regular files and folders alone, and names
that no system reads as another path. All of it is checked before a byte is unpacked, and sizes are
counted again while reading.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from pathlib import Path, PurePosixPath

from edgequant.ship.survey import MOST_BYTES, MOST_FILES, fault_of, refused
from foundation.archives import ZipLimits, open_zip
from foundation.foreign import printable, reading, require_regular
from foundation.scratch import require_space

RULE = "a bundle is a folder, or the .zip of one"
REMEDY = "give what 'edgequant ship' wrote"
_END = struct.Struct("<4s4H2LH")
"""End of the central directory: signature, disks, counts, its size and place, comment."""
_MOST_DIRECTORY = 1 << 20
"""Bytes of a central directory."""
_LIMITS = ZipLimits(
    members=MOST_FILES,
    ratio=50,  # models hardly shrink
    unpacked=MOST_BYTES,
    any_case=True,
)
_CHUNK = 1 << 20


def unpack(path: Path, folder: Path) -> Path:
    """Unpack the zip of a bundle.

    Args:
        path: path of the .zip.
        folder: empty folder, made if it does not exist; the bundle's folder goes into it.

    Returns:
        The bundle's folder.

    Raises:
        InvalidInputError: no zip, or not of one folder with a bundle's number, names, kinds and
            sizes of files.
    """
    require_regular(path, RULE, REMEDY, most_bytes=MOST_BYTES)
    folder.mkdir(exist_ok=True)
    with reading(path, RULE, REMEDY), path.open("rb") as handle:
        _check_end(path, handle)
    with open_zip(path, RULE, REMEDY, _LIMITS) as archive:
        root, members = _members(path, archive)
        require_space(folder, sum(info.file_size for info in members.values()))
        for name, info in members.items():
            target = folder / root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            _extract(path, archive, info, target)
    return folder / root


def _check_end(path: Path, handle: io.BufferedReader) -> None:
    """Bound the directory before zipfile reads it whole.

    Its end must be where our zips, and most others, have it: right at the end of the file.
    """
    size = handle.seek(0, io.SEEK_END)
    handle.seek(max(0, size - _END.size - 20))
    tail = handle.read()
    if len(tail) < _END.size or not tail[-_END.size :].startswith(b"PK\5\6"):
        raise refused(path, "no end of a zip's directory, or a comment behind it")
    _, _, _, _, count, directory, _, comment = _END.unpack(tail[-_END.size :])
    if tail.startswith(b"PK\6\7") or comment or directory > _MOST_DIRECTORY or count > MOST_FILES:
        raise refused(path, f"a directory of more than {MOST_FILES:,} members, or a comment")


def _members(path: Path, archive: zipfile.ZipFile) -> tuple[str, dict[str, zipfile.ZipInfo]]:
    """Root folder of a bundle, and its files by path inside that folder."""
    files: dict[str, zipfile.ZipInfo] = {}
    folders: set[str] = set()
    for info in archive.infolist():
        name = info.filename.removesuffix("/") if info.is_dir() else info.filename
        if (fault := _fault(info, name)) is not None:
            raise refused(path, f"{printable(name)[:200]} ({fault})")
        if info.is_dir():
            folders.add(name.casefold())
        else:
            files[name] = info
    lowered = {name.casefold() for name in files}
    folders |= {str(above) for name in lowered for above in PurePosixPath(name).parents}
    if both := lowered & folders:
        raise refused(path, f"{min(both)}, which is a file and a folder")
    roots = {name.partition("/")[0] for name in files}
    if len(roots) != 1 or any("/" not in name for name in files):
        raise refused(path, f"{len(roots)} folders or files side by side, where one folder is")
    root = roots.pop()
    return root, {name.removeprefix(f"{root}/"): info for name, info in files.items()}


def _fault(info: zipfile.ZipInfo, name: str) -> str | None:
    """Reason why a bundle has no such member; None if it may."""
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if info.is_dir() else stat.S_IFREG):
        return "a link, or no regular file"
    if info.is_dir() and info.file_size:
        return "a folder with content"
    # zipfile cuts a name at NUL and turns separators around: then it differs from the original.
    return fault_of(name) or (None if info.orig_filename == info.filename else "an odd name")


def _extract(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> None:
    left = info.file_size
    with archive.open(info) as source, target.open("xb") as handle:
        while chunk := source.read(_CHUNK):
            left -= len(chunk)
            if left < 0:
                raise refused(path, f"{info.filename}, larger than its entry says")
            handle.write(chunk)
    if left:
        raise refused(path, f"{info.filename}, smaller than its entry says")
