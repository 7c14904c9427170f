"""Every architecture of keras.applications, found by walking the module."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from quantize.settings import Optimization
from tests.conformance.networks.examples import photos
from tests.conformance.networks.style import Contract, Style

if TYPE_CHECKING:
    import keras

CLASSES = 10
FIRST_LAYERS = 48
"""Operations of an architecture's beginning."""
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
    """A row for each architecture, with the least effort: hundreds of layers, forty times."""
    for name in builders():
        yield replace(architecture(name), effort=Optimization.FAST)


def starts() -> Iterator[Style]:
    """The first blocks of one architecture of each family, which fast tests have time for."""
    for names in families().values():
        style = architecture(names[0])
        yield replace(
            style,
            name=f"{style.name}_start",
            summary=f"The first {FIRST_LAYERS} layers of {style.summary}",
            build=partial(_shortened, style.build),
        )


def _shortened(build: Callable[[], keras.Model]) -> keras.Model:
    """The first layers of a network, up to the last map that all paths have come through."""
    import keras

    model = build()
    pooled = keras.layers.GlobalAveragePooling2D()(_end(model.operations[:FIRST_LAYERS]).output)
    outputs = keras.layers.Dense(CLASSES, activation="softmax")(pooled)
    return keras.Model(model.inputs[0], outputs)


def _end(operations: list[Any]) -> Any:
    """Last operation that no earlier result goes past, or the last one if that is far before."""
    positions = {operation.name: number for number, operation in enumerate(operations)}
    maps = [number for number, one in enumerate(operations) if len(one.output.shape) == 4]
    reach = joint = 0
    for number, operation in enumerate(operations):
        if number >= reach and number in maps:
            joint = number
        readers = [node.operation.name for node in operation._outbound_nodes]
        reach = max([reach, *(positions.get(name, len(operations)) for name in readers)])
    return operations[joint if joint > len(operations) // 2 else maps[-1]]


def _order(name: str) -> tuple[int, str]:
    """Position in a family: the smallest architectures have one of these endings."""
    endings = ("Tiny", "Mobile", "B0", "121", "50", "50V2", "Small")
    found = (number for number, ending in enumerate(endings) if name.endswith(ending))
    return next(found, len(endings)), name


def architecture(name: str) -> Style:
    """The row of one architecture."""
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
    for ways in range(next(fitting, WAYS[-1]), 1, -1):
        with suppress(ValueError):  # odd channels that are joined and added no longer fit: NASNet
            clone: keras.Model = keras.models.clone_model(
                model, clone_function=partial(_narrow, ways)
            )
            return clone
    return model


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
