"""Texts that a person writes: contracts, names of classes and plans of sweeps."""

from __future__ import annotations

import json
from pathlib import Path

from tests.fuzz.parser import Parser


def _toml(path: Path) -> None:
    path.write_text(
        "size = [8, 8]\nresize_short_side = 9\ncrop = 'center'\ninterpolation = 'bilinear'\n"
        "channels = 'rgb'\nmean = [127.5, 127.5, 127.5]\nstd = 64\nlabels = ['a', 'b']\n"
        "task = 'binary'\nthreshold = 0.5\n[outputs.age]\ntask = 'regression'\n",
        encoding="utf-8",
    )


def _read_toml(path: Path) -> object:
    from calibration_data.contract_file import read_contract

    return read_contract(path)


def _labels(path: Path) -> None:
    path.write_text("tench\ngoldfish\ngreat white shark\n", encoding="utf-8")


def _read_labels(path: Path) -> object:
    from calibration_data.contract_file import read_labels

    return read_labels(path)


def _sweep(path: Path) -> None:
    path.write_text(
        'data = "images.npz:test"\nrecipes = ["tflite-int8"]\nsamples = [8, 16]\nlimit = 5\n'
        '[[models]]\nmodel = "mobilenet_v2"\nalphas = [0.35, 1]\nmean = [1, 2.5, 3]\n'
        "[gates]\nmax_drop = 1.5\n",
        encoding="utf-8",
    )


def _sweep_json(path: Path) -> None:
    values = {"data": "a:test", "recipes": "onnx-int8", "models": ["mobilenet_v2"], "seeds": [1]}
    path.write_text(json.dumps(values), encoding="utf-8")


def _read_sweep(path: Path) -> object:
    from edgequant.sweeping.plan import read_plan

    return read_plan(path)


TEXTS = (
    Parser("toml", "contract.toml", _toml, _read_toml),
    Parser("sweep plan", "plan.toml", _sweep, _read_sweep),
    Parser("sweep plan json", "plan.json", _sweep_json, _read_sweep),
    Parser("labels", "labels.txt", _labels, _read_labels),
)
