"""What every ship target takes and gives; a target is one file of this package."""

from __future__ import annotations

import json
import math
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration_data.preprocessing import Preprocessing
from foundation.errors import InvalidInputError
from foundation.foreign import read_object, reading, require_regular
from quantize.recipes import Recipe

if TYPE_CHECKING:
    import numpy as np

VECTORS = "vectors"
"""Folder of a target's test vectors."""
_VECTORS_RULE = "test vectors are a .json file and the two .bin files beside it"
_VECTORS_REMEDY = "make the bundle again"
_INPUT_TYPES = ("uint8", "int8", "float32")
_OUTPUT_TYPES = ("uint8", "int8", "float32")


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

    @property
    def kernels(self) -> str:
        """Registered name of the runtime that computed the outputs."""
        return self.runtime.split(" ", 1)[0]

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

    The files have the names that it gives them: the JSON is not asked where to look.

    Raises:
        InvalidInputError: missing or damaged files, other types or shapes, NaN or infinity.
    """
    import numpy as np

    listed = folder / f"{role}.json"
    values = read_object(listed, _VECTORS_RULE, _VECTORS_REMEDY)
    with reading(listed, _VECTORS_RULE, _VECTORS_REMEDY):
        inputs = _read_array(folder, f"{role}.inputs.bin", values["inputs"], _INPUT_TYPES)
        outputs = _read_array(folder, f"{role}.outputs.bin", values["outputs"], _OUTPUT_TYPES)
        runtime = values["runtime"]
        if len(inputs) != len(outputs) or outputs.ndim != 2:
            raise ValueError(f"shapes {list(inputs.shape)} and {list(outputs.shape)}")
        if not isinstance(runtime, str) or not 0 < len(runtime) <= 200 or not runtime.isprintable():
            raise ValueError("no runtime in one line of text")
        if not all(np.isfinite(a).all() for a in (inputs, outputs) if a.dtype.kind == "f"):
            raise ValueError("NaN or infinity")
        return Vectors(inputs, outputs, runtime)


def _read_array(folder: Path, name: str, values: Any, types: tuple[str, ...]) -> np.ndarray:
    """One array of test vectors; raises ValueError where its file is not as the JSON says."""
    import numpy as np

    shape, kind = values["shape"], values["dtype"]
    if values["file"] != name:
        raise ValueError(f"a file of another name than {name}")
    if kind not in types:
        raise ValueError(f"type {kind}, not of {', '.join(types)}")
    if not isinstance(shape, list) or not all(type(n) is int and 0 < n < 2**31 for n in shape):
        raise ValueError("a shape that is no list of whole numbers above zero")
    size = math.prod(shape) * np.dtype(kind).itemsize
    path = require_regular(folder / name, _VECTORS_RULE, _VECTORS_REMEDY, most_bytes=size)
    array = np.frombuffer(path.read_bytes(), np.dtype(kind).newbyteorder("<"))
    return array.astype(kind, copy=False).reshape(shape)


def largest_allowed(expected: np.ndarray) -> float:
    """How far an output may be from the expected ones where kernels depend on the processor.

    A quarter of the range of the expected outputs, and not under one step or 0.001: what kernels
    differ by is far smaller, and what outputs of something else are is far larger.
    """
    least = 1.0 if expected.dtype.kind in "iu" else 1e-3
    return max(least, 0.25 * (float(expected.max()) - float(expected.min())))


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
        data: (request, figures) -> names of the files that nothing of ours generates: models, and
            what other tools made of them.
        rebuild: (request, folder, figures) -> content of every other file but the test vectors, by
            name, generated from the data in a folder. ``verify`` compares it with what is there.
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
    data: Callable[[BundleRequest, Figures], tuple[str, ...]] = field(repr=False)
    rebuild: Callable[[BundleRequest, Path, Figures], Mapping[str, bytes]] = field(repr=False)
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
