"""Names that a shell completes the values of options with: registered ones, else files."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from click.shell_completion import CompletionItem


def completions(parameter: str, incomplete: str) -> list[CompletionItem]:
    """Registered names that begin as the typed text does; files if there are none.

    Args:
        parameter: name of the parameter.
        incomplete: typed text; of a list with commas, the last name is completed.
    """
    listed, comma, start = (
        incomplete.rpartition(",") if parameter in _LISTS else ("", "", incomplete)
    )
    known = _NAMES.get(parameter, tuple)()
    names = [f"{listed}{comma}{name}" for name in known if name.startswith(start)]
    if names:
        return [CompletionItem(name) for name in names]
    return [CompletionItem(incomplete, type="file")] if parameter not in _LISTS else []


def _models() -> Iterable[str]:
    from models.spec import model_specs

    return model_specs()


def _datasets() -> Iterable[str]:
    from calibration_data.datasets.base import dataset_kinds

    return (name for kind in dataset_kinds() if kind.listed for name in kind.examples)


def _recipes() -> Iterable[str]:
    from quantize.recipes import RECIPES

    return (recipe.name for recipe in RECIPES)


def _runtimes() -> Iterable[str]:
    from evaluation.session import runtimes

    return runtimes()


def _platforms() -> Iterable[str]:
    from export.bundles.target import ship_targets

    return ship_targets()


_NAMES: dict[str, Callable[[], Iterable[str]]] = {
    "model": _models,
    "data": _datasets,
    "calibration": _datasets,
    "recipe": _recipes,
    "recipes": _recipes,
    "runtime": _runtimes,
    "targets": _platforms,
}
_LISTS = ("recipes", "targets")
"""Parameters that take several names, with commas."""
