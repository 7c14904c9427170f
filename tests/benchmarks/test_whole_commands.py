"""Costs of processes, and the benchmark of whole commands on the shipped network."""

from __future__ import annotations

import sys

import pytest

from benchmarks.__main__ import suites
from benchmarks.costs import cost
from benchmarks.whole_commands import run
from foundation.errors import InvalidInputError


def test_cost_counts_processor_time_and_memory_of_the_process() -> None:
    work = "import time; b = bytearray(50_000_000)\nwhile time.process_time() < 0.2: pass"
    taken = cost([sys.executable, "-c", work])
    assert taken.processor_seconds >= 0.2
    assert taken.seconds > 0.1
    assert taken.peak_bytes > 50_000_000


def test_failed_command_is_named_with_its_last_line() -> None:
    with pytest.raises(InvalidInputError, match="no photos"):
        cost([sys.executable, "-c", "raise SystemExit('no photos')"])


def test_helpers_are_no_suites() -> None:
    assert "whole_commands" in suites()
    assert not {"costs", "converter_script"}.intersection(suites())


@pytest.mark.slow
def test_both_sides_write_files_of_the_shipped_network() -> None:
    figures = run(samples=8, repeats=1, levels=("fast",))
    shares = {f.subject: f.value for f in figures if f.quantity.startswith("processor time, of")}
    script, ours = shares.values()
    assert script == 1.0
    assert 0.0 < ours < 1.0, "TensorFlow's import alone takes longer"
