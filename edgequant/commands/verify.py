"""``edgequant verify``: is a bundle whole, is it what we write, and do the runtimes agree?

A bundle may come from anybody. Nothing of it is compiled or executed: sources are generated again
from its models (``edgequant/ship/rebuilding.py``), and models run in children.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgequant.artifacts import SUMS
from edgequant.cli.terminal import Terminal
from edgequant.ship.archive import REMEDY, RULE, unpack
from edgequant.ship.bundle import MANIFEST, changed_files
from edgequant.ship.manifest import RULE as MANIFEST_RULE
from edgequant.ship.manifest import Manifest, read_manifest
from edgequant.ship.proving import Proven, prove, show_proofs
from edgequant.ship.rebuilding import rebuild
from evaluation.proofs.proof import Verdict
from foundation.digests import sha256_of
from foundation.errors import GateFailedError, InvalidInputError
from foundation.foreign import MOST_TEXT, printable, reading, require_regular
from foundation.scratch import temporary_scratch

_DIGEST = re.compile(r"[0-9a-f]{64}")
_SHOWN = 3


@dataclass(frozen=True)
class VerifyRequest:
    """Check a bundle again.

    Attributes:
        bundle: folder or .zip.
        sha256: of the .zip, or of SHA256SUMS in the folder, as whoever made the bundle says it;
            None to take the bundle's own word.
        runtimes: where a runtime is, by name, when it is not in this environment.
    """

    bundle: Path
    sha256: str | None
    runtimes: Mapping[str, Path]


def verify_command(request: VerifyRequest, terminal: Terminal) -> None:
    """Check a bundle again.

    Raises:
        InvalidInputError: no bundle, or one with files that cannot be read.
        GateFailedError: another digest than was given, a file that is not as it was written, or
            a proof that fails.
    """
    bundle = request.bundle
    is_folder = os.path.isdir(bundle)  # noqa: PTH112 - Path.is_dir raises where it may not look
    if not is_folder:
        require_regular(bundle, RULE, REMEDY)
    _check_digest(request)
    with temporary_scratch() as scratch:
        ours = scratch / "ours"
        ours.mkdir()
        folder = bundle if is_folder else unpack(bundle, scratch / "unpacked")
        with reading(bundle, RULE, REMEDY):
            require_regular(folder / MANIFEST, MANIFEST_RULE, REMEDY)
            _check_sums(folder)
            manifest = read_manifest(folder)
        rebuild(folder, ours, manifest)
        _prove(request, ours, manifest, terminal)


def _check_digest(request: VerifyRequest) -> None:
    """Compare with the digest that was given, before anything else of the bundle is read."""
    if request.sha256 is None:
        return
    expected = request.sha256.strip().lower()
    if not _DIGEST.fullmatch(expected):
        raise InvalidInputError(
            "--sha256 takes 64 hexadecimal digits",
            received=printable(request.sha256)[:100] or "an empty text",
            remedy="copy what 'edgequant ship' printed",
        )
    path, what = request.bundle, "the .zip"
    if path.is_dir():
        path, what = path / SUMS, f"{SUMS} of the folder"
        require_regular(path, RULE, REMEDY, most_bytes=MOST_TEXT)
    with reading(path, RULE, REMEDY):
        digest = sha256_of(path)
    if digest != expected:
        raise GateFailedError(
            f"{what} has the digest that --sha256 gives",
            received=digest,
            remedy="take the bundle again from where it was made",
        )


def _check_sums(folder: Path) -> None:
    if changed := changed_files(folder):
        more = f"; and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        raise GateFailedError(
            f"every file of a bundle has the hash in {SUMS}",
            received="; ".join(changed[:_SHOWN]) + more,
            remedy="copy the bundle again, or make it anew",
        )


def _prove(request: VerifyRequest, ours: Path, manifest: Manifest, terminal: Terminal) -> None:
    """Run every proof on the folder that we wrote, and tell what came of it."""
    known = request.sha256 is not None
    terminal.say(
        "sha256: every file is as it was written, by the digest that was given"
        if known
        else "sha256: every file is as the bundle's own list says, and generated files are as "
        "edgequant writes them; who made the list is not known (--sha256 tells)"
    )
    shown = {}
    failures: list[str] = []
    for name, entry in manifest.targets.items():
        results = prove(entry.target.proofs, ours / name, None, request.runtimes)
        show_proofs(name, results, terminal)
        shown[name] = [proven.to_dict() for proven in results]
        failures += [f"{name}: {p.result.sentence}" for p in _failed(results, entry.proofs)]
    told = "as given" if known else "as written"
    terminal.result({"bundle": str(request.bundle), "sha256": told, "proofs": shown})
    if failures:
        raise GateFailedError(
            "a bundle is proven by the platforms' runtimes",
            received=failures[0],
            remedy="make it anew, or look at the versions of the runtimes",
        )


def _failed(results: list[Proven], before: Mapping[str, Proven]) -> list[Proven]:
    """Proofs that fail now, and those that failed when the bundle was made and cannot run now."""
    failures = []
    for proven in results:
        earlier = before[proven.name]
        if proven.result.verdict is Verdict.FAILED:
            failures.append(proven)
        elif (proven.result.verdict, earlier.result.verdict) == (Verdict.NOT_RUN, Verdict.FAILED):
            failures.append(earlier)
    return failures
