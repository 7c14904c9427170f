"""A result outside its tolerance fails, for the worse and for the better."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from calibration_data.task import Task
from evaluation.session import runtimes
from models.spec import model_families, model_specs, specs_of
from quantize.recipes import RECIPES
from tests.conformance.table import (
    ESSENTIAL,
    FULL_SIZE,
    REFERENCE,
    Cell,
    Walk,
    cells,
    image_count,
    read_table,
    walk_of,
)

FAST_MODELS = {
    "mobilenet_v2": "mobilenet_v2_small",
    "mobilenet_v3": "mobilenet_v3_small",
    "shufflenet_v1": "shufflenet_v1_g3",
}
"""Which network stands for its family, where it is not the first."""
CLASSIFIERS = specs_of(Task.CLASSIFICATION)
"""Networks of the tables; ``tests/export/test_dense_networks.py`` has those of the other tasks."""
FAST_RECIPES = ("tflite-float32", "tflite-int8", "onnx-int8")

SQNR_TOLERANCE_DB = 1.5
"""Kernels differ from CPU to CPU by their order of summation."""
AGREEMENT_IMAGES = 4
"""So many answers may change; a network with random weights decides by little."""
EXACT_DB = 60.0
"""Above this the outputs are float rounding apart, and how far apart says nothing."""
FLOAT16_DB = 20.0
ALIVE_DB = 0.0
"""Below this an output has more noise than signal."""


def _assert_as_before(model: str, walk: Walk, folder: Path) -> set[tuple[str, str, str]]:
    """Measure a walk and compare its cells with the reference."""
    reference = read_table(REFERENCE)
    found = {cell.key: cell for cell in cells(model_specs()[model], folder, walk)}
    assert set(found) <= set(reference), "run make conformance and review the difference"
    agreement = 100 * AGREEMENT_IMAGES / image_count(model_specs()[model].preprocessing)
    for key, cell in found.items():
        expected = reference[key]
        if min(cell.sqnr_db, expected.sqnr_db) < EXACT_DB:
            assert cell.sqnr_db == pytest.approx(expected.sqnr_db, abs=SQNR_TOLERANCE_DB), key
        assert cell.agreement == pytest.approx(expected.agreement, abs=agreement), key
    return set(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    "family",
    [family for family, specs in model_families().items() if specs[0].task is Task.CLASSIFICATION],
)
def test_a_network_of_each_family_is_as_far_from_float_as_before(
    family: str, tmp_path: Path
) -> None:
    model = FAST_MODELS.get(family, model_families()[family][0].name)
    walk = replace(walk_of(model), every_runtime=False)
    recipes = tuple(recipe for recipe in walk.recipes if recipe.name in FAST_RECIPES)
    found = _assert_as_before(model, replace(walk, recipes=recipes), tmp_path)
    assert len(found) == len(FAST_RECIPES)


@pytest.mark.slow
@pytest.mark.parametrize("model", CLASSIFIERS)
def test_every_cell_of_the_table_is_as_far_from_float_as_before(model: str, tmp_path: Path) -> None:
    found = _assert_as_before(model, walk_of(model), tmp_path)
    assert found == {key for key in read_table(REFERENCE) if key[0] == model}


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_every_network_is_in_the_table_and_keeps_its_answers(model: str) -> None:
    rows = {key[1]: cell for key, cell in read_table(REFERENCE).items() if key[0] == model}
    assert set(ESSENTIAL) <= set(rows), "run make conformance"
    _assert_sound(rows)


@pytest.mark.parametrize("model", CLASSIFIERS)
def test_every_network_is_in_the_table_of_full_size(model: str) -> None:
    rows = {key[1]: cell for key, cell in read_table(FULL_SIZE).items() if key[0] == model}
    assert set(ESSENTIAL) == set(rows), "run make conformance"
    # A thousand classes at random have a probability of a thousandth each, and the softmax of an
    # int8 .tflite a step of 1/256: such scores are zeros. The .onnx with the same integers shows
    # the rest.
    softmax = model_specs()[model].classifier_activation == "softmax"
    _assert_sound(rows, set(ESSENTIAL) - ({"tflite-int8"} if softmax else set()))


def _assert_sound(rows: dict[str, Cell], judged: Iterable[str] = ESSENTIAL) -> None:
    for name in ("tflite-float32", "onnx-float32"):
        assert rows[name].sqnr_db > EXACT_DB
        assert rows[name].agreement == 100
    assert rows["tflite-float16"].sqnr_db > FLOAT16_DB
    assert min(rows[name].sqnr_db for name in judged) > ALIVE_DB


def test_every_recipe_and_every_artifact_runtime_is_in_the_table() -> None:
    reference = read_table(REFERENCE)
    assert {key[1] for key in reference} == {recipe.name for recipe in RECIPES}
    assert {key[2] for key in reference} == set(runtimes()) - {"keras", "oracle"}
