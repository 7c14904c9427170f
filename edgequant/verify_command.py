"""``edgequant verify``: hashes, and every proof whose runtime is installed."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from edgequant.bundle import changed_files, read_manifest, unpack
from edgequant.proving import prove, show_proofs
from edgequant.terminal import Terminal
from evaluation.proofs.proof import Verdict
from export.bundles.target import ship_target
from foundation.errors import GateFailedError, InvalidInputError


def verify_command(bundle: Path, runtimes: Mapping[str, Path], terminal: Terminal) -> None:
    """Check a bundle again.

    Args:
        bundle: folder or .zip.
        runtimes: where a runtime is, by name, when it is not in this environment.
        terminal: output.

    Raises:
        InvalidInputError: no bundle.
        GateFailedError: a file that is not as it was written, or a proof that fails.
    """
    if not bundle.exists():
        raise InvalidInputError(
            "BUNDLE is an existing folder or .zip",
            received=f"{bundle}, which does not exist",
            remedy="check the path",
        )
    with tempfile.TemporaryDirectory() as scratch:
        folder = bundle if bundle.is_dir() else unpack(bundle, Path(scratch))
        _verify(bundle, folder, runtimes, terminal)


def _verify(bundle: Path, folder: Path, runtimes: Mapping[str, Path], terminal: Terminal) -> None:
    manifest = read_manifest(folder)
    if changed := changed_files(folder):
        raise GateFailedError(
            "every file of a bundle has the hash in SHA256SUMS",
            received="; ".join(changed[:3])
            + (f"; and {len(changed) - 3} more" if len(changed) > 3 else ""),
            remedy="copy the bundle again, or make it anew",
        )
    terminal.say("sha256: every file is as it was written")
    shown = {}
    failures = []
    for name in manifest["targets"]:
        results = prove(ship_target(name).proofs, folder / name, None, runtimes)
        show_proofs(name, results, terminal)
        shown[name] = [proven.to_dict() for proven in results]
        failures += [p for p in results if p.result.verdict is Verdict.FAILED]
    terminal.result({"bundle": str(bundle), "sha256": "as written", "proofs": shown})
    if failures:
        raise GateFailedError(
            "a bundle is proven by the platforms' runtimes",
            received=failures[0].result.sentence,
            remedy="make it anew, or look at the versions of the runtimes",
        )
