"""``edgequant.sweep``: a mapping is a plan, and what comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgequant


@pytest.fixture
def images(here: Path) -> str:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (12, 28, 28, 1), np.uint8)
    np.savez(here / "images.npz", x_train=pixels, y_train=np.arange(12) % 10, x_test=pixels[::-1])
    return "images.npz:test"


def test_a_mapping_is_a_plan_with_paths_of_the_current_folder(here: Path, images: str) -> None:
    plan = {"models": "mobilenet_v2_small", "recipes": ["tflite-int8", "tflite-float16"]}
    found = edgequant.sweep({**plan, "data": images, "efforts": ["fast", "best"]}, status=True)
    assert found.values["tasks"] == 3
    assert found.conditions == ("0 of 3 tasks done, 0 begun, 0 set aside, 3 not begun",)
    assert (found.rows, found.page) == ((), None)
    with pytest.raises(edgequant.InvalidInputError, match="max_tasks"):
        edgequant.sweep({**plan, "data": images}, status=True, max_tasks=1)


@pytest.mark.slow
def test_a_sweep_is_a_table_with_a_page(here: Path, images: str) -> None:
    plan = {"models": ["mobilenet_v2_small"], "recipes": "tflite-float32", "data": images}
    found = edgequant.sweep({**plan, "latency": False}, output="out", workers=1)
    (row,) = found.rows
    assert row["unit"] == "%"
    assert row["metric"] == "agreement"  # the test images have no labels
    assert "tflite-float32" in repr(found)
    assert found.page == here / "out/sweep.html"
    assert found.page.is_file()
