from __future__ import annotations

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from evaluation.machine import package_versions, this_machine

X86 = """processor\t: 0
model name\t: Some x86 CPU: 3.0 GHz
flags\t\t: fpu avx2 fma f16c {vnni} sse4_1

processor\t: 1
model name\t: Some x86 CPU: 3.0 GHz
flags\t\t: fpu
"""
ARM = """processor\t: 0
BogoMIPS\t: 48.00
Features\t: fp asimd aes asimdhp asimddp
CPU implementer\t: 0x41
CPU part\t: 0xd0c
"""


def described(tmp_path: Path, text: str):
    path = tmp_path / "cpuinfo"
    path.write_text(text)
    return this_machine(path)


@pytest.mark.parametrize(
    ("vnni", "has_vnni"), [("avx512_vnni", True), ("avx_vnni", True), ("avx512f", False)]
)
def test_x86_is_read(tmp_path: Path, vnni: str, has_vnni: bool) -> None:
    machine = described(tmp_path, X86.format(vnni=vnni))
    assert machine.cpu == "Some x86 CPU: 3.0 GHz"
    assert set(machine.flags) == {"avx2", "fma", "f16c", vnni}
    assert machine.has_vnni is has_vnni


def test_arm_is_read(tmp_path: Path) -> None:
    machine = described(tmp_path, ARM)
    assert machine.cpu == "Arm implementer 0x41 part 0xd0c"
    assert machine.flags == ("asimd", "asimdhp", "asimddp")
    assert machine.has_vnni is False


def test_what_cannot_be_read_is_not_guessed(tmp_path: Path) -> None:
    machine = this_machine(tmp_path / "none")
    assert machine.flags is None
    assert machine.has_vnni is None
    assert machine.cpu
    assert json.loads(json.dumps(machine.to_dict()))["flags"] is None


def test_this_machine_is_json_with_the_versions_of_the_packages() -> None:
    machine = this_machine()
    read = json.loads(json.dumps(machine.to_dict()))
    assert read["packages"]["onnxruntime"] == version("onnxruntime")
    assert read["cores"] == os.cpu_count()
    assert 1 <= read["usable_cores"] <= read["cores"]
    assert read["python"] == ".".join(map(str, sys.version_info[:3]))
    assert read["has_vnni"] == machine.has_vnni


def test_packages_that_are_not_there_are_left_out() -> None:
    assert package_versions(["numpy", "no-such-distribution-edgequant"]) == {
        "numpy": version("numpy")
    }
