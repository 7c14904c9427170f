"""Thousands of command lines that cannot work: a sentence each, never a traceback."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.edgequant.conftest import Outcome, Run
from tests.edgequant.fuzz_commands import (
    LONGEST_SENTENCE,
    Case,
    Files,
    commands,
    mixed_cases,
    refused_cases,
)


@pytest.fixture
def files(tiny_keras: Path, photos: Path, tiny_int8: Path, tmp_path: Path) -> Files:
    return Files(tiny_keras, photos, tiny_int8, tmp_path / "o")


def fault(case: Case, outcome: Outcome) -> str:
    """What is wrong with what a command line came to; empty where nothing is."""
    if outcome.code not in ((2,) if case.refused else (0, 1, 2)):
        return f"exit {outcome.code}"
    if "Traceback" in outcome.err or "this is a bug" in outcome.err:
        return "a traceback"
    if outcome.code == 0:
        return ""
    lines = outcome.err.strip().splitlines()
    if not lines or not lines[-1].startswith(("edgequant: ", "Error: ")):
        return "no sentence"
    if len(lines[-1]) > LONGEST_SENTENCE:
        return f"{len(lines[-1])} letters"
    return "" if lines[-1].isprintable() else "letters that cannot be printed"


def test_every_command_is_tried() -> None:
    assert {("quantize",), ("plan", "apply"), ("study", "relu6")} <= set(commands())


@pytest.mark.parametrize("share", [0.15, pytest.param(1.0, marks=pytest.mark.slow)])
def test_values_that_no_option_takes_are_refused_at_once(
    run: Run, files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, share: float
) -> None:
    monkeypatch.chdir(tmp_path)
    every = list(refused_cases(files))
    assert len(every) > 2000
    cases = random.Random(15).sample(every, round(share * len(every)))
    wrong = [(why, case.arguments) for case in cases if (why := fault(case, run(*case.arguments)))]
    assert not wrong, f"{len(wrong)} of {len(cases)}: {wrong[:5]}"
    assert not files.output.exists()


@pytest.mark.slow
def test_odd_values_end_in_a_sentence_or_a_result(
    run: Run, files: Files, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    wrong = [
        (why, case.arguments)
        for case in mixed_cases(files, 15, 1500)
        if (why := fault(case, run(*case.arguments)))
    ]
    assert not wrong, f"{len(wrong)}: {wrong[:5]}"
