"""The page of ``edgequant ship``, beside the bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgequant.cli.invocation import command_line
from edgequant.ship.bundle import MANIFEST, bundle_files, page_path, zip_path
from edgequant.ship.gates import Gates, outcomes
from foundation.digests import sha256_of
from reports.html import write_page
from reports.ship_page import Gate, Shipped, page


def write_ship_page(folder: Path, manifest: dict[str, Any], gates: Gates) -> Path:
    """Write the page of a bundle beside its folder.

    It is not in the bundle: the limits are those of this run, and the bundle stays as it is.

    Args:
        folder: of the bundle, whole.
        manifest: its bundle.json.
        gates: the limits of this run.
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
    told = [Gate(option, outcome) for option, outcome in outcomes(gates, manifest)]
    path = page_path(folder)
    write_page(page(manifest, files, told, command_line(), data), path)
    return path
