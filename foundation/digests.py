"""Digests of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from foundation.foreign import require_regular


def sha256_of(path: Path) -> str:
    """Sha256 of a file's bytes, in hexadecimal.

    Raises:
        InvalidInputError: not a regular file; a named pipe, for instance, has no end.
        OSError: no such file, or a file that cannot be read.
    """
    if path.exists() and not path.is_file():
        require_regular(path, "what is hashed is a regular file")
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
