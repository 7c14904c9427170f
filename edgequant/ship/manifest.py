"""bundle.json as ``verify`` reads it: every value is checked before it is used."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from calibration_data.preprocessing import Preprocessing
from edgequant.ship.bundle import MANIFEST
from edgequant.ship.contents import VERSION
from edgequant.ship.proving import Proven
from export.bundles.labels import check_labels
from export.bundles.target import ShipFile, ShipTarget, ship_targets
from foundation.foreign import read_object, reading

RULE = f"a bundle is a folder with a {MANIFEST} that 'edgequant ship' wrote"
REMEDY = "give the folder, or the .zip, that it wrote"
_NAME = re.compile(r"[^/\\:]{1,200}")
_MOST_DEPTH = 12
_MOST_TEXT = 20_000
Value = TypeVar("Value")
_Object = dict[str, Any]
_List = list[Any]


@dataclass(frozen=True)
class TargetEntry:
    """One target in the manifest.

    Attributes:
        target: platform.
        files: model files of the target, for the task of the network.
        contracts: preprocessing that the application does, by role of the file.
        proofs: results of measurements and proofs when the bundle was made, by name.
    """

    target: ShipTarget
    files: tuple[ShipFile, ...]
    contracts: Mapping[str, Preprocessing]
    proofs: Mapping[str, Proven]

    @property
    def figures(self) -> dict[str, Mapping[str, Any]]:
        """Figures of the measurements that the target's files were completed with."""
        measured = {name: self.proofs[name].figures for name in self.target.measurements}
        return {name: figures for name, figures in measured.items() if figures}


@dataclass(frozen=True)
class Manifest:
    """Manifest of a bundle.

    Attributes:
        model: name of the model, with which file names begin.
        contract: preprocessing of the model as it was trained.
        images: number of test vectors of each file.
        targets: targets by name, at least one.
        values: whole document, whose texts are printable lines and whose numbers are finite.
    """

    model: str
    contract: Preprocessing
    images: int
    targets: Mapping[str, TargetEntry]
    values: dict[str, Any]


def read_manifest(folder: Path) -> Manifest:
    """Manifest in the folder of a bundle.

    Raises:
        InvalidInputError: no bundle of ours, another version, or values of other types.
    """
    path = folder / MANIFEST
    values = read_object(path, RULE, REMEDY)
    with reading(path, RULE, REMEDY):
        _check_plain(values)
        version = _get(values, "bundle", int)
        if version != VERSION:
            raise ValueError(f"version {version}, where this edgequant knows {VERSION}")
        model = _get(values, "model", str)
        if not _NAME.fullmatch(model) or model.startswith("."):
            raise ValueError(f"a model's name that cannot be a file's: {model!r}")
        contract = Preprocessing.from_dict(_get(values, "preprocessing", dict))
        targets: _Object = _get(values, "targets", dict)
        known = ship_targets()
        if contract.labels or not all(known[n].any_outputs for n in targets if n in known):
            check_labels(contract, max(len(contract.labels), 1))
        if not targets:
            raise ValueError("no targets")
        return Manifest(
            model,
            contract,
            _get(_get(values, "vectors", dict), "images", int),
            {name: _target(name, _get(targets, name, dict), contract) for name in targets},
            values,
        )


def _target(name: str, values: dict[str, Any], contract: Preprocessing) -> TargetEntry:
    known = ship_targets()
    if name not in known:
        raise ValueError(f"the target {name}, where {', '.join(known)} are known")
    target = known[name]
    _get(values, "title", str)
    files: _Object = _get(values, "files", dict)
    needed = target.files_of(contract)
    roles = [file.role for file in needed]
    if list(files) != roles:
        raise ValueError(f"files {', '.join(files) or 'none'} of {name}, not {', '.join(roles)}")
    contracts = {
        role: Preprocessing.from_dict(_get(_get(files, role, dict), "preprocessing", dict))
        for role in roles
    }
    listed: _List = _get(values, "proofs", list)
    proofs = [_proof(proof) for proof in listed]
    later = [proof for proof in target.proofs if proof not in target.measurements]
    expected = [*target.measurements, *later]
    if [proof.name for proof in proofs] != expected:
        raise ValueError(f"other proofs of {name} than {', '.join(expected)}")
    return TargetEntry(target, needed, contracts, {proof.name: proof for proof in proofs})


def _proof(values: Any) -> Proven:
    _get(values, "figures", dict)
    for key in ("name", "verdict", "sentence"):
        _get(values, key, str)
    return Proven.from_dict(values)


def _get(values: Any, key: str, kind: type[Value]) -> Value:
    """Value of exactly this type; raises ValueError without one."""
    if not isinstance(values, dict) or type(values.get(key)) is not kind:
        raise ValueError(f"{key}, which is missing or of another type")
    value: Value = values[key]
    return value


def _check_plain(values: Any, depth: int = 0) -> None:
    """Raise ValueError on texts of several lines, numbers that are not finite, and deep nesting.

    Such texts go into the guide and the card, and some into sources.
    """
    if depth > _MOST_DEPTH:
        raise ValueError("nested too deeply")
    if isinstance(values, dict):
        _check_plain(list(values), depth)
        _check_plain(list(values.values()), depth)
    elif isinstance(values, list):
        for value in values:
            _check_plain(value, depth + 1)
    elif isinstance(values, str):
        if len(values) > _MOST_TEXT or not values.isprintable():
            raise ValueError("a text that is long, or of several lines")
    elif isinstance(values, int | float) and not (math.isfinite(values) and abs(values) <= 2**63):
        raise ValueError("a number that is not finite, or absurd")
