"""Page of ``edgequant ship``, beside the bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgequant.cli.invocation import command_line
from edgequant.ship.bundle import MANIFEST, bundle_files, page_path, zip_path
from edgequant.ship.gates import Advise, Gates, outcomes
from export.bundles.c import BUNDLE as C
from export.bundles.c import memory_in
from foundation.digests import sha256_of
from reports.html import write_page
from reports.ship_page import Gate, Shipped, page


def write_ship_page(folder: Path, manifest: dict[str, Any], gates: Gates, advise: Advise) -> Path:
    """Write the page of a bundle beside its folder.

    The page is not part of the bundle, since its limits are those of this run.

    Args:
        folder: folder of the complete bundle.
        manifest: contents of its bundle.json.
        gates: limits of this run.
        advise: says what to do about C sources beyond a limit.

    Returns:
        Path of the page.
    """
    files = [
        Shipped(path.relative_to(folder).as_posix(), path.stat().st_size, sha256_of(path))
        for path in bundle_files(folder)
    ]
    data = (
        ("manifest", f"{folder.name}/{MANIFEST}"),
        ("guide", f"{folder.name}/SHIPPING.md"),
        ("zip", zip_path(folder).name),
    )
    limits = [Gate(option, outcome) for option, outcome in outcomes(gates, manifest, advise)]
    path = page_path(folder)
    plan = memory_in(folder / C.name) if C.name in manifest["targets"] else None
    write_page(page(manifest, files, limits, command_line(), data, plan), path)
    return path
