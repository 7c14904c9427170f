"""Measurements that are kept: a run that was interrupted does not measure a network again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from benchmarks.accuracy.rows import Row
from benchmarks.accuracy.runs import CACHE
from foundation.atomic import write_whole
from foundation.digests import sha256_of


def kept_rows(
    inputs: str,
    rows: Sequence[Row],
    files: Sequence[Path],
    conditions: tuple[object, ...],
    measure: Callable[[], list[Row]],
    cache: Path = CACHE,
) -> list[Row]:
    """Rows of an earlier measurement of the same files on the same images, or of a new one.

    Args:
        inputs: digest of the float network and its calibration tensors.
        rows: rows without figures.
        files: all files that are measured.
        conditions: data, number of images and runtimes.
        measure: measures, and gives the rows with their figures.
        cache: folder of the results.
    """
    from edgequant.artifacts import code_digest

    whole = hashlib.sha256(f"{code_digest()} {inputs} {conditions}".encode())
    for row in rows:
        whole.update(repr(asdict(row)).encode())
    for file in files:
        whole.update(sha256_of(file).encode())
    path = cache / f"measured-{whole.hexdigest()[:24]}.json"
    if path.is_file():
        return [Row(**values) for values in json.loads(path.read_text(encoding="utf-8"))]
    found = measure()
    text = json.dumps([asdict(row) for row in found])
    cache.mkdir(parents=True, exist_ok=True)
    write_whole(path, partial(Path.write_text, data=text, encoding="utf-8"))
    return found
