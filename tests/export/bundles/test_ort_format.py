"""The .ort file: equal bytes in every run, and the same model in ONNX Runtime."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.bundles.ort_canonical import _table, canonical_ort
from export.bundles.ort_format import _tool, write_ort


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with two operators of several kinds, so that the table has an order."""
    from onnx import TensorProto, checker, helper, save

    kinds = ("Relu", "Sigmoid", "Tanh", "Neg", "Abs", "Floor", "Sqrt", "Exp")
    nodes = [helper.make_node(k, [f"t{i}"], [f"t{i + 1}"]) for i, k in enumerate(kinds)]
    nodes.append(helper.make_node("Transpose", [f"t{len(kinds)}"], ["y"], perm=[1, 0]))
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "many", [value("t0", TensorProto.FLOAT, [3, 5])],
        [value("y", TensorProto.FLOAT, [5, 3])],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(made)
    path = tmp_path_factory.mktemp("ort") / "many.onnx"
    save(made, path)
    return path


def test_the_bytes_repeat_though_onnx_runtimes_do_not(model: Path, tmp_path: Path) -> None:
    digests = []
    for number in range(3):
        folder = tmp_path / str(number)
        folder.mkdir()
        digests.append(
            [hashlib.sha256(p.read_bytes()).hexdigest() for p in write_ort(model, folder)]
        )
    assert digests[0] == digests[1] == digests[2]


def test_the_table_and_the_answers_are_onnx_runtimes(model: Path, tmp_path: Path) -> None:
    import onnxruntime
    from onnxruntime.tools.ort_format_model.ort_flatbuffers_py.fbs.InferenceSession import (
        InferenceSession,
    )

    _tool("convert_onnx_models_to_ort", str(model), "--output_dir", str(tmp_path))
    written = (tmp_path / "many.ort").read_bytes()
    ours = canonical_ort(written)
    tables: list[Any] = [_table(InferenceSession.GetRootAs(c)) for c in (written, ours)]
    assert tables[0] == tables[1]
    assert list(tables[1]) == sorted(tables[1])
    assert canonical_ort(ours) == ours
    image = np.random.default_rng(0).random((3, 5), np.float32)
    (tmp_path / "ours.ort").write_bytes(ours)
    answers = [
        onnxruntime.InferenceSession(str(path)).run(None, {"t0": image})[0]
        for path in (model, tmp_path / "many.ort", tmp_path / "ours.ort")
    ]
    np.testing.assert_array_equal(answers[1], answers[0])
    np.testing.assert_array_equal(answers[2], answers[0])
