"""Plan of a sweep: the grid of models, recipes and settings that a TOML file names, and its gates.

data = "photos:test"
recipes = ["tflite-int8", "onnx-int8"]
efforts = ["fast", "best"]

[[models]]
model = "mobilenet_v2_small"
alphas = [0.35, 0.5]
weights = ["random"]

[gates]
max_drop = 1.0
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from foundation.errors import InvalidInputError
from foundation.foreign import read_text, reading

_REMEDY = "see docs/sweeps.md for the keys of a plan"
_RULE = "the plan of a sweep is a TOML file, or JSON with the same keys"


@dataclass(frozen=True)
class Models:
    """Models of one table ``[[models]]``: a name or file with its variants.

    Attributes:
        model: registered name, or path of a file.
        weights: names or files of weights; None for the registered ones.
        alphas: width multipliers; None for the registered one.
        sizes: sides of the input in pixels; None for the registered one.
        options: other options of the command line with their values, in the order of the file.
    """

    model: str
    weights: tuple[str | None, ...] = (None,)
    alphas: tuple[float | None, ...] = (None,)
    sizes: tuple[int | None, ...] = (None,)
    options: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Gates:
    """Limits that a file to ship keeps; None for no limit.

    Attributes:
        max_drop: largest loss against float, in the unit of the task's first metric.
        max_bytes: largest size of the file.
        max_ms: largest median latency, in milliseconds.
        max_macs: largest number of multiply-adds.
        max_arena: largest memory of activations, in bytes.
    """

    max_drop: float | None = None
    max_bytes: float | None = None
    max_ms: float | None = None
    max_macs: float | None = None
    max_arena: float | None = None


@dataclass(frozen=True)
class SweepPlan:
    """Grid of a sweep.

    Attributes:
        models: tables of models.
        recipes: names of recipes.
        data: DATA text of the images to measure on.
        calibration: DATA text of the images to calibrate on; None for the split beside ``data``.
        efforts: values of ``--optimize``.
        samples: numbers of calibration images; None for the default.
        seeds: seeds of the drawing of calibration images.
        limit: largest number of images to measure on; None for all.
        latency: whether latency is measured.
        gates: limits.

    Raises:
        InvalidInputError: an empty axis, or several seeds with a limit, which would draw other
            images to measure on.
    """

    models: tuple[Models, ...]
    recipes: tuple[str, ...]
    data: str
    calibration: str | None = None
    efforts: tuple[str, ...] = ("default",)
    samples: tuple[int | None, ...] = (None,)
    seeds: tuple[int, ...] = (0,)
    limit: int | None = None
    latency: bool = True
    gates: Gates = Gates()

    def __post_init__(self) -> None:
        if self.limit is not None and len(set(self.seeds)) > 1:
            raise InvalidInputError(
                "all files of a sweep are measured on the same images, which a limit draws by seed",
                received=f"limit = {self.limit} with {len(self.seeds)} seeds",
                remedy="leave limit out, or give one seed",
            )


def read_plan(path: Path) -> SweepPlan:
    """Read the plan of a sweep.

    Paths in it are relative to its folder, or to the folder of the key ``folder``.

    Raises:
        InvalidInputError: no such file, invalid TOML, an unknown key, or a value of another type.
    """
    text = read_text(path, _RULE, "check the path")
    with reading(path, _RULE, _REMEDY):
        values = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    if not isinstance(values, dict):
        raise InvalidInputError(_RULE, received=f"{path} without keys", remedy=_REMEDY)
    folder = values.pop("folder", None)
    base = path.parent if folder is None else path.parent / _text("folder", folder)
    return _plan(values, base.absolute())


def _plan(values: dict[str, Any], base: Path) -> SweepPlan:
    _refuse_unknown(values, _KEYS, "a plan")
    missing = [key for key in ("models", "recipes", "data") if key not in values]
    if missing:
        raise InvalidInputError(
            "a plan names models, recipes and data",
            received=f"none of the key {missing[0]}",
            remedy=_REMEDY,
        )
    read = {key: _KEYS[key](key, value) for key, value in values.items()}
    read["data"] = _placed(read["data"], base)
    if "calibration" in read:
        read["calibration"] = _placed(read["calibration"], base)
    read["models"] = tuple(_models(table, base) for table in read["models"])
    return SweepPlan(**read)


def _models(table: dict[str, Any], base: Path) -> Models:
    _refuse_unknown(table, {**_MODEL_KEYS, **_OPTIONS}, "a table of models")
    if "model" not in table:
        raise InvalidInputError(
            "a table of models has the key model",
            received=f"one with {', '.join(table) or 'no key'}",
            remedy='write for instance model = "mobilenet_v2"',
        )
    read = {key: _MODEL_KEYS[key](key, v) for key, v in table.items() if key in _MODEL_KEYS}
    read["model"] = _placed(read["model"], base)
    if "weights" in read:
        read["weights"] = tuple(_placed(weights, base) for weights in read["weights"])
    options = tuple(
        (key, _placed(text, base) if key in _PATHS else text)
        for key in table
        if key in _OPTIONS
        for text in [_OPTIONS[key](key, table[key])]
    )
    return Models(**read, options=options)


def _refuse_unknown(values: Mapping[str, Any], known: Mapping[str, Any], what: str) -> None:
    for key in values:
        if key not in known:
            near = get_close_matches(key, known, 1, 0.5)
            raise InvalidInputError(
                f"the keys of {what} are {', '.join(known)}",
                received=key,
                remedy=f"write {near[0]}" if near else "remove it",
            )


def _placed(text: str, base: Path) -> str:
    """A text whose path, if it names one below the plan's folder, is absolute."""
    head, colon, tail = text.rpartition(":")
    for path, rest in ((text, ""), (head, f"{colon}{tail}")):
        with reading(text, "a path in a plan can be read", "check the path"):
            if path and (base / path).exists():
                return f"{base / path}{rest}"
    return text


