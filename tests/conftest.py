"""What makes every test repeatable: its random numbers, and which slow tests a run takes.

The order of the tests is random (the seed that repeats it is printed at the end), and so is the
worker that runs one. What a test draws depends on its own name alone.
"""

from __future__ import annotations

import random
import re
import time
import zlib
from collections.abc import Generator

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

import edgequant.process  # noqa: F401 - a process of ours

LEFT_OUT = "the minutes for slow tests are over"
"""Reason of the slow tests that ``--slow-minutes`` leaves out."""

STARTED = pytest.StashKey[float]()
"""When the session began, in seconds of ``time.monotonic``."""

# Equal examples in every run, none of them from a folder that runs share, and no limit of time:
# the machine may be busy.
settings.register_profile(
    "repeatable",
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--slow-part K/N`` and ``--slow-minutes N``."""
    parser.addoption(
        "--slow-part",
        metavar="K/N",
        help="Of the slow tests, run part K of N alone, K from 1; a test's name says its part.",
    )
    parser.addoption(
        "--slow-minutes",
        metavar="N",
        type=float,
        help="Begin no slow test later than N minutes after the start; those left out are skipped.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Take the order from pytest-randomly, and not the numbers, which would change with its seed.

    Raises:
        pytest.UsageError: a part that there is not.
    """
    config.option.randomly_reset_seed = False
    config.stash[STARTED] = time.monotonic()
    if config.getoption("--slow-part") is not None:
        slow_part(config.getoption("--slow-part"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what repeats the order, which -q hides, and how many slow tests had no time."""
    skipped = terminalreporter.stats.get("skipped", [])
    left_out = sum(LEFT_OUT in str(report.longrepr) for report in skipped)
    if left_out:
        terminalreporter.write_line(f"{left_out} slow tests were left out: {LEFT_OUT}")
    seed = terminalreporter.config.getoption("randomly_seed", None)
    if isinstance(seed, int):
        terminalreporter.write_line(f"the order is repeated by --randomly-seed={seed}")


def slow_part(text: str) -> tuple[int, int]:
    """Number of a part, from 1, and how many there are.

    Raises:
        pytest.UsageError: another text than K/N with K from 1 to N.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise pytest.UsageError(f"--slow-part is K/N with K from 1 to N; received {text}")
    return int(found[1]), int(found[2])


def in_part(name: str, part: tuple[int, int]) -> bool:
    """Whether a test is of part K of N: every test is of just one."""
    number, parts = part
    return zlib.crc32(name.encode()) % parts == number - 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the slow tests of other parts."""
    text = config.getoption("--slow-part")
    if text is None:
        return
    part = slow_part(text)
    others = [
        item
        for item in items
        if item.get_closest_marker("slow") is not None and not in_part(item.nodeid, part)
    ]
    config.hook.pytest_deselected(items=others)
    left_out = set(others)
    items[:] = [item for item in items if item not in left_out]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a slow test when the time for these is over."""
    minutes = item.config.getoption("--slow-minutes")
    if minutes is None or item.get_closest_marker("slow") is None:
        return
    if time.monotonic() - item.config.stash[STARTED] > 60 * minutes:
        pytest.skip(LEFT_OUT)


def _seed(name: str) -> None:
    """Seed the generators that have a global state, Keras's initializers among them."""
    number = zlib.crc32(name.encode())
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 - libraries draw from it


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """What a fixture makes does not depend on the test that asks for it first."""
    _seed(f"{fixturedef.baseid}::{fixturedef.argname}[{request.param_index}]")
    return (yield)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """What a test draws does not depend on the tests before it."""
    _seed(item.nodeid)
