"""The Arduino library as its IDE lays it out, and the CMake component as CMake builds it."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from export.c.names import Prefix
from export.c.packages import packages
from export.c.program import Program, program_of
from export.c.sources import c_sources
from export.c.testing import test_sources as self_test_sources
from tests.export.c.chains import chains
from tests.export.c.compiled import COMPILER, needs_compiler

CMAKE, CXX = shutil.which("cmake"), shutil.which("c++") or shutil.which("g++")
CAR = Prefix("car")
CATEGORIES = (
    "Display", "Communication", "Signal Input/Output", "Sensors", "Device Control", "Timing",
    "Data Storage", "Data Processing", "Other",
)  # fmt: skip
ARDUINO_H = """\
#pragma once
#include <stdint.h>
#include <stdio.h>
struct Port {
  void begin(long) {}
  void print(int n) { printf("%d", n); }
  void print(const char *text) { printf("%s", text); }
  void println(unsigned long) { printf("\\n"); }
};
static Port Serial;
inline unsigned long micros() { return 0; }
inline void delay(int) {}
"""


@pytest.fixture(scope="module")
def program() -> Program:
    return program_of(next(chains(3)))


@pytest.fixture(scope="module")
def written(program: Program) -> dict[str, bytes]:
    """Everything that lies in the folder, by path."""
    network = program.network
    rng = np.random.default_rng(0)
    image = rng.integers(-128, 128, (2, *network.tensors["image"].shape)).astype(np.int8)
    wanted = [network.activations(one)[network.output].reshape(-1) for one in image]
    sources = c_sources(program, CAR, "a test")
    tests = self_test_sources(CAR, image, np.stack(wanted))
    texts = {**sources, **{f"test/{name}": text for name, text in tests.items()}}
    return {
        **{name: text.encode("ascii") for name, text in texts.items()},
        **packages(CAR, program.arena, sources, tests),
    }


def test_the_library_has_what_arduino_asks_for(written: dict[str, bytes], program: Program) -> None:
    with zipfile.ZipFile(io.BytesIO(written["car_arduino.zip"])) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        text = archive.read("car_network/library.properties").decode("ascii")
    assert {name.split("/")[0] for name in names} == {"car_network"}  # one folder, as the IDE needs
    values = dict(line.split("=", 1) for line in text.splitlines())
    needed = ("author", "maintainer", "sentence", "paragraph", "url", "architectures")
    assert all(values[name] for name in needed)
    assert re.fullmatch(r"(?=.*[A-Za-z])[A-Za-z0-9][A-Za-z0-9 _.-]{0,62}", values["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", values["version"])
    assert values["category"] in CATEGORIES
    assert f"car_network/src/{values['includes']}" in names
    assert f"{program.arena:,} bytes" in values["paragraph"]
    sketches = [name for name in names if name.endswith(".ino")]
    assert sketches == ["car_network/examples/SelfTest/SelfTest.ino"]  # named as its folder
    assert not [name for name in names if name.endswith("_test.c")]  # its main() is not the IDE's


def test_the_same_network_gives_the_same_zip(written: dict[str, bytes], program: Program) -> None:
    sources = c_sources(program, CAR, "a test")
    tests = {
        path.removeprefix("test/"): content.decode("ascii")
        for path, content in written.items()
        if path.startswith("test/")
    }
    again = packages(CAR, program.arena, sources, tests)
    assert again["car_arduino.zip"] == written["car_arduino.zip"]


@pytest.mark.slow
@needs_compiler
@pytest.mark.skipif(CXX is None, reason="no C++ compiler is installed")
def test_the_sketch_runs_as_the_ide_compiles_it(written: dict[str, bytes], tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(written["car_arduino.zip"])) as archive:
        archive.extractall(tmp_path)
    library = tmp_path / "car_network"
    sketch = library / "examples" / "SelfTest"
    core = tmp_path / "core"
    core.mkdir()
    (core / "Arduino.h").write_text(ARDUINO_H)
    (core / "main.cpp").write_text(
        "void setup();\nvoid loop();\nint main() { setup(); loop(); return 0; }\n"
    )
    text = (sketch / "SelfTest.ino").read_text()
    head = "#include <Arduino.h>\nvoid setup();\nvoid loop();\n"
    (sketch / "SelfTest.ino.cpp").write_text(head + text)
    folders = [f"-I{folder}" for folder in (core, library / "src", sketch)]
    plain = sorted([*(library / "src").glob("*.c"), *sketch.glob("*.c")])
    subprocess.run(
        [str(COMPILER), "-std=gnu11", "-Os", "-c", "-Wall", "-Werror", *folders, *map(str, plain)],
        check=True, cwd=core,
    )  # fmt: skip
    made = [str(core / f"{path.stem}.o") for path in plain]
    sources = [str(sketch / "SelfTest.ino.cpp"), str(core / "main.cpp")]
    command = [str(CXX), "-std=gnu++17", "-Os", "-Wall", "-Werror", *folders, "-o", "sketch"]
    subprocess.run([*command, *sources, *made], check=True, cwd=core)
    done = subprocess.run([str(core / "sketch")], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("0 of 2 vectors differ")


@pytest.mark.slow
@pytest.mark.skipif(CMAKE is None, reason="cmake is not installed")
def test_cmake_builds_and_tests_the_folder(written: dict[str, bytes], tmp_path: Path) -> None:
    folder, build = tmp_path / "car", tmp_path / "build"
    (folder / "test").mkdir(parents=True)
    for name, content in written.items():
        (folder / name).write_bytes(content)
    made = [["-S", str(folder), "-B", str(build), "-Werror=dev"], ["--build", str(build)]]
    for arguments in made:
        done = subprocess.run([str(CMAKE), *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert (build / "libcar.a").is_file()
    subprocess.run([str(build / "car_test")], check=True, capture_output=True)


@pytest.mark.slow
@needs_compiler
@pytest.mark.skipif(CMAKE is None, reason="cmake is not installed")
def test_an_application_takes_the_folder_as_a_library(
    written: dict[str, bytes], tmp_path: Path
) -> None:
    folder = tmp_path / "car"
    (folder / "test").mkdir(parents=True)
    for name, content in written.items():
        (folder / name).write_bytes(content)
    (tmp_path / "main.c").write_text(
        '#include "car.h"\nstatic uint8_t arena[CAR_ARENA_BYTES];\n'
        "static int8_t in[CAR_INPUT_BYTES], out[CAR_OUTPUT_BYTES];\n"
        "int main(void) { car_run(in, out, arena); return 0; }\n"
    )
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(app C)\nadd_subdirectory(car)\n"
        "add_executable(app main.c)\ntarget_link_libraries(app PRIVATE car)\n"
    )
    build = tmp_path / "build"
    for arguments in (["-S", str(tmp_path), "-B", str(build)], ["--build", str(build)]):
        subprocess.run([str(CMAKE), *arguments], check=True, capture_output=True)
    subprocess.run([str(build / "app")], check=True)
    assert not (build / "car" / "car_test").exists()


@pytest.mark.slow
@pytest.mark.skipif(CMAKE is None, reason="cmake is not installed")
def test_esp_idf_registers_a_component(written: dict[str, bytes], tmp_path: Path) -> None:
    """As its build system reads a component: ESP_PLATFORM is set, and the function is there."""
    (tmp_path / "CMakeLists.txt").write_bytes(written["CMakeLists.txt"])
    script = tmp_path / "idf.cmake"
    script.write_text(
        "set(ESP_PLATFORM 1)\nfunction(idf_component_register)\n"
        '  cmake_parse_arguments(p "" "" "SRCS;INCLUDE_DIRS" ${ARGN})\n'
        '  message("sources ${p_SRCS} folders ${p_INCLUDE_DIRS}")\nendfunction()\n'
        f'include("{tmp_path / "CMakeLists.txt"}")\n'
    )
    done = subprocess.run(
        [str(CMAKE), "-P", str(script)], capture_output=True, text=True, check=True
    )
    assert "sources car.c;car_cmsis_nn.c;car_kernels.c;car_weights.c folders ." in done.stderr
