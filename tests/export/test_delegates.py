"""The lint of delegates: operators, types, shapes, and the one cut of the Edge TPU's compiler."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from export.delegates.report import Device, Row, device, lint
from export.delegates.tables import CORE_ML, DEVICES, EDGE_TPU, GPU, NNAPI
from foundation.errors import InvalidInputError
from network.inspection import TensorInfo
from network.tflite.reader import FlatModel, GraphOperator, Subgraph


def tensor(*shape: int | None, dtype: str = "int8", constant: bool = False, scales: int = 1):
    return TensorInfo(
        "t", dtype, shape, (0.1,) * scales, (0,) * scales, constant=constant,
        size_bytes=int(constant),
    )  # fmt: skip


def report(monkeypatch: pytest.MonkeyPatch, dev: Device, tensors, *operators):
    """Lint a graph of operators (name, inputs, outputs)."""
    graph = Subgraph(
        tuple(tensors), tuple(GraphOperator(*operator) for operator in operators), (0,), (1,)
    )
    model = FlatModel(0, 3, (graph,), {}, 0, 0, 0)
    monkeypatch.setattr("export.delegates.report.read_flat_model", lambda _: model)
    return lint(Path("x.tflite"), dev)


def test_devices_have_names() -> None:
    assert [d.name for d in DEVICES] == ["edge-tpu", "gpu", "nnapi", "coreml"]
    for dev in DEVICES:
        assert device(dev.name) is dev
        named = {row.operator for row in dev.rows}
        assert {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "FULLY_CONNECTED"} <= named
    with pytest.raises(InvalidInputError, match="received tpu"):
        device("tpu")


ROWS = [(dev, row) for dev in DEVICES for row in dev.rows]


@pytest.mark.parametrize(
    ("dev", "row"), ROWS, ids=[f"{dev.name} {row.operator}" for dev, row in ROWS]
)
def test_every_row_has_a_source_that_can_be_looked_up(dev: Device, row: Row) -> None:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    assert hasattr(BuiltinOperator, row.operator)
    assert sum(other.operator == row.operator for other in dev.rows) == 1
    assert "https://" in row.source
    # A commit, a date, an issue or a version: what was read can be told from what is there now.
    assert re.search(r"@ [0-9a-f]{12}|\d{4}-\d\d-\d\d|issues/\d+|compiler \d+", row.source)
    assert all(rule.__doc__ for rule in (*row.rules, *dev.rules))
    assert len(dev.rule_sources) == len(dev.rules)
    assert all("https://" in source for source in dev.rule_sources)


IMAGE, SCORES = tensor(1, 8, 8, 4), tensor(1, 3)
REAL, REAL_SCORES = tensor(1, 8, 8, 4, dtype="float32"), tensor(1, 3, dtype="float32")


@pytest.mark.parametrize(
    ("dev", "tensors", "operator", "reason"),
    [
        (EDGE_TPU, (IMAGE, IMAGE), "HARD_SWISH", "not in the table"),
        (EDGE_TPU, (tensor(1, 4, dtype="float32"),) * 2, "RELU", "computes in float32"),
        (EDGE_TPU, (tensor(2, 8, 8, 4),) * 2, "RELU", "more than three dimensions"),
        (EDGE_TPU, (tensor(2, 4), tensor(2, 3)), "FULLY_CONNECTED", "not a vector"),
        (EDGE_TPU, (tensor(1, 20_000),) * 2, "SOFTMAX", "not a vector of at most 16,000"),
        (EDGE_TPU, (tensor(None, 4),) * 2, "RELU", "not fixed"),
        (EDGE_TPU, (IMAGE, SCORES), "RSQRT", "not in the table"),
        (EDGE_TPU, (tensor(1, 8, 8, 30), tensor(1, 8, 8, 1)), "MEAN", "30 channels"),
        (GPU, (tensor(4, 4), tensor(4, 4)), "SLICE", "rank 2, not three or four"),
        (GPU, (tensor(4), tensor(4)), "CEIL", "not in the table"),
        (GPU, (tensor(1, 1, 2, 3, 4),) * 2, "RELU", "rank 5"),
        (GPU, (tensor(4, dtype="int16"), tensor(4, dtype="float32")), "DEQUANTIZE", "int16"),
        (GPU, (tensor(4),) * 2, "CUMSUM", "computes in int8, taken in float16, float32"),
        (NNAPI, (tensor(4),) * 2, "GELU", "not in the table"),
        (NNAPI, (tensor(4),) * 2, "EXP", "computes in int8, taken in float32"),
        (CORE_ML, (IMAGE, IMAGE), "RELU", "computes in int8"),
        (CORE_ML, (REAL, REAL), "RESHAPE", "not in the table"),
        (CORE_ML, (REAL, REAL_SCORES), "MEAN", "drops axes: 4 before, 2 after"),
        (CORE_ML, (REAL, tensor(1, 8, 8, 9, dtype="float32")), "PAD", "changes batch or channels"),
    ],
)
def test_what_is_not_taken_has_its_reason(
    monkeypatch: pytest.MonkeyPatch, dev: Device, tensors, operator: str, reason: str
) -> None:
    found = report(monkeypatch, dev, tensors, (operator, (0,), (1,)))
    (refusal,) = found.refused
    assert found.taken == 0
    assert refusal.operator == operator
    assert reason in refusal.reason


def test_weight_scales_of_dense_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    for scales, taken in ((1, 1), (3, 0)):
        tensors = (tensor(1, 4), SCORES, tensor(3, 4, constant=True, scales=scales))
        assert report(monkeypatch, NNAPI, tensors, ("FULLY_CONNECTED", (0, 2), (1,))).taken == taken


def test_versions_fused_activations_and_biases(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tensor(4, 1, 1, 4, constant=True)
    for dev, tensors, name, extra, taken in (
        (NNAPI, (IMAGE, IMAGE), "RESHAPE", (1,), 1),
        (NNAPI, (IMAGE, IMAGE), "RESHAPE", (2,), 0),
        (CORE_ML, (REAL, REAL), "RELU", (2,), 0),
        (EDGE_TPU, (IMAGE, IMAGE), "MAX_POOL_2D", (2, "NONE"), 1),
        (EDGE_TPU, (IMAGE, IMAGE), "MAX_POOL_2D", (2, "RELU6"), 0),
    ):
        found = report(monkeypatch, dev, tensors, (name, (0,), (1,), *extra))
        assert found.taken == taken, (dev.name, name, extra)
    for inputs, taken in (((0, 2), 0), ((0, 2, -1), 0), ((0, 2, 3), 1)):
        tensors = (IMAGE, IMAGE, weights, tensor(4, dtype="int32", constant=True))
        assert report(monkeypatch, NNAPI, tensors, ("CONV_2D", inputs, (1,))).taken == taken


def test_computed_weights_are_told_from_float16_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def tensors(constant: bool):
        real = {"dtype": "float32"}
        half = tensor(4, 3, dtype="float16", constant=constant)
        return tensor(1, 3, **real), tensor(1, 4, **real), half, tensor(4, 3, **real)

    operators = (("DEQUANTIZE", (2,), (3,)), ("FULLY_CONNECTED", (0, 3), (1,)))
    assert report(monkeypatch, CORE_ML, tensors(True), *operators).taken == 2
    computed = report(monkeypatch, CORE_ML, tensors(False), *operators)
    assert [r.reason for r in computed.refused] == [
        "computes in float16, taken in float32",
        "has computed weights",
    ]


def test_the_edge_tpu_takes_nothing_after_the_first_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    operators = [(name, (0,), (0,)) for name in ("CONV_2D", "HARD_SWISH", "CONV_2D", "RELU")]
    edge = report(monkeypatch, EDGE_TPU, (IMAGE, IMAGE), *operators)
    assert edge.taken == 1
    assert "cuts the graph once" in edge.refused[-1].reason
    assert report(monkeypatch, GPU, (IMAGE, IMAGE), *operators).taken == 4


def test_a_float_input_costs_the_edge_tpu_its_quantize_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    operators = (("QUANTIZE", (0,), (1,)), ("RELU", (1,), (1,)), ("RELU", (1,), (1,)))
    found = report(monkeypatch, EDGE_TPU, (REAL, IMAGE), *operators)
    assert found.taken == 2
    assert [refusal.operator for refusal in found.refused] == ["QUANTIZE"]


def test_the_report_names_the_sources_of_what_it_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    found = report(monkeypatch, EDGE_TPU, (IMAGE, IMAGE), ("TRANSPOSE", (0,), (1,)))
    assert found.sources == ("https://github.com/google-coral/edgetpu/issues/193 (compiler 16)",)
