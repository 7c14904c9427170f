"""The lint of delegates: operators, types, shapes, and the one cut of the Edge TPU's compiler."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration_data.errors import InvalidInputError
from export.delegate_tables import CORE_ML, DEVICES, EDGE_TPU, GPU, NNAPI
from export.delegates import Device, device, lint
from export.inspection import TensorInfo
from export.tflite_graph import FlatModel, GraphOperator, Subgraph


def tensor(*shape: int | None, dtype: str = "int8", constant: bool = False, scales: int = 1):
    return TensorInfo(
        "t", dtype, shape, (0.1,) * scales, (0,) * scales, constant=constant,
        size_bytes=int(constant),
    )  # fmt: skip


def report(monkeypatch: pytest.MonkeyPatch, dev: Device, tensors, *operators):
    """Lint of a graph of (name, inputs, outputs)."""
    graph = Subgraph(
        tuple(tensors), tuple(GraphOperator(*operator) for operator in operators), (0,), (1,)
    )
    model = FlatModel(0, 3, (graph,), {}, 0, 0, 0)
    monkeypatch.setattr("export.delegates.read_flat_model", lambda _: model)
    return lint(Path("x.tflite"), dev)


def test_devices_have_names_and_sources() -> None:
    assert [d.name for d in DEVICES] == ["edge-tpu", "gpu", "nnapi", "coreml"]
    for dev in DEVICES:
        assert device(dev.name) is dev
        assert "." in dev.source
        assert {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "FULLY_CONNECTED"} <= dev.operators
        assert dev.float_only <= dev.operators
    with pytest.raises(InvalidInputError, match="received tpu"):
        device("tpu")


def test_every_operator_name_is_tflites() -> None:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    for dev in DEVICES:
        assert all(hasattr(BuiltinOperator, name) for name in dev.operators), dev.name


IMAGE, SCORES = tensor(1, 8, 8, 4), tensor(1, 3)


@pytest.mark.parametrize(
    ("dev", "tensors", "operator", "reason"),
    [
        (EDGE_TPU, (IMAGE, IMAGE), "HARD_SWISH", "not in the table"),
        (EDGE_TPU, (tensor(1, 4, dtype="float32"),) * 2, "RELU", "computes in float32"),
        (EDGE_TPU, (tensor(2, 8, 8, 4),) * 2, "RELU", "more than three dimensions"),
        (EDGE_TPU, (tensor(2, 4), tensor(2, 3)), "FULLY_CONNECTED", "not a vector"),
        (EDGE_TPU, (tensor(1, 20_000),) * 2, "SOFTMAX", "not a vector of at most 16,000"),
        (EDGE_TPU, (tensor(None, 4),) * 2, "RELU", "not fixed"),
        (GPU, (tensor(1, 8, 8, 4), tensor(1, 8, 8, 8)), "DEPTHWISE_CONV_2D", "multiplier of 2"),
        (GPU, (tensor(1, 1, 2, 3, 4),) * 2, "RELU", "rank 5"),
        (GPU, (tensor(4, dtype="int16"), tensor(4, dtype="float32")), "DEQUANTIZE", "int16"),
        (GPU, (tensor(4),) * 2, "CUMSUM", "float only"),
        (NNAPI, (tensor(4),) * 2, "GELU", "not in the table"),
        (NNAPI, (tensor(4),) * 2, "EXP", "float only"),
        (CORE_ML, (IMAGE, IMAGE), "RELU", "computes in int8"),
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


def test_computed_weights_are_told_from_float16_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    def tensors(constant: bool):
        real = {"dtype": "float32"}
        half = tensor(4, 3, dtype="float16", constant=constant)
        return tensor(1, 3, **real), tensor(1, 4, **real), half, tensor(4, 3, **real)

    operators = (("DEQUANTIZE", (2,), (3,)), ("FULLY_CONNECTED", (0, 3), (1,)))
    assert report(monkeypatch, CORE_ML, tensors(True), *operators).taken == 2
    computed = report(monkeypatch, CORE_ML, tensors(False), *operators)
    assert [r.reason for r in computed.refused] == ["has computed weights"]


def test_the_edge_tpu_takes_nothing_after_the_first_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    operators = [(name, (0,), (0,)) for name in ("CONV_2D", "HARD_SWISH", "CONV_2D", "RELU")]
    edge = report(monkeypatch, EDGE_TPU, (IMAGE, IMAGE), *operators)
    assert edge.taken == 1
    assert "cuts the graph once" in edge.refused[-1].reason
    assert report(monkeypatch, GPU, (IMAGE, IMAGE), *operators).taken == 4
