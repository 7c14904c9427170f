"""What every export target takes and gives; a target is one file of this package."""

from __future__ import annotations

import json
import pkgutil
from collections.abc import Callable, Iterator
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
from quantize.plans.plan import PlannedNetwork
from quantize.recipes import Recipe

if TYPE_CHECKING:
    import keras
    import numpy as np


@dataclass(frozen=True)
class ExportRequest:
    """What to write.

    Attributes:
        model: one input ``[batch, height, width, 3]`` (batch free or fixed), one output
            ``[batch, classes]``; may wrap a SavedModel in a ``TFSMLayer``.
        recipe: which numbers.
        preprocessing: contract and labels that the file is to carry.
        calibration: gives float32 batches ``[b, height, width, 3]``, anew at each call; None
            when the recipe needs none.
        seed: of anything random in the target.
        planned: the integers, of a recipe that has a plan; None for the target's own.
        graph: gives the canonical float graph of the model, which a caller may have already; None
            for a target that needs it to make it.
    """

    model: keras.Model
    recipe: Recipe
    preprocessing: Preprocessing
    calibration: Callable[[], Iterator[np.ndarray]] | None = None
    seed: int = 0
    planned: PlannedNetwork | None = None
    graph: Callable[[], Graph] | None = None


@dataclass(frozen=True)
class ExportTarget:
    """A file format; a module of this package defines one as ``TARGET``.

    Attributes:
        name: as in ``Recipe.target``.
        suffix: of its files, with the dot.
        write: (request, path) writes the file at ``path`` with contract, labels and recipe
            inside, and checks in it that the recipe was honoured; raises UnsupportedError when it
            cannot be, and OSError when the disk does not take it (the caller discards the path).
        inspect: path -> what the file holds.
        read_card: path -> contract, recipe and other values that ``write`` put in; None when the
            file carries none (a foreign file).
        packages: distributions whose versions shape the file.
        require_writable: (canonical float graph, recipe) raises UnsupportedError where ``write``
            would once the plan is made; None where every graph that has a plan can be written.
    """

    name: str
    suffix: str
    write: Callable[[ExportRequest, Path], None] = field(repr=False)
    inspect: Callable[[Path], Inspection] = field(repr=False)
    read_card: Callable[[Path], ArtifactCard | None] = field(repr=False)
    packages: tuple[str, ...] = ()
    require_writable: Callable[[Graph, Recipe], None] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ArtifactCard:
    """What a written file says of itself, as JSON in its metadata.

    Attributes:
        preprocessing: contract, labels included.
        recipe: which numbers it holds.
    """

    preprocessing: Preprocessing
    recipe: Recipe

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"preprocessing": self.preprocessing.to_dict(), "recipe": self.recipe.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ArtifactCard:
        """Read back what ``to_dict`` gave."""
        return cls(
            Preprocessing.from_dict(values["preprocessing"]), Recipe.from_dict(values["recipe"])
        )


CARD_KEY = "edgequant"
"""Name of the metadata entry that holds an ArtifactCard as JSON (sorted keys, no spaces)."""


def parsed_card(text: str | bytes, path: Path, rule: str) -> ArtifactCard:
    """The card in a file's metadata.

    Args:
        text: JSON.
        path: of the file, for the message.
        rule: what must hold, without a full stop.

    Raises:
        InvalidInputError: no JSON, or that of something else than a card.
    """
    with reading(path, rule, "export the file again"):
        try:
            return ArtifactCard.from_dict(json.loads(text))
        except InvalidInputError as error:  # of a part, which does not know the file
            raise ValueError(f"{error.rule}; received {error.received}") from error


def export_targets() -> dict[str, ExportTarget]:
    """All targets by name: each package of this room may have a ``target`` with ``TARGET``."""
    package = import_module("export")
    names = [f"export.{m.name}.target" for m in pkgutil.iter_modules(package.__path__) if m.ispkg]
    modules = (import_module(name) for name in names if find_spec(name) is not None)
    targets = (module.TARGET for module in modules if hasattr(module, "TARGET"))
    return {target.name: target for target in sorted(targets, key=lambda t: t.name)}


def target_of(path: Path) -> ExportTarget:
    """The target that a file belongs to, by its suffix.

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
