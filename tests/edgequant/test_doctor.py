"""``edgequant doctor``: the registries are walked, and what is missing is said with its remedy."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edgequant.doctor import findings as looked
from edgequant.doctor import machine
from edgequant.doctor.machine import FEATURES, surroundings
from evaluation.machine import FLAGS
from evaluation.proofs.proof import proofs
from evaluation.proofs.tools import Tool
from evaluation.session import runtimes
from export.bundles.target import ship_targets
from foundation.extras import EXTRAS
from foundation.memory import memory
from tests.edgequant.conftest import Run


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries are taken to load: loading them takes seconds."""
    monkeypatch.setattr(looked, "_fault", lambda module: "")


@pytest.mark.usefixtures("unloaded")
def test_every_registered_part_is_looked_for(run: Run) -> None:
    outcome = run("doctor", "--json")
    assert outcome.code == 0
    named = {part["name"]: part for part in outcome.json["parts"]}
    assert set(runtimes()) <= set(named)
    assert {f"[{extra.name}]" for extra in EXTRAS} <= set(named)
    used = {name for t in ship_targets().values() for name in (*t.measurements, *t.proofs)}
    assert {tool.name for name in used for tool in proofs()[name].tools} <= set(named)
    assert named["litert-reference"]["found"].startswith("ai-edge-litert 2")


@pytest.mark.usefixtures("unloaded")
def test_what_is_missing_has_one_line_with_its_command(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setattr(Tool, "found", lambda tool: "")
    outcome = run("doctor")
    assert outcome.code == 0
    lines = outcome.out.split("missing, for those who need it:")[1].splitlines()
    said = [line for line in lines if "mediapipe" in line]
    assert said == ["  ship --for android: mediapipe: pip install 'edgequant[android]'"]
    (pages,) = (line for line in lines if "[pages]" in line)
    assert pages.endswith("install edgequant[pages]")
    assert "compare" in pages


def test_a_runtime_that_does_not_load_fails(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looked, "_fault", lambda module: "ended" if module == "numpy" else "")
    outcome = run("doctor")
    assert outcome.code == 1
    assert "received oracle: install edgequant again (ended)" in outcome.err


def test_a_library_is_loaded_in_a_process_of_its_own() -> None:
    assert looked._fault("json") == ""
    assert looked._fault("no_such_library") == (
        "ModuleNotFoundError: No module named 'no_such_library'"
    )


def test_every_proof_names_its_tools_and_every_runtime_its_library() -> None:
    assert all(proof.tools for proof in proofs().values())
    assert all(runtime.module for runtime in runtimes().values())
    tools = {tool for proof in proofs().values() for tool in proof.tools}
    assert all(tool.remedy and (tool.programs or tool.distribution) for tool in tools)


def test_a_tool_is_found_by_variable_path_or_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_COMPILER", "mine")
    assert Tool("c", "r", ("sh",), "SOME_COMPILER").found() == "mine"
    assert Path(Tool("c", "r", ("no-such-program", "sh")).found()).name == "sh"
    assert Tool("c", "r", ("no-such-program",)).found() == ""
    assert Tool("c", "r", distribution="numpy").found()
    assert Tool("c", "r", distribution="no-such-package").found() == ""


def test_instruction_sets_have_names_and_say_what_they_mean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert set(FEATURES) == set(FLAGS)
    around = surroundings()
    for flags, architecture, words in (
        (("avx2",), "x86_64", "no VNNI: onnxruntime may saturate"),
        (("avx2", "avx_vnni"), "x86_64", "VNNI: onnxruntime computes int8 files exactly"),
        (("asimd", "asimddp"), "aarch64", "NEON, NEON dot product"),
        (None, "arm64", "instruction sets unknown"),
    ):
        known = type(around.machine)(
            **{**vars(around.machine), "flags": flags, "architecture": architecture}
        )
        assert words in machine._features(known)


def test_memory_is_read_and_may_be_unknown(tmp_path: Path) -> None:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal:       2048 kB\nMemFree: 1 kB\nMemAvailable:   1024 kB\n")
    assert (memory(path).total, memory(path).available) == (2 << 20, 1 << 20)
    path.write_text("MemTotal: many kB\n")
    assert (memory(path).total, memory(path).available) == (None, None)
    assert memory(tmp_path / "none").available is None
