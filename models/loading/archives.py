"""Checks of Keras files before Keras reads them: sizes, links and configuration.

An HDF5 file can name other files, compress data a thousandfold, and state terabytes of content in
a file of kilobytes. Keras refuses some of this, in some of its readers.
"""

from __future__ import annotations

import io
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundation.archives import most_unpacked, open_zip, read_member
from foundation.errors import InvalidInputError
from foundation.foreign import reading, require_regular

if TYPE_CHECKING:
    import h5py

MOST_CONFIG = 64 << 20
"""Largest size of an architecture as JSON, in bytes; 1,000 layers take one or two MiB."""

_RESAVE = "save it again with model.save('name.keras')"
_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_HEAP = b"GCOL\x01\0\0\0"
_FILTERS = (1, 2, 3, 4, 6, 32000)
"""Codes of HDF5's built-in filters and h5py's LZF; any other would be loaded from a library."""


def keras_config(path: Path) -> dict[str, Any]:
    """Architecture in a .keras file, after a check of the sizes and links of the whole file.

    Raises:
        InvalidInputError: no such file, a damaged one, or one that unpacks to far more.
    """
    rule = "a .keras file is an archive that Keras 3 saved"
    with open_zip(path, rule, _RESAVE) as archive:
        config = _parsed(read_member(archive, _CONFIG, MOST_CONFIG))
        if _WEIGHTS in archive.namelist():
            content = archive.read(_WEIGHTS)
            _check_hdf5(io.BytesIO(content), len(content))
        return config


def is_archive_of_keras_3(path: Path) -> bool:
    """Whether Keras 3 wrote a .keras file; tf.keras 2.12 to 2.15 wrote them too.

    Args:
        path: of a file that ``keras_config`` has read.
    """
    rule = "a .keras file is an archive that Keras 3 saved"
    with open_zip(path, rule, _RESAVE) as archive:
        if _METADATA not in archive.namelist():
            return True
        version = _parsed(read_member(archive, _METADATA, MOST_CONFIG)).get("keras_version")
    return not str(version).startswith("2.")


def h5_config(path: Path) -> dict[str, Any]:
    """Architecture in a legacy .h5 file, after a check of the sizes and links of the whole file.

    Raises:
        InvalidInputError: no such file, a damaged one, one that unpacks to far more, or one with
            weights only.
    """
    import h5py

    rule = "an .h5 file is an HDF5 archive that Keras saved"
    require_regular(path, rule, _RESAVE)
    with reading(path, rule, _RESAVE):
        _check_hdf5(path, path.stat().st_size)
        with h5py.File(path, "r") as archive:
            stored = _config_of(archive)
    if stored is None:
        raise InvalidInputError(
            "an .h5 model holds the architecture beside the weights",
            received=f"{path}, which has no model_config",
            remedy="save the whole model, or give a registered --model and this file as --weights",
        )
    with reading(path, "an .h5 model holds its architecture as JSON", _RESAVE):
        return _parsed(stored)


def is_of_keras_3(path: Path) -> bool:
    """Whether Keras 3 wrote an .h5 file; tf.keras and Keras 2 write their own version, or none.

    Args:
        path: of a file that ``h5_config`` has read.
    """
    import h5py

    with h5py.File(path, "r") as archive:
        version = archive.attrs.get("keras_version", "")
    version = version.decode("utf-8", "replace") if isinstance(version, bytes) else str(version)
    return version.partition(".")[0] == "3"


def check_weights_file(path: Path) -> None:
    """Refuse an .h5 file of weights with excessive sizes or links to other files.

    Raises:
        InvalidInputError: no such file, a damaged one, or one that unpacks to far more.
    """
    rule = "weights are an HDF5 file that Keras saved"
    remedy = "save them again with model.save_weights('name.weights.h5')"
    require_regular(path, rule, remedy)
    with reading(path, rule, remedy):
        _check_hdf5(path, path.stat().st_size)


def _parsed(stored: bytes | str) -> dict[str, Any]:
    config = json.loads(stored)
    if not isinstance(config, dict):
        raise ValueError(f"an architecture that is a {type(config).__name__}")
    return config


