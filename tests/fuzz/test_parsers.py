"""Each parser, fed with a few damaged files in this process; ``make fuzz`` feeds it for longer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fuzz.mutations import mutated
from tests.fuzz.parser import Parser
from tests.fuzz.parsers import PARSERS
from tests.fuzz.runs import damaged, run_case

CASES = 40
"""Of each parser; those of one seed, so that a failure comes again."""

pytestmark = [
    # Pillow's remarks on odd files, which are read or refused all the same.
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore:Image size"),
]

QUICK = [parser for parser in PARSERS if not parser.heavy]


@pytest.mark.parametrize("parser", QUICK, ids=lambda parser: parser.name)
def test_damaged_files_end_in_a_value_or_one_sentence(parser: Parser, tmp_path: Path) -> None:
    path = tmp_path / parser.file
    parser.sample(path)
    sample = path.read_bytes()
    parser.read(path)
    found = []
    for case in range(CASES):
        path.write_bytes(damaged(parser, sample, 0, case))
        found.append(run_case(parser, path, 0, case))
    assert [str(finding) for finding in found if finding] == []


def test_a_traceback_is_found(tmp_path: Path) -> None:
    def read(path: Path) -> object:
        return int(path.read_bytes())

    parser = Parser("numbers", "number.txt", lambda path: path.write_bytes(b"123456"), read)
    path = tmp_path / parser.file
    path.write_bytes(b"12x")
    found = run_case(parser, path, 0, 0)
    assert found is not None
    assert found.what == "traceback"
    assert "ValueError" in found.detail


def test_a_message_of_two_lines_is_found(tmp_path: Path) -> None:
    from foundation.errors import InvalidInputError

    class TwoLinesError(InvalidInputError):
        def __str__(self) -> str:
            return "one\ntwo"

    def read(path: Path) -> object:
        raise TwoLinesError("rule", received=path, remedy="remedy")

    found = run_case(Parser("two", "two.txt", lambda _: None, read), tmp_path / "two.txt", 0, 0)
    assert found is not None
    assert found.what == "sentence"


@pytest.mark.parametrize("parser", [QUICK[0], QUICK[2]], ids=lambda parser: parser.name)
def test_damage_is_of_many_kinds_and_comes_again(parser: Parser, tmp_path: Path) -> None:
    path = tmp_path / parser.file
    parser.sample(path)
    sample = path.read_bytes()
    made = [mutated(sample, np.random.default_rng(seed)) for seed in range(60)]
    again = [mutated(sample, np.random.default_rng(seed)) for seed in range(60)]
    assert made == again
    assert len({bytes(data) for data in made}) > 50
    assert sum(data != sample for data in made) > 50
