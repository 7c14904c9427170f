"""Every architecture of keras.applications, found by walking the module."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from tests.conformance.networks.examples import photos
from tests.conformance.networks.style import Contract, Style

if TYPE_CHECKING:
    import keras

CLASSES = 10
MOST = 5e6
"""Parameters above which a network is narrowed."""
WAYS = (1, 2, 4, 8)
"""Divisors of the number of channels."""
_LEAST_SIDE = re.compile(r"at least (\d+)x\d+")


def builders() -> dict[str, Callable[..., Any]]:
    """Functions of keras.applications that build a network, by their names."""
    import keras

    top = vars(keras.applications)
    modules = [top, *(vars(module) for module in top.values() if inspect.ismodule(module))]
    found = {
        name: value
        for members in modules
        for name, value in members.items()
        if inspect.isfunction(value) and {"weights", "classes"} <= set(_parameters(value))
    }
    return dict(sorted(found.items()))


def families() -> dict[str, tuple[str, ...]]:
    """Names of the architectures by the module that defines them, the smallest name first."""
    by_family: dict[str, list[str]] = {}
    for name, builder in builders().items():
        by_family.setdefault(builder.__module__.rpartition(".")[2], []).append(name)
    return {family: tuple(sorted(names, key=_order)) for family, names in by_family.items()}


def applications() -> Iterator[Style]:
    """A row for each architecture."""
    for name in builders():
        yield _style(name)


def _order(name: str) -> tuple[bool, str]:
    return not name.endswith(("Tiny", "Mobile", "B0", "50", "50V2", "Small", "16", "121")), name


def _style(name: str) -> Style:
    builder = builders()[name]
    side = _least_side(builder)
    # A network with its own preprocessing takes pixels 0..255 as they are.
    inside = "include_preprocessing" in _parameters(builder) or "efficientnet" in builder.__module__
    contract = Contract((side, side, 3), mean=0, std=1) if inside else Contract((side, side, 3))
    summary = f"keras.applications.{name}, {side}x{side}"
    return Style(name, summary, partial(_built, builder, side), contract, photos(side, side))


def _built(builder: Callable[..., Any], side: int) -> keras.Model:
    return narrowed(builder(weights=None, input_shape=(side, side, 3), classes=CLASSES))


def narrowed(model: keras.Model) -> keras.Model:
    """The same layers with fewer channels, so that no network has many more than MOST parameters.

    Depth, operators and options stay as they are; large networks differ from small ones in little
    else, and would take minutes each.
    """
    import keras

    parameters = model.count_params()
    fitting = (ways for ways in WAYS if parameters / ways**2 <= MOST)
    ways = next(fitting, WAYS[-1])
    if ways == 1:
        return model
    clone: keras.Model = keras.models.clone_model(model, clone_function=partial(_narrow, ways))
    return clone


def _narrow(ways: int, layer: Any) -> Any:
    import keras

    if isinstance(layer, keras.Sequential):
        return keras.Sequential([_narrow(ways, inner) for inner in layer.layers], name=layer.name)
    config = layer.get_config()
    for key in ("filters", "units", "projection_dim", "groups"):
        if config.get(key) not in (None, 1, CLASSES):
            config[key] = max(1, config[key] // ways)
    if "target_shape" in config:
        config["target_shape"] = (*config["target_shape"][:-1], -1)
    return type(layer).from_config(config)


def _least_side(builder: Callable[..., Any]) -> int:
    """Smallest side that an architecture takes, which it says when it is given one of 1."""
    try:
        builder(weights=None, input_shape=(1, 1, 3), classes=CLASSES)
    except ValueError as error:
        found = _LEAST_SIDE.search(str(error))
        if found is None:
            raise
        return int(found[1])
    return 32


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(function).parameters
