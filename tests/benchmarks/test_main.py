"""``python -m benchmarks``: names are checked before any benchmark is run."""

from __future__ import annotations

import pytest

import benchmarks.__main__ as command


def test_an_unknown_name_is_refused_before_any_benchmark_is_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "import_module", lambda _: pytest.fail("one was run"))
    with pytest.raises(SystemExit) as stop:
        command.main(["startup", "startupp"])
    assert stop.value.code == 2
    assert "received startupp" in capsys.readouterr().err
