"""Interface of the ship targets; a target is one file of this package."""

from __future__ import annotations

import json
import math
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration_data.preprocessing import Preprocessing
from calibration_data.task import Task
from foundation.errors import InvalidInputError
from foundation.foreign import read_object, reading, require_regular
from quantize.recipes import Recipe

if TYPE_CHECKING:
    import numpy as np

    from network.graph import Graph

VECTORS = "vectors"
"""Name of the folder with a target's test vectors."""
_VECTORS_RULE = "test vectors are a .json file and the two .bin files beside it"
_VECTORS_REMEDY = "make the bundle again"
_INPUT_TYPES = ("uint8", "int8", "float32")
_OUTPUT_TYPES = ("uint8", "int8", "float32")


class ContractNeed(StrEnum):
    """Preprocessing contracts that a platform can express."""

    ANY = "any"
    """The application computes with the contract's own numbers."""
    ONE_PAIR_RGB = "one-pair-rgb"
    """RGB with one mean and one std; another contract is folded into the first layer."""


@dataclass(frozen=True)
class ShipFile:
    """A model file that a target needs.

    Attributes:
        role: name of the file within the target (``int8``, ``float16``).
        recipe: recipe with the types of weights, activations, input and output.
        runtime: registered runtime that computes the expected outputs.
        need: contracts that the platform can express.
        dress: (path, contract, name of the model) -> content that ships, where the platform needs
            more than the pipeline writes.
        masks: whether the test vectors have the class of each place of a map, and not its scores.
    """

    role: str
    recipe: Recipe
    runtime: str
    need: ContractNeed = ContractNeed.ANY
    dress: Callable[[Path, Preprocessing, str], bytes] | None = field(repr=False, default=None)
    masks: bool = False


