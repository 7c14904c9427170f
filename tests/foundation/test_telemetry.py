"""SDKs report nothing, and running a file leaves nothing in the home folder."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("calibration_data", "edgequant", "evaluation", "export", "models", "quantize", "reports")


def test_every_module_goes_to_onnx_runtime_through_the_adapter() -> None:
    found = 0
    for path in (file for room in ROOMS for file in (ROOT / room).rglob("*.py")):
        if "proofs/workers" in path.as_posix():
            continue  # scripts for other interpreters, which inherit the switches
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [
            name
            for node in ast.walk(tree)
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        ]
        if any(name.partition(".")[0] == "onnxruntime" for name in names):
            found += 1
            assert "runtime()" in path.read_text(encoding="utf-8"), path
    assert found >= 3


@pytest.mark.parametrize("command", ["evaluate", "lint"])
def test_a_run_leaves_nothing_in_a_fresh_home(tmp_path: Path, command: str) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, (1, 8, 8, 3))
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, (1, 3))
    node = helper.make_node("ReduceMean", ["image"], ["scores"], axes=[1, 2], keepdims=0)
    graph = helper.make_graph([node], "net", [image], [scores])
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "net.onnx")
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "data.npz",
        images=rng.integers(0, 256, (12, 8, 8, 3), np.uint8),
        labels=np.arange(12) % 3,
    )
    home = tmp_path / "home"
    home.mkdir()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "ORT_"))}
    subprocess.run(
        [
            sys.executable, "-m", "edgequant", command, tmp_path / "net.onnx",
            "--data", tmp_path / "data.npz", "--mean", "127.5", "--std", "127.5",
            "--crop", "stretch", "--limit", "12",
        ],
        cwd=ROOT,
        env={**environment, "HOME": str(home)},
        capture_output=True,
        check=command == "evaluate",
    )  # fmt: skip
    assert [path for path in home.rglob("*") if path.is_file()] == []
