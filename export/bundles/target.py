"""What every ship target takes and gives; a target is one file of this package."""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration_data.preprocessing import Preprocessing
from foundation.errors import InvalidInputError
from quantize.recipes import Recipe

if TYPE_CHECKING:
    import numpy as np

VECTORS = "vectors"
"""Folder of a target's test vectors."""


class ContractNeed(StrEnum):
    """What a platform can express of a preprocessing contract."""

    ANY = "any"
    """The application computes with the contract's own numbers."""
    ONE_PAIR_RGB = "one-pair-rgb"
    """RGB with one mean and one std; another contract is folded into the first layer."""


@dataclass(frozen=True)
class ShipFile:
    """One model file that a target is made from.

    Attributes:
        role: what the target calls it (``int8``, ``float16``).
        recipe: which numbers, input and output type included.
        runtime: registered runtime that gives the outputs to expect.
        need: what the platform can express of the contract.
        dress: (path, contract, model's name) -> the content that ships, where the platform wants
            more than the pipeline wrote.
    """

    role: str
    recipe: Recipe
    runtime: str
    need: ContractNeed = ContractNeed.ANY
    dress: Callable[[Path, Preprocessing, str], bytes] | None = field(repr=False, default=None)


@dataclass(frozen=True)
class Vectors:
    """Test vectors of one file.

    Attributes:
        inputs: ``[n, ...]`` as the file takes them (uint8, int8 or float32).
        outputs: ``[n, classes]`` as the file gives them.
        runtime: what computed the outputs: name, version and kernels.
    """

    inputs: np.ndarray
    outputs: np.ndarray
    runtime: str

    def write(self, folder: Path, role: str) -> None:
        """Write ``ROLE.inputs.bin``, ``ROLE.outputs.bin`` (little endian, C order), ``ROLE.json``.

        ``ROLE.json`` has dtype and shape of both and the runtime; ``read_vectors`` reads them.
        """
        folder.mkdir(parents=True, exist_ok=True)
        values: dict[str, Any] = {"runtime": self.runtime}
        for name, array in (("inputs", self.inputs), ("outputs", self.outputs)):
            path = folder / f"{role}.{name}.bin"
            path.write_bytes(array.astype(array.dtype.newbyteorder("<")).tobytes())
            values[name] = {
                "file": path.name,
                "dtype": array.dtype.name,
                "shape": list(array.shape),
            }
        text = json.dumps(values, indent=2)
        (folder / f"{role}.json").write_text(text + "\n", encoding="utf-8")


def read_vectors(folder: Path, role: str) -> Vectors:
    """Read what ``Vectors.write`` wrote.

    Raises:
        InvalidInputError: missing or damaged files.
    """
    import numpy as np

    try:
        values = json.loads((folder / f"{role}.json").read_text(encoding="utf-8"))
        arrays = [
            np.frombuffer((folder / v["file"]).read_bytes(), np.dtype(v["dtype"])).reshape(
                v["shape"]
            )
            for v in (values["inputs"], values["outputs"])
        ]
        return Vectors(arrays[0], arrays[1], str(values["runtime"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInputError(
            "test vectors are a .json file and the two .bin files that it names",
            received=f"{folder / role}.json ({error})",
            remedy="make the bundle again",
        ) from error


@dataclass(frozen=True)
class BundleRequest:
    """What a target writes its folder from.

    Attributes:
        name: of the model, for file names.
        contract: of the model as it was trained.
        contracts: what the application is to do to a pixel, by role; differs from ``contract``
            where mean and std were folded into the file.
        files: written model files by role.
        vectors: test vectors by role.
        pixels: uint8 ``[n, height, width, 3]``, RGB, that the vectors were made from.
        accelerators: names of the configurations that a compiler is to compile for.
        probabilities: whether the outputs were seen to be probabilities.
    """

    name: str
    contract: Preprocessing
    contracts: Mapping[str, Preprocessing]
    files: Mapping[str, Path]
    vectors: Mapping[str, Vectors]
    pixels: np.ndarray
    accelerators: tuple[str, ...] = ()
    probabilities: bool = False


@dataclass(frozen=True)
class Budget:
    """What a target was measured to take.

    Attributes:
        what: of which file or configuration, for messages.
        flash: bytes; None when not measured.
        sram: bytes; None when not measured.
    """

    what: str
    flash: int | None
    sram: int | None


Figures = Mapping[str, Mapping[str, Any]]
"""Figures of each proof that ran, by the proof's name."""


@dataclass(frozen=True)
class ShipTarget:
    """A platform; a module of this package defines one as ``BUNDLE``.

    Attributes:
        name: as on the command line, and of the folder inside a bundle.
        title: for headings.
        extra: of the package, with the runtime that proves the files.
        files: model files that are written first.
        check: refuses a contract that the platform cannot express, before any work.
        write: (request, folder) writes the model files with what goes with them.
        finish: (request, folder, figures) writes what the measurements decide.
        guide: (request, folder, figures) -> Markdown on loading the files.
        measurements: names of proofs that run before ``finish``.
        proofs: names of proofs that run on the finished folder; ``verify`` runs them again.
        budgets: (folder, figures) -> what it takes, for the gates.
    """

    name: str
    title: str
    extra: str
    files: tuple[ShipFile, ...]
    check: Callable[[Preprocessing], None] = field(repr=False)
    write: Callable[[BundleRequest, Path], None] = field(repr=False)
    finish: Callable[[BundleRequest, Path, Figures], None] = field(repr=False)
    guide: Callable[[BundleRequest, Path, Figures], str] = field(repr=False)
    measurements: tuple[str, ...] = ()
    proofs: tuple[str, ...] = ()
    budgets: Callable[[Path, Figures], tuple[Budget, ...]] = field(
        repr=False, default=lambda _folder, _figures: ()
    )


def ship_targets() -> dict[str, ShipTarget]:
    """All targets by name, found by walking this package."""
    package = import_module("export.bundles")
    modules = (
        import_module(f"export.bundles.{m.name}") for m in pkgutil.iter_modules(package.__path__)
    )
    targets = (module.BUNDLE for module in modules if hasattr(module, "BUNDLE"))
    return {target.name: target for target in sorted(targets, key=lambda t: t.name)}


def ship_target(name: str) -> ShipTarget:
    """The target of that name.

    Raises:
        InvalidInputError: no such target.
    """
    targets = ship_targets()
    if name not in targets:
        raise InvalidInputError(
            f"--for takes names of {', '.join(targets)}, with commas",
            received=name or "an empty name",
            remedy="give some of these",
        )
    return targets[name]