@dataclass(frozen=True)
class Vectors:
    """Test vectors of one file.

    Attributes:
        inputs: ``[n, ...]`` in the type of the file's input (uint8, int8 or float32).
        outputs: ``[n, numbers]`` in the type of the file's output: the scores of the classes, or
            the numbers of all outputs, one after the other in the file's order.
        runtime: name, version and kernels of the runtime that computed the outputs.
        classes: whether the outputs are the scores of classes, whose largest is the label.
        detections: largest number of detections of an image, if the outputs are ``DETECTIONS``;
            otherwise 0.
        masks: whether the outputs are the class of each place of a map, uint8, and not its scores.
    """

    inputs: np.ndarray
    outputs: np.ndarray
    runtime: str
    classes: bool = True
    detections: int = 0
    masks: bool = False

    @property
    def kernels(self) -> str:
        """Registered name of the runtime that computed the outputs."""
        return self.runtime.split(" ", 1)[0]

    def same_labels(self, outputs: np.ndarray) -> list[bool]:
        """Whether the largest expected score is a largest one of ``outputs`` too, by image.

        Outputs that are not the scores of classes have no label that could differ.
        """
        if not self.classes:
            return [True] * len(outputs)
        best = outputs == outputs.max(axis=1, keepdims=True)
        return [bool(row[e.argmax()]) for row, e in zip(best, self.outputs, strict=True)]

    def write(self, folder: Path, role: str) -> None:
        """Write ``ROLE.inputs.bin``, ``ROLE.outputs.bin`` (little endian, C order), ``ROLE.json``.

        ``ROLE.json`` has dtype and shape of both, and the runtime. ``read_vectors`` reads them.
        """
        folder.mkdir(parents=True, exist_ok=True)
        values: dict[str, Any] = {"runtime": self.runtime}
        if not self.classes:
            values["classes"] = False
        if self.detections:
            values["detections"] = self.detections
        if self.masks:
            values["masks"] = True
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
    """Read test vectors that ``Vectors.write`` wrote.

    The names of the files follow from the role; names in the JSON are not followed.

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
        detections, masks = values.get("detections", 0), values.get("masks", False) is True
        if type(detections) is not int or (
            detections and not (detections > 0 and outputs.shape[1] == 6 * detections + 1)
        ):
            raise ValueError("outputs that are no detections")
        if masks and outputs.dtype != np.uint8:
            raise ValueError("outputs that are no masks")
        classes = values.get("classes", True) is True
        return Vectors(inputs, outputs, runtime, classes, detections, masks)


def _read_array(folder: Path, name: str, values: Any, types: tuple[str, ...]) -> np.ndarray:
    """Read one array of test vectors; raises ValueError where its file is not as the JSON says."""
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
    """Largest difference from expected outputs that is allowed between processors.

    It is a quarter of the range of the expected outputs, and at least one step or 0.001: kernels
    differ by far less, and the outputs of another network by far more.
    """
    least = 1.0 if expected.dtype.kind in "iu" else 1e-3
    return max(least, 0.25 * (float(expected.max()) - float(expected.min())))


@dataclass(frozen=True)
class BundleRequest:
    """Files and values from which a target writes its folder.

    Attributes:
        name: name of the model, for file names.
        contract: preprocessing with which the model was trained.
        contracts: preprocessing that the application has to do, by role; differs from
            ``contract`` where mean and std were folded into the file.
        files: written model files by role.
        vectors: test vectors by role.
        pixels: ``[n, *shape]`` as ``Preprocessing.pixels`` returns them; the vectors were made
            from them.
        accelerators: names of the configurations to compile for.
        probabilities: whether the measured outputs are probabilities.
        prefix: prefix of the symbols of C sources.
        patches: patches of C sources, as ``export.c.patches.Patches`` reads them.
    """

    name: str
    contract: Preprocessing
    contracts: Mapping[str, Preprocessing]
    files: Mapping[str, Path]
    vectors: Mapping[str, Vectors]
    pixels: np.ndarray
    accelerators: tuple[str, ...] = ()
    probabilities: bool = False
    prefix: str = "net"
    patches: str = "none"


@dataclass(frozen=True)
class Budget:
    """Measured memory of a target.

    Attributes:
        what: name of the file or configuration, for messages.
        flash: bytes; None when not measured.
        sram: bytes; None when not measured.
    """

    what: str
    flash: int | None
    sram: int | None


Figures = Mapping[str, Mapping[str, Any]]
"""Figures of each proof that ran, by the name of the proof."""


@dataclass(frozen=True)
class ShipTarget:
    """A platform; a module of this package defines one as ``BUNDLE``.

    Attributes:
        name: name on the command line, and of the folder inside a bundle.
        title: title for headings.
        extra: extra of the package that installs the runtime of the proofs.
        files: model files that are written first.
        files_of_task: contract -> model files of a task that needs others; empty where ``files``
            are right. Without it they always are.
        takes: (shapes of the outputs without the batch, contract) -> whether it takes a network
            whose outputs are no scores of labels; none without it, unless ``any_outputs``.
        check: refuses a contract that the platform cannot express, before any work.
        write: (request, folder) writes the model files and the files that belong to them.
        finish: (request, folder, figures) writes the files that depend on measurements.
        data: (request, figures) -> names of the files that ``rebuild`` cannot generate: models,
            and files that other tools made of them.
        rebuild: (request, folder, figures) -> content of every other file except the test vectors,
            by name, generated from the data in the folder. ``verify`` compares it with the bundle.
        guide: (request, folder, figures) -> Markdown on loading the files.
        measurements: names of proofs that run before ``finish``.
        proofs: names of proofs that run on the finished folder; ``verify`` runs them again.
        any_outputs: whether it takes networks with several outputs, or with one that is not
            scores of labels.
        check_graph: refuses the canonical graph of a network that it cannot hold, with the name of
            the network, before any work; None where every graph that can be quantized is held.
        budgets: (folder, figures) -> measured memory, for the gates.
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
    any_outputs: bool = False
    takes: Callable[[Sequence[Sequence[int | None]], Preprocessing], bool] | None = field(
        repr=False, default=None
    )
    files_of_task: Callable[[Preprocessing], tuple[ShipFile, ...]] | None = field(
        repr=False, default=None
    )
    check_graph: Callable[[Graph, str], None] | None = field(repr=False, default=None)
    budgets: Callable[[Path, Figures], tuple[Budget, ...]] = field(
        repr=False, default=lambda _folder, _figures: ()
    )

    def takes_outputs(
        self, shapes: Sequence[Sequence[int | None]], contract: Preprocessing
    ) -> bool:
        """Whether it takes a network with these outputs, which are no scores of labels."""
        return self.any_outputs or (self.takes is not None and self.takes(shapes, contract))

    def files_of(self, contract: Preprocessing) -> tuple[ShipFile, ...]:
        """Model files that are written for the network of a contract."""
        others = () if self.files_of_task is None else self.files_of_task(contract)
        return others or self.files


def is_classifier(shapes: Sequence[Sequence[int | None]], contract: Preprocessing) -> bool:
    """Whether the outputs are one vector of scores, each of which belongs to a label.

    Args:
        shapes: shapes of the outputs, without the batch.
        contract: contract with the task, which may say that the numbers are an embedding or
            quantities.
    """
    scored = contract.tasks.only.known in (Task.CLASSIFICATION, Task.MULTI_LABEL)
    return scored and len(shapes) == 1 and len(shapes[0]) == 1 and (shapes[0][0] or 0) > 1


def is_yes_or_no(shapes: Sequence[Sequence[int | None]], contract: Preprocessing) -> bool:
    """Whether the only output is one probability, of the label that yes stands for."""
    return [list(shape) for shape in shapes] == [[1]] and (contract.tasks.only.known is Task.BINARY)


def ship_targets() -> dict[str, ShipTarget]:
    """All targets by name, found by walking this package."""
    package = import_module(__package__)
    modules = (
        import_module(f"{__package__}.{m.name}") for m in pkgutil.iter_modules(package.__path__)
    )
    targets = (module.BUNDLE for module in modules if hasattr(module, "BUNDLE"))
    return {target.name: target for target in sorted(targets, key=lambda t: t.name)}


def ship_target(name: str) -> ShipTarget:
    """Ship target by name.

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
