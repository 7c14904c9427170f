"""Picture of a memory plan: what it says in words, and that every buffer is drawn."""

from __future__ import annotations

from typing import Any

from reports.memory_figure import memory_figure

PLAN: dict[str, Any] = {
    "arena_bytes": 1200,
    "bound_bytes": 1200,
    "optimal": True,
    "inputs": ["image"],
    "steps": [
        {"name": "one", "kind": "2 by patches", "bytes": 1200},
        {"name": "two", "kind": "CONV_2D", "bytes": 500},
    ],
    "buffers": [
        {"name": "image", "offset": 0, "size": 800, "first": 0, "last": 0},
        {"name": "one (rows)", "offset": 1000, "size": 200, "first": 0, "last": 0},
        {"name": "one", "offset": 800, "size": 200, "first": 0, "last": 1},
        {"name": "two", "offset": 0, "size": 300, "first": 1, "last": 2},
    ],
    "multiply_adds": 1000,
    "multiply_adds_twice": 17,
    "patches": [{"first": "stem", "last": "one", "rows": 8, "columns": 14}],
}


def test_the_picture_says_where_most_memory_is_and_what_patches_cost() -> None:
    figure = memory_figure(PLAN)
    assert "no packing of these steps takes less" in figure.caption
    assert "`stem` to `one` in bands of 8 rows and strips of 14 columns; 1.7 %" in figure.caption
    assert "1,200 bytes, at step 1, one" in figure.alt
    assert "image, bytes 0 to 800, steps 1 to 1" in figure.alt
    assert "1,200 bytes, at one" in figure.svg
    assert all(kind in figure.svg for kind in ("input", "activations", "rows of a block"))


def test_a_plan_that_may_not_be_the_least_says_so() -> None:
    figure = memory_figure({**PLAN, "optimal": False, "bound_bytes": 1100, "patches": []})
    assert "takes less than 1,100" in figure.caption
    assert "Patch by patch" not in figure.caption
