"""Interface of the export targets; a target is ``export/NAME/target.py``."""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from calibration_data.preprocessing import Preprocessing
from foundation.errors import InvalidInputError
from foundation.foreign import reading
from network.graph import Graph
from network.inspection import Inspection
from quantize.islands import MOST_FLOAT, FloatOperator
from quantize.plans.plan import PlannedNetwork
from quantize.recipes import Recipe

if TYPE_CHECKING:
    import keras
    import numpy as np


@dataclass(frozen=True)
class ExportRequest:
    """Model, recipe and everything else that a file is written from.

    Attributes:
        model: one input ``[batch, *shape]`` with the contract's shape (batch free or fixed) and
            outputs of any fixed shape; may wrap a SavedModel in a ``TFSMLayer``. None for a network
            that was read without Keras, where there is a plan: its graph is the network.
        recipe: recipe with the types of weights, activations, input and output.
        preprocessing: contract and labels that are written into the file.
        calibration: function that returns float32 batches ``[b, *shape]``, a new
            iterator in each call; None when the recipe needs none.
        seed: seed for every random choice of the target.
        planned: network and integers of a recipe that has a plan; None where the target chooses
            the integers.
        graph: function that returns the float graph of the model that a file without a plan is
            written from (``ExportTarget.by_converter``), which a caller may have already; None
            where the target makes it when it needs it.
        most_float: largest share of the multiply-adds that operators in float may have in such a
            file.
    """

    model: keras.Model | None
    recipe: Recipe
    preprocessing: Preprocessing
    calibration: Callable[[], Iterator[np.ndarray]] | None = None
    seed: int = 0
    planned: PlannedNetwork | None = None
    graph: Callable[[], Graph] | None = None
    most_float: float = MOST_FLOAT


def random_inputs(contract: Preprocessing, count: int, seed: int) -> np.ndarray:
    """Noise to try a file on: in the contract's range, or around zero where it has none.

    Args:
        contract: preprocessing contract of the file.
        count: number of examples.
        seed: seed of the noise.

    Returns:
        float32 ``[count, *shape]``.
    """
    import numpy as np

    low, high = (-1.0, 1.0) if contract.plain else contract.value_range
    noise = np.random.default_rng(seed).uniform(low, high, (count, *contract.shape))
    return noise.astype(np.float32)


@dataclass(frozen=True)
class ExportTarget:
    """A file format; a module of this package defines one as ``TARGET``.

    Attributes:
        name: name as in ``Recipe.target``.
        suffix: suffix of its files, with the dot.
        write: (request, path) writes the file at ``path`` with contract, labels and recipe, and
            checks that the written file is as the recipe says; raises UnsupportedError when it
            cannot be, and OSError when the disk does not take it (the caller discards the path).
        inspect: path -> tensors, operators and sizes of a file.
        read_card: path -> contract and recipe that ``write`` stored; None when the file has no
            card (a foreign file).
        packages: distributions whose versions decide the bytes of the file.
        require_writable: (canonical float graph, recipe) raises UnsupportedError for a graph that
            ``write`` refuses, before a plan is made; None where every graph that has a plan can be
            written.
        in_float: (float graph, recipe) -> reason by name of the operators that its quantized files
            compute in float, beyond those that a plan leaves there; None for a format that has an
            integer form of everything.
        by_converter: whether files without a plan are written from the graph that TensorFlow's
            converter makes, not from the canonical one.
        needs_plan: (canonical graph, the converter's, recipe) -> whether the engine has to choose
            the integers of a recipe that is otherwise written without a plan.
        found_in_float: path -> operators in float of a quantized file that was written without a
            plan; None for a format that is not looked into.
    """

    name: str
    suffix: str
    write: Callable[[ExportRequest, Path], None] = field(repr=False)
    inspect: Callable[[Path], Inspection] = field(repr=False)
    read_card: Callable[[Path], ArtifactCard | None] = field(repr=False)
    packages: tuple[str, ...] = ()
    require_writable: Callable[[Graph, Recipe], None] | None = field(default=None, repr=False)
    in_float: Callable[[Graph, Recipe], Mapping[str, str]] | None = field(default=None, repr=False)
    by_converter: bool = False
    needs_plan: Callable[[Graph, Graph, Recipe], bool] | None = field(default=None, repr=False)
    found_in_float: Callable[[Path], tuple[FloatOperator, ...]] | None = field(
        default=None, repr=False
    )


@dataclass(frozen=True)
class ArtifactCard:
    """Contract and recipe of a written file, stored as JSON in its metadata.

    Attributes:
        preprocessing: contract, labels included.
        recipe: recipe that the file was written with.
    """

    preprocessing: Preprocessing
    recipe: Recipe

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"preprocessing": self.preprocessing.to_dict(), "recipe": self.recipe.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ArtifactCard:
        """Card from the values that ``to_dict`` returns."""
        return cls(
            Preprocessing.from_dict(values["preprocessing"]), Recipe.from_dict(values["recipe"])
        )


CARD_KEY = "edgequant"
"""Name of the metadata entry that holds an ArtifactCard as JSON (sorted keys, no spaces)."""


def parsed_card(text: str | bytes, path: Path, rule: str) -> ArtifactCard:
    """Parse the card of a file.

    Args:
        text: JSON.
        path: path of the file, for the message.
        rule: first part of the message, without a full stop.

    Raises:
        InvalidInputError: not JSON, or not that of a card.
    """
    with reading(path, rule, "export the file again"):
        try:
            return ArtifactCard.from_dict(json.loads(text))
        except InvalidInputError as error:  # of contract or recipe, without the name of the file
            raise ValueError(f"{error.rule}; received {error.received}") from error


def export_targets() -> dict[str, ExportTarget]:
    """All targets by name: ``TARGET`` of each module ``export.NAME.target``."""
    folders = import_module(__package__).__path__
    packages = [module.name for module in pkgutil.iter_modules(folders) if module.ispkg]
    names = [f"{__package__}.{package}.target" for package in packages]
    modules = (import_module(name) for name in names if find_spec(name) is not None)
    targets = (module.TARGET for module in modules if hasattr(module, "TARGET"))
    return {target.name: target for target in sorted(targets, key=lambda t: t.name)}


def target_of(path: Path) -> ExportTarget:
    """Target of a file, by its suffix.

    Raises:
        InvalidInputError: no target writes such files.
    """
    for target in export_targets().values():
        if path.suffix == target.suffix:
            return target
    suffixes = ", ".join(target.suffix for target in export_targets().values())
    raise InvalidInputError(
        f"an artifact is a file that ends in {suffixes}",
        received=str(path),
        remedy="give such a file",
    )
