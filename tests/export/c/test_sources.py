"""Sources of whole networks: what they compute, what they are called, what is refused."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.c.names import Prefix
from export.c.program import Program, program_of, read_program, require_kernels
from export.c.sources import comment
from export.tflite.target import TARGET
from foundation.errors import InvalidInputError, UnsupportedError
from network.affine import IntType, QuantParams
from network.oracle.model import IntegerModel
from network.oracle.reader import read_operators
from quantize.recipes import recipe
from quantize.settings import IoType
from tests.export.c.compiled import (
    COMPILER,
    DSP,
    SANITIZED,
    expected_of,
    needs_compiler,
    run,
    write_all,
)
from tests.export.tflite import tflite_cases
from tests.network.oracle.files import Slot, write_operator

CLANG = shutil.which("clang")


@pytest.fixture(scope="module")
def short_file(short_model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("c") / "short.tflite"
    wanted = recipe("tflite-int8").with_io(IoType.INT8)
    TARGET.write(tflite_cases.request(short_model, wanted), path)
    return path


@pytest.fixture(scope="module")
def by_rows(short_file: Path) -> Program:
    return read_program(short_file)


@needs_compiler
def test_a_network_by_rows_gives_the_bits_of_the_reference_kernels(
    short_file: Path, by_rows: Program, tmp_path: Path
) -> None:
    sources = write_all(by_rows, tmp_path / "c", *expected_of(short_file))
    assert run(sources, "-O1") == ""


@needs_compiler
def test_a_bit_that_differs_is_told(short_file: Path, by_rows: Program, tmp_path: Path) -> None:
    inputs, outputs = expected_of(short_file)
    sources = write_all(by_rows, tmp_path / "c", inputs, outputs ^ np.int8(1))
    assert "2 vectors, 2 differ" in run(sources, "-O0")


@needs_compiler
def test_arm_dsp_instructions_give_the_same_bits(
    short_file: Path, by_rows: Program, tmp_path: Path
) -> None:
    sources = write_all(by_rows, tmp_path / "c", *expected_of(short_file))
    assert run(sources, "-O1", *DSP) == ""


@needs_compiler
def test_arm_dsp_instructions_can_be_left_out(by_rows: Program, tmp_path: Path) -> None:
    nothing = np.zeros((1, 1), np.int8)
    sources = write_all(by_rows, tmp_path / "c", nothing, nothing, prefix="car")
    (kernels,) = (path for path in sources if path.name == "car_kernels.c")
    flags = ("-E", "-I", str(kernels.parent), *DSP)
    with_dsp, without = (
        subprocess.run(
            [str(COMPILER), *flags, *more, str(kernels)], capture_output=True, text=True, check=True
        ).stdout
        for more in ((), ("-DCAR_PORTABLE",))
    )
    assert "__smlad(" in with_dsp
    assert "__smlad(" not in without


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("rows", [False, True])
@pytest.mark.parametrize("flags", [(), DSP], ids=["portable", "dsp"])
def test_no_sanitizer_has_a_complaint(
    short_file: Path, tmp_path: Path, rows: bool, flags: tuple[str, ...]
) -> None:
    program = read_program(short_file, by_rows=rows)
    sources = write_all(program, tmp_path / "c", *expected_of(short_file, 4))
    assert run(sources, "-O1", *SANITIZED, *flags) == ""


@pytest.mark.slow
@pytest.mark.skipif(not CLANG, reason="clang is not installed")
def test_clang_compiles_them_without_a_warning(
    short_file: Path, by_rows: Program, tmp_path: Path
) -> None:
    sources = write_all(by_rows, tmp_path / "c", *expected_of(short_file))
    assert run(sources, "-O2", "-Weverything", "-Wno-everything", compiler=CLANG) == ""


@needs_compiler
def test_two_networks_in_one_program_do_not_clash(
    short_file: Path, by_rows: Program, tmp_path: Path
) -> None:
    expected = expected_of(short_file)
    folder = tmp_path / "c"
    first = write_all(by_rows, folder, *expected, prefix="person")
    second = write_all(by_rows, folder, *expected, prefix="car")
    main = folder / "main.c"
    main.write_text(
        '#include "person.h"\n#include "car.h"\n'
        '#include "person_vectors.h"\n#include "car_vectors.h"\n'
        "static uint8_t arena[PERSON_ARENA_BYTES + CAR_ARENA_BYTES];\n"
        "int main(void) { return person_self_test(arena) + car_self_test(arena); }\n"
    )
    tests = {"person_test.c", "car_test.c"}
    sources = [path for path in (*first, *second, main) if path.name not in tests]
    assert run(sources, "-O0") == ""


def test_every_symbol_has_the_prefix(by_rows: Program, tmp_path: Path) -> None:
    inputs, outputs = np.zeros((1, 1), np.int8), np.zeros((1, 1), np.int8)
    write_all(by_rows, tmp_path / "c", inputs, outputs, prefix="car")
    for path in (tmp_path / "c").iterdir():
        assert path.name.startswith("car") or path.name == "Makefile"
        assert not re.search(r"\b(net|NET)_|\"net\.", path.read_text()), path.name


def test_a_block_by_rows_lowers_the_arena(short_file: Path, by_rows: Program) -> None:
    layers = read_program(short_file, by_rows=False)
    assert any(len(block.ops) > 1 for block in by_rows.schedule.blocks)
    assert by_rows.arena < layers.arena
    assert len(layers.schedule.blocks) == len([op for b in by_rows.schedule.blocks for op in b.ops])


@pytest.mark.parametrize(
    "text", ["", "1st", "a b", "int", "_net", "net_", "é", "class", "x" * 16, "a-b"]
)
def test_a_prefix_that_is_no_identifier_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="--prefix takes a C identifier"):
        Prefix(text)


def test_operators_without_a_kernel_are_named_together() -> None:
    with pytest.raises(UnsupportedError, match="received m with COS, WHILE") as error:
        require_kernels({"WHILE", "CONV_2D", "COS"}, "m")
    assert "ship for microcontroller" in str(error.value)


@pytest.mark.parametrize("dtype", [IntType.UINT8, IntType.INT16])
def test_other_types_than_int8_are_refused(dtype: IntType, tmp_path: Path) -> None:
    params = QuantParams((0.5,), (0,), dtype)
    slot = Slot((1, 2, 2, 3), dtype.value, params)
    options = ("AddOptions", {"fusedActivationFunction": 0})
    path = write_operator(tmp_path / "a.tflite", "ADD", [slot, slot], [slot], options)
    network = read_operators(path)
    model = IntegerModel(network.ops, network.tensors, "t0", ("t2",))
    with pytest.raises(UnsupportedError, match=f"in {dtype.value}"):
        program_of(model)


def test_a_float_operator_is_named_before_the_file_is_read_as_integers(tmp_path: Path) -> None:
    slots = Slot((1, 4), params=QuantParams((0.5,), (0,))), Slot((1, 4), "float32")
    path = write_operator(tmp_path / "f.tflite", "DEQUANTIZE", [slots[0]], [slots[1]])
    with pytest.raises(UnsupportedError, match="with DEQUANTIZE"):
        read_program(path)


def test_a_name_cannot_end_a_comment() -> None:
    assert "*/" not in comment("a */ int main() { /* é\n")
