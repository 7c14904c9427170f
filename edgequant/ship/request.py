"""Values that a bundle is asked for with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgequant.requests import QuantizeRequest
from edgequant.ship.gates import Gates


@dataclass(frozen=True)
class ShipRequest:
    """Bundle to write.

    Attributes:
        base: model, contract and calibration; the targets choose its recipes.
        targets: names of platforms, in the order of the guide.
        output: folder of the bundle.
        data: DATA that the test vectors are drawn from; None for the calibration images.
        vectors: number of images in the test vectors.
        accelerators: configurations of Ethos-U.
        gates: limits that the bundle must keep.
        runtimes: path of each runtime that is not in this environment, by name.
        force: replace an existing bundle.
        prefix: prefix of the symbols of C sources.
        patches: patches of C sources, as ``export.c.patches.Patches`` reads them.
    """

    base: QuantizeRequest
    targets: tuple[str, ...]
    output: Path
    data: str | None
    vectors: int
    accelerators: tuple[str, ...]
    gates: Gates
    runtimes: Mapping[str, Path]
    force: bool = False
    prefix: str = "net"
    patches: str = "none"
