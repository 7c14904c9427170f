"""The C sources on emulated boards, compiled in every way, where the tools are installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from evaluation.proofs import emulated
from evaluation.proofs.cmsis_nn import Library
from evaluation.proofs.emulated import BOARDS, DSP, Board, Build, Fault, Image, Run, Sources
from export.c.names import Prefix
from export.c.program import read_program
from export.tflite.target import TARGET
from tests.export.c.compiled import expected_of, write_all
from tests.export.c.test_cmsis_nn import FOLDER, INT8, build_odd
from tests.export.tflite import tflite_cases

TOOLS = (emulated.COMPILER, "qemu-system-arm")
needs_tools = pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)), reason=f"{' and '.join(TOOLS)} are not installed"
)
BUILDS = (
    DSP,
    Build.portable(Prefix()),
    *([Library.open(FOLDER).build(Prefix())] if FOLDER else []),
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    folder = tmp_path_factory.mktemp("emulated")
    path, test = folder / "odd.tflite", folder / "c/test"
    TARGET.write(tflite_cases.request(build_odd(), INT8), path)
    write_all(read_program(path), folder / "c", *expected_of(path))
    test.mkdir()
    for made in (folder / "c").glob("net_*"):
        if "vectors" in made.name or made.name == "net_test.c":
            made.rename(test / made.name)
    return Sources(folder / "c", test, Prefix(), 2)


@pytest.mark.slow
@needs_tools
@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.machine)
@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.name)
def test_every_build_gives_the_bits_on_every_board(
    sources: Sources, board: Board, build: Build, tmp_path: Path
) -> None:
    image = emulated.compiled(sources, build, board, tmp_path)
    assert isinstance(image, Image), image
    first, second = (emulated.emulated(sources, image, board, tmp_path) for _ in range(2))
    assert isinstance(first, Run), first
    assert first == second
    assert 0 < first.stack_bytes < 8192


@pytest.mark.slow
@needs_tools
def test_another_bit_is_a_fault_of_the_network(sources: Sources, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(sources.folder, tmp_path / "c"))
    weights = copy / "net_weights.c"
    weights.write_text(weights.read_text().replace("{\n    ", "{\n    1 + ", 1))
    changed = Sources(copy, copy / "test", Prefix(), 2)
    image = emulated.compiled(changed, DSP, BOARDS[0], tmp_path)
    assert isinstance(image, Image), image
    fault = emulated.emulated(changed, image, BOARDS[0], tmp_path)
    assert isinstance(fault, Fault)
    assert not fault.missing


def test_without_the_compiler_nothing_is_said_of_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    fault = emulated.compiled(Sources(tmp_path, tmp_path, Prefix(), 1), DSP, BOARDS[0], tmp_path)
    assert isinstance(fault, Fault)
    assert fault.missing
    assert "gcc-arm-none-eabi" in fault.reason
