from __future__ import annotations

import pickle

import pytest

from foundation.errors import GateFailedError, InvalidInputError, UnsupportedError


@pytest.mark.parametrize("kind", [InvalidInputError, UnsupportedError, GateFailedError])
def test_an_error_is_the_same_in_another_process(kind: type[InvalidInputError]) -> None:
    error = kind("a rule", received="5", remedy="give 4")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error) == "a rule; received 5: give 4."
    assert (again.rule, again.received, again.remedy) == ("a rule", "5", "give 4")