def _wrong(key: str, value: Any, what: str) -> InvalidInputError:
    return InvalidInputError(f"{key} in a plan is {what}", received=repr(value), remedy=_REMEDY)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _wrong(key, value, "a text")
    return value


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise _wrong(key, value, "a number")
    return value


def _whole(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _wrong(key, value, "a whole number")
    return value


def _yes_or_no(key: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(key, value, "true or false")
    return value


def _many(one: Callable[[str, Any], Any]) -> Callable[[str, Any], tuple[Any, ...]]:
    """Reader of one value or of a list of them, each taken once."""

    def read(key: str, value: Any) -> tuple[Any, ...]:
        values = value if isinstance(value, list) else [value]
        if not values:
            raise InvalidInputError(
                "a sweep has a task at least",
                received=f"an empty grid, with {key} = []",
                remedy=f"give {key} a value, or leave it out",
            )
        return tuple(dict.fromkeys(one(key, part) for part in values))

    return read


def _model_tables(key: str, value: Any) -> list[dict[str, Any]]:
    tables = value if isinstance(value, list) else [value]
    tables = [{"model": table} if isinstance(table, str) else table for table in tables]
    if not all(isinstance(table, dict) for table in tables):
        raise _wrong(key, value, "a list of names or files, or of tables [[models]]")
    if not tables:
        raise InvalidInputError(
            "a sweep has a task at least",
            received="an empty grid, with models = []",
            remedy="name a model",
        )
    return tables


def _gates(key: str, value: Any) -> Gates:
    if not isinstance(value, dict):
        raise _wrong(key, value, "a table")
    known = {field.name: _number for field in fields(Gates)}
    _refuse_unknown(value, known, "gates")
    return Gates(**{name: float(_number(name, limit)) for name, limit in value.items()})


def _numbers_text(key: str, value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return ",".join(str(_number(key, part)) for part in values)


def _whole_text(key: str, value: Any) -> str:
    return str(_whole(key, value))


def _name_or_number(key: str, value: Any) -> str:
    return str(value) if isinstance(value, int) else _text(key, value)


_KEYS: dict[str, Callable[[str, Any], Any]] = {
    "models": _model_tables,
    "recipes": _many(_text),
    "data": _text,
    "calibration": _text,
    "efforts": _many(_text),
    "samples": _many(_whole),
    "seeds": _many(_whole),
    "limit": _whole,
    "latency": _yes_or_no,
    "gates": _gates,
}
_MODEL_KEYS: dict[str, Callable[[str, Any], Any]] = {
    "model": _text,
    "weights": _many(_text),
    "alphas": _many(_number),
    "sizes": _many(_whole),
}
_OPTIONS: dict[str, Callable[[str, Any], str]] = {
    "classes": _whole_text,
    "activation": _text,
    "preprocessing": _text,
    "mean": _numbers_text,
    "std": _numbers_text,
    "crop": _text,
    "resize_short_side": _whole_text,
    "interpolation": _text,
    "channels": _name_or_number,
    "labels": _text,
    "task": _text,
    "threshold": _numbers_text,
}
"""Keys of a table of models that are options of the command line under their own name."""
_PATHS = ("preprocessing", "labels")
