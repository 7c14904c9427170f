"""A result outside its tolerance fails, for the worse and for the better."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.session import runtimes
from models.spec import model_specs
from quantize.recipes import RECIPES
from tests.conformance.table import cells, image_count, read_reference

SQNR_TOLERANCE_DB = 1.5
"""Kernels differ from CPU to CPU by their order of summation."""
AGREEMENT_IMAGES = 4
"""So many answers may change; a network with random weights decides by little."""
EXACT_DB = 60.0
"""Above this the outputs are float rounding apart, and how far apart says nothing."""


@pytest.mark.parametrize("model", model_specs())
def test_every_recipe_in_every_runtime_is_as_far_from_float_as_before(
    model: str, tmp_path: Path
) -> None:
    reference = read_reference()
    found = {cell.key: cell for cell in cells(model_specs()[model], tmp_path)}
    known = {key for key in reference if key[0] == model}
    assert set(found) == known, "run make conformance and review the difference"
    agreement = 100 * AGREEMENT_IMAGES / image_count(model_specs()[model].preprocessing)
    for key, cell in found.items():
        expected = reference[key]
        if min(cell.sqnr_db, expected.sqnr_db) < EXACT_DB:
            assert cell.sqnr_db == pytest.approx(expected.sqnr_db, abs=SQNR_TOLERANCE_DB), key
        assert cell.agreement == pytest.approx(expected.agreement, abs=agreement), key


def test_every_recipe_and_every_artifact_runtime_is_in_the_table() -> None:
    reference = read_reference()
    assert {key[1] for key in reference} == {recipe.name for recipe in RECIPES}
    assert {key[2] for key in reference} == set(runtimes()) - {"keras", "oracle"}
