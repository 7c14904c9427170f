"""Damaged, edited and hostile plan files: refused in one sentence, before anything runs."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundation.errors import InvalidInputError
from network.affine import IntType, QuantParams
from quantize.engine import make_plan
from quantize.plans.check import check_fits
from quantize.plans.plan import IntegerConstant, QuantizationPlan
from quantize.settings import Optimization, PlanSettings
from tests.network.graphs import bottlenecks, calibration

GRAPH = bottlenecks(0)
Edit = Callable[[dict[str, Any]], Any]


@cache
def plan() -> QuantizationPlan:
    return make_plan(GRAPH, calibration(), None, PlanSettings(optimization=Optimization.FAST))


def edited(folder: Path, edit: Edit) -> Path:
    """Stored plan with another header."""
    path = folder / "edited.plan"
    plan().save(path)
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    header = edit(json.loads(arrays["header"].tobytes()))
    text = header if isinstance(header, str) else json.dumps(header)
    arrays["header"] = np.frombuffer(text.encode(), np.uint8)
    with path.open("wb") as handle:
        np.savez(handle, **arrays)
    return path


def _scaled(header: dict[str, Any], table: str, name: str, scale: Any) -> dict[str, Any]:
    """Header in which all scales of one tensor have another value."""
    params = header[table][name]
    changed = params | {"scale": [scale] * len(params["scale"])}
    return header | {table: header[table] | {name: changed}}


HEADERS: dict[str, Edit] = {
    "a list": lambda _: [1, 2],
    "a number": lambda _: "1e999",
    "nothing": lambda _: "",
    "brackets without end": lambda _: "[" * 100_000,
    "no activations": lambda header: header | {"activations": None},
    "a list of settings": lambda header: header | {"settings": [1]},
    "an unknown level": lambda header: header | {"settings": {"optimization": "lots"}},
    "text for operators": lambda header: header | {"float_ops": "stem"},
    "numbers for notes": lambda header: header | {"notes": [1]},
    "a number for the graph": lambda header: header | {"graph": 1},
    "another format": lambda header: header | {"format": "edgequant plan 9"},
    "an unknown granularity": lambda header: header | {"granularity": "per-row"},
    "a scale below zero": lambda header: (
        header
        | {
            "activations": {
                "image": {"scale": [-1], "zero_point": [0], "dtype": "int8", "axis": None}
            }
        }
    ),
    "an absurd scale": lambda header: _scaled(header, "activations", "stem", 1e30),
    "a scale of nothing": lambda header: _scaled(header, "activations", "stem", 1e-30),
    "an absurd weight": lambda header: _scaled(header, "constants", "stem.weight", 1e20),
    "a weight of nothing": lambda header: _scaled(header, "constants", "stem.weight", 1e-35),
    "a scale that is no number": lambda header: _scaled(header, "constants", "stem.bias", "x"),
    "a scale of NaN": lambda header: _scaled(header, "activations", "stem", float("nan")),
    "settings of NaN": lambda header: header | {"settings": {"images": float("nan")}},
    "settings without end": lambda header: json.dumps(
        header | {"settings": {"images": "1e999"}}
    ).replace('"1e999"', "1e999"),
    "deep settings": lambda header: json.dumps(header | {"settings": {"images": "deep"}}).replace(
        '"deep"', "[" * 5000
    ),
    "more constants than arrays": lambda header: (
        header
        | {"constants": {f"c{i}": next(iter(header["constants"].values())) for i in range(99)}}
    ),
}


@pytest.mark.parametrize("name", HEADERS)
def test_an_edited_header_is_refused(name: str, tmp_path: Path) -> None:
    path = edited(tmp_path, HEADERS[name])
    with pytest.raises(InvalidInputError, match=r"edited\.plan") as caught:
        QuantizationPlan.load(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.plan"
    plan().save(path)
    whole = path.read_bytes()
    declared = {"descr": "|u1", "fortran_order": False, "shape": (99_999_999_999,)}
    huge = tmp_path / "huge.plan"
    with zipfile.ZipFile(huge, "w", zipfile.ZIP_DEFLATED) as archive:
        text = str(declared).ljust(117).encode() + b"\n"
        archive.writestr(
            "header.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text
        )
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-30], huge.read_bytes()):
        path.write_bytes(content)
        with pytest.raises(InvalidInputError, match=r"a\.plan \(") as caught:
            QuantizationPlan.load(path)
        assert "pickle" not in str(caught.value)
    with pytest.raises(InvalidInputError, match="does not exist"):
        QuantizationPlan.load(tmp_path / "none.plan")


def _without(table: Any, name: str) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key != name}


def _constant(name: str, **changes: Any) -> dict[str, Any]:
    constants = dict(plan().constants)
    return constants | {name: replace(constants[name], **changes)}


def _params(name: str, **changes: Any) -> QuantParams:
    return replace(plan().constants[name].params, **changes)


MISFITS: dict[str, Callable[[], dict[str, Any]]] = {
    "no parameters for image": lambda: {"activations": _without(plan().activations, "image")},
    "no parameters for add_1": lambda: {"activations": _without(plan().activations, "add_1")},
    "no integers for stem.weight": lambda: {"constants": _without(plan().constants, "stem.weight")},
    "an activation nobody": lambda: {
        "activations": {**plan().activations, "nobody": QuantParams((1.0,), (0,))}
    },
    "an operator nobody": lambda: {"settings": PlanSettings(float_ops=("nobody",))},
    "stem in float32 and in int16x8": lambda: {
        "settings": PlanSettings(float_ops=("stem",), wide_ops=("stem",))
    },
    "image with int8, axis 3": lambda: {
        "activations": {**plan().activations, "image": QuantParams((1.0,), (0,), axis=3)}
    },
    "integers for nothing": lambda: {
        "constants": {
            **plan().constants,
            "nothing": IntegerConstant(QuantParams((1.0,), (0,)), np.zeros(1, np.int8)),
        }
    },
    r"integers of shape \[1\] for stem.bias": lambda: {
        "constants": _constant("stem.bias", integers=np.zeros(1, np.int32))
    },
    "float64 for stem.bias": lambda: {"constants": _constant("stem.bias", integers=np.zeros(8))},
    "8 scales along axis 9": lambda: {
        "constants": _constant("stem.weight", params=_params("stem.weight", axis=9))
    },
    "int32 for stem.bias, said to be int8": lambda: {
        "constants": _constant("stem.bias", params=_params("stem.bias", dtype=IntType.INT8))
    },
    "stem.bias of other scales than image": lambda: {
        "activations": {
            **plan().activations,
            "image": replace(plan().activations["image"], scale=(7.0,)),
        }
    },
    "stem.bias of other scales": lambda: {
        "constants": _constant("stem.weight", params=_params("stem.weight", scale=(0.5,) * 8))
    },
    "stem.weight with -128": lambda: {
        "constants": _constant(
            "stem.weight",
            integers=np.full_like(plan().constants["stem.weight"].integers, -128),
        )
    },
    "stem.bias with values beyond": lambda: {
        "constants": _constant("stem.bias", integers=np.full(8, -(2**31), np.int32))
    },
    "a range of .* for scores, which reaches": lambda: {
        "activations": {
            **plan().activations,
            "scores": replace(plan().activations["scores"], scale=(1e4,)),
        }
    },
    "float32 values for stem.bias": lambda: {"floats": {"stem.bias": np.zeros(1, np.float32)}},
}


def test_the_plan_as_it_was_made_fits() -> None:
    assert check_fits(plan(), GRAPH) is None


@pytest.mark.parametrize("words", MISFITS)
def test_what_does_not_fit_the_network_is_named(words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        check_fits(replace(plan(), **MISFITS[words]()), GRAPH)
