"""Tests that pass in any order, parts of the slow ones that leave none out, and their time."""

from __future__ import annotations

import random
import time
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import settings

from tests.conftest import (
    LEFT_OUT,
    STARTED,
    in_part,
    pytest_runtest_setup,
    pytest_terminal_summary,
    slow_part,
)


def drawn() -> tuple[float, float]:
    """A number of each generator that has a global state."""
    return random.random(), float(np.random.random())  # noqa: NPY002


def seeded(name: str) -> tuple[float, float]:
    """What is drawn first when a name is the seed."""
    number = zlib.crc32(name.encode())
    return random.Random(number).random(), float(np.random.RandomState(number).random())


@pytest.fixture(scope="module")
def of_the_fixture() -> tuple[float, float]:
    """What a fixture draws."""
    return drawn()


@pytest.mark.parametrize("case", ["one", "another"])
def test_a_test_draws_what_its_name_says(
    case: str, of_the_fixture: tuple[float, float], request: pytest.FixtureRequest
) -> None:
    assert drawn() == seeded(request.node.nodeid)
    assert case in request.node.nodeid
    assert of_the_fixture == seeded("tests/test_order.py::of_the_fixture[0]")


@pytest.mark.parametrize(
    ("seed", "lines"), [(7, ["the order is repeated by --randomly-seed=7"]), (None, [])]
)
def test_the_seed_of_the_order_is_printed(seed: int | None, lines: list[str]) -> None:
    found: list[str] = []
    config = SimpleNamespace(getoption=lambda *_: seed)
    reporter = SimpleNamespace(config=config, write_line=found.append, stats={})
    pytest_terminal_summary(reporter)  # type: ignore[arg-type]
    assert found == lines


@pytest.mark.parametrize(
    ("marker", "minutes", "ago", "skipped"),
    [
        ("slow", 1.0, 61.0, True),
        ("slow", 1.0, 5.0, False),
        ("slow", None, 61.0, False),
        ("browser", 1.0, 61.0, False),
    ],
)
def test_slow_tests_that_would_begin_too_late_are_skipped_and_counted(
    marker: str, minutes: float | None, ago: float, skipped: bool
) -> None:
    config = SimpleNamespace(getoption=lambda *_: minutes, stash={STARTED: time.monotonic() - ago})
    item = SimpleNamespace(config=config, get_closest_marker={marker: marker}.get)
    reasons = []
    try:
        pytest_runtest_setup(item)  # type: ignore[arg-type]
    except pytest.skip.Exception as skip:
        reasons = [SimpleNamespace(longrepr=("a file", 1, f"Skipped: {skip}"))]
    assert bool(reasons) == skipped
    found: list[str] = []
    seedless = SimpleNamespace(getoption=lambda *_: None)
    others = [SimpleNamespace(longrepr=("a file", 1, "Skipped: npm is not installed"))]
    stats = {"skipped": reasons + others}
    reporter = SimpleNamespace(config=seedless, write_line=found.append, stats=stats)
    pytest_terminal_summary(reporter)  # type: ignore[arg-type]
    assert found == [f"1 slow tests were left out: {LEFT_OUT}"] * skipped


def test_examples_are_the_same_in_every_run() -> None:
    assert settings().derandomize
    assert settings().database is None
    assert settings().deadline is None


def test_every_slow_test_is_of_just_one_part() -> None:
    names = [f"tests/test_{n}.py::test_it[{n}]" for n in range(300)]
    for parts in (1, 3, 7):
        taken = [[n for n in names if in_part(n, (k, parts))] for k in range(1, parts + 1)]
        assert sorted(name for part in taken for name in part) == sorted(names)
        assert min(map(len, taken)) > 300 / parts / 2


@pytest.mark.parametrize(("text", "part"), [("1/1", (1, 1)), ("2/3", (2, 3))])
def test_a_part_is_a_number_of_a_number(text: str, part: tuple[int, int]) -> None:
    assert slow_part(text) == part


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2"])
def test_a_part_that_there_is_not_is_refused(text: str) -> None:
    with pytest.raises(pytest.UsageError, match="K from 1 to N"):
        slow_part(text)
