"""Small networks and their files, made once per worker; no test changes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from export.onnx.target import TARGET as ONNX
from export.tflite.target import TARGET as TFLITE
from tests.export.onnx import onnx_cases
from tests.export.tflite import tflite_cases


@pytest.fixture(scope="session")
def short_model() -> Any:
    """The network of ``tflite_cases``."""
    return tflite_cases.build_short()


@pytest.fixture(scope="session")
def tflite_files(short_model: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of ``short_model`` by ``tflite_cases.label``: every recipe and type of input."""
    folder, contract = tmp_path_factory.mktemp("tflite"), tflite_cases.short_spec().preprocessing
    files = {}
    for recipe in tflite_cases.IO_RECIPES:
        name = tflite_cases.label(recipe)
        files[name] = folder / f"{name}.tflite"
        TFLITE.write(tflite_cases.request(short_model, recipe, contract), files[name])
    return files


@pytest.fixture(scope="session")
def small_model() -> Any:
    """The network of ``onnx_cases``."""
    return onnx_cases.small_model()


@pytest.fixture(scope="session")
def onnx_files(small_model: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of ``small_model`` by the name of the recipe."""
    folder = tmp_path_factory.mktemp("onnx")
    files = {}
    for recipe in onnx_cases.ONNX_RECIPES:
        files[recipe.name] = folder / f"{recipe.name}.onnx"
        ONNX.write(onnx_cases.request_for(small_model, recipe), files[recipe.name])
    return files