def _config_of(archive: h5py.File) -> bytes | str | None:
    """Attribute model_config, a text of bounded length; None if the file has none."""
    import h5py

    if "model_config" not in archive.attrs:
        return None
    size = h5py.h5a.open(archive.id, b"model_config").get_storage_size()
    if size > MOST_CONFIG:
        raise ValueError(f"a model_config of {size:,} bytes, where {MOST_CONFIG:,} are the most")
    stored = archive.attrs["model_config"]
    if not isinstance(stored, bytes | str):
        raise ValueError("a model_config that is no text")
    if len(stored) > MOST_CONFIG:
        raise ValueError(f"a model_config of {len(stored):,} characters")
    return stored


def _check_hdf5(file: Path | io.BytesIO, size: int) -> None:
    """Raise ValueError if an HDF5 file names other files or holds more than its size allows."""
    import h5py

    longest = _longest_text(file.getvalue() if isinstance(file, io.BytesIO) else file.read_bytes())
    left = most_unpacked(size)
    with h5py.File(file, "r") as archive:
        groups, visited = [archive["/"]], set()
        while groups:
            group = groups.pop()
            address = h5py.h5o.get_info(group.id).addr
            if address in visited:  # a group may contain itself
                continue
            visited.add(address)
            _check_attributes(group, size, longest)
            for name in group:
                link = group.get(name, getlink=True)
                if isinstance(link, h5py.ExternalLink):
                    raise ValueError(f"a link to the file {link.filename[:80]}")
                if isinstance(link, h5py.SoftLink):  # its target is checked under its own path
                    continue
                child = group[name]
                if isinstance(child, h5py.Group):
                    groups.append(child)
                elif isinstance(child, h5py.Dataset):
                    left -= _checked_bytes(child, size)
                    if left < 0:
                        raise ValueError(f"{size:,} bytes that unpack to far more")


def _longest_text(content: bytes) -> int:
    """Bytes of the longest object in the heaps that hold texts; the heaps are checked.

    A heap whose free space has size 0 is refused: HDF5 reads such a one endlessly.

    Source: "Global Heap" of the HDF5 File Format Specification. A heap is GCOL, a version, three
    bytes of 0 and the heap's size, then for each object its index, its reference count, four bytes
    of 0, its size, and its content padded to a multiple of 8 bytes. Index 0 is the free space.
    """
    longest = 0
    heap = content.find(_HEAP)
    while heap >= 0:
        end = min(heap + int.from_bytes(content[heap + 8 : heap + 16], "little"), len(content))
        position = heap + 16
        while position + 16 <= end:
            index = int.from_bytes(content[position : position + 2], "little")
            size = int.from_bytes(content[position + 8 : position + 16], "little")
            if index == 0 and size < 16:
                raise ValueError("a heap whose free space has no size")
            longest = max(longest, size if index else 0)
            position += size if index == 0 else 16 + (size + 7) // 8 * 8
        heap = content.find(_HEAP, heap + 8)
    return longest


def _check_attributes(group: h5py.Group, size: int, longest: int) -> None:
    """Raise ValueError if an attribute holds more than a file of ``size`` bytes may unpack to.

    Args:
        group: whose attributes are looked at.
        size: bytes of the file.
        longest: bytes of the longest text in it, which any number of values may name.
    """
    import h5py

    for name in group.attrs:
        stored = h5py.h5a.open(group.id, name.encode("utf-8", "surrogateescape"))
        count = math.prod(stored.shape)
        value_bytes = min(size, longest) if stored.dtype.hasobject else stored.dtype.itemsize
        if stored.dtype.hasobject and count <= 1:
            continue  # a single text is stored uncompressed
        if count * value_bytes > most_unpacked(size):
            raise ValueError(f"an attribute {name[:80]} of {count:,} values")


def _checked_bytes(dataset: h5py.Dataset, size: int) -> int:
    """Size in bytes that a dataset states; ValueError for values elsewhere or behind a library."""
    if dataset.is_virtual or dataset.external:
        raise ValueError("values that are in another file")
    if dataset.dtype.hasobject:
        raise ValueError("values of variable length, where numbers are read")
    plist = dataset.id.get_create_plist()
    codes = [plist.get_filter(i)[0] for i in range(plist.get_nfilters())]
    if foreign := [code for code in codes if code not in _FILTERS]:
        raise ValueError(f"values behind the HDF5 filter {foreign[0]}")
    chunk = math.prod(dataset.chunks or (0,)) * dataset.dtype.itemsize
    stated = math.prod(dataset.shape or (0,)) * dataset.dtype.itemsize
    if chunk > most_unpacked(size):
        raise ValueError(f"a chunk of {chunk:,} bytes in a file of {size:,}")
    return int(stated)
