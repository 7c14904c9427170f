"""The shipped networks become the same bytes on every machine, and the command says where not."""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgequant import digests
from edgequant.digest_record import default_request, made_digests, made_record
from edgequant.digests import (
    EFFORTS,
    PACKAGES,
    DigestRecord,
    Digests,
    plan_digest,
    read_record,
    record_path,
    recorded_recipes,
    remark_on,
    shipped_networks,
)
from edgequant.docs import HOME
from edgequant.preparing import open_inputs, prepare
from edgequant.repeatable import other_sums
from edgequant.requests import CalibrationRequest, QuantizeRequest
from models.loading.request import ModelRequest
from models.spec import ModelSpec
from network.affine import QuantParams
from quantize.plans.plan import IntegerConstant, QuantizationPlan
from quantize.recipes import recipe
from quantize.settings import IoType, Optimization, PlanSettings, WeightRange
from tests import TOO_LATE

NETWORKS = shipped_networks()

AGAIN = """
import sys
from edgequant.repeatable import one_order_of_sums
one_order_of_sums()
from edgequant.digest_record import made_record
from edgequant.digests import shipped_networks
from quantize.settings import Optimization
import json
found = [made_record(*network, (Optimization(sys.argv[1]),)).to_dict() for network in
         shipped_networks()]
print(json.dumps([record["digests"] for record in found]))
"""


def known(spec: ModelSpec, weights: str) -> DigestRecord:
    record = read_record(spec, weights)
    assert record is not None, "run make digests: there is none of these weights"
    return record


def comparable(spec: ModelSpec, weights: str) -> DigestRecord:
    record = known(spec, weights)
    if not record.is_comparable:
        pytest.skip("recorded with other versions than the installed ones")
    if reason := other_sums(platform.machine()):
        pytest.skip(reason)
    if TOO_LATE:
        pytest.skip("NumPy was loaded before the order of sums was set: run pytest with workers")
    return record


@pytest.mark.parametrize(("spec", "weights"), NETWORKS, ids=lambda v: getattr(v, "name", v))
def test_a_record_is_of_the_locked_versions(spec: ModelSpec, weights: str) -> None:
    """Otherwise no installation from the lock file would compare its bytes with it."""
    lock = (HOME / "requirements.lock").read_text(encoding="utf-8")
    locked = set(re.findall(r"^([\w.-]+)==([\w.]+)", lock, re.MULTILINE))
    versions = dict(known(spec, weights).versions)
    assert set(versions) == set(PACKAGES)
    assert set(versions.items()) <= locked, "run make digests"


@pytest.mark.parametrize(("spec", "weights"), NETWORKS, ids=lambda v: getattr(v, "name", v))
def test_every_effort_and_planned_recipe_is_recorded(spec: ModelSpec, weights: str) -> None:
    record = known(spec, weights)
    assert set(record.digests) == {effort.value for effort in EFFORTS}
    for effort in EFFORTS:
        rows = record.digests[effort.value]
        assert set(rows) == {recipe.name for recipe in recorded_recipes(effort)}
        assert rows["tflite-int8"].plan == rows["onnx-int8"].plan
        assert len({row.file for row in rows.values()}) == len(rows)
    assert DigestRecord.from_dict(json.loads(json.dumps(record.to_dict()))) == record


@pytest.mark.parametrize(("spec", "weights"), NETWORKS, ids=lambda v: getattr(v, "name", v))
def test_fast_gives_the_recorded_bytes(spec: ModelSpec, weights: str, tmp_path: Path) -> None:
    record = comparable(spec, weights)
    request = default_request(spec, weights, Optimization.FAST, tmp_path)
    request = replace(request, recipes=request.recipes[:1])
    name = request.recipes[0].name
    found = made_digests(request, prepare(request, open_inputs(request)))
    assert found == {name: record.digests["fast"][name]}


@pytest.mark.slow
@pytest.mark.parametrize("effort", EFFORTS)
@pytest.mark.parametrize(("spec", "weights"), NETWORKS, ids=lambda v: getattr(v, "name", v))
def test_all_efforts_give_the_recorded_bytes(
    spec: ModelSpec, weights: str, effort: Optimization
) -> None:
    record = comparable(spec, weights)
    found = made_record(spec, weights, (effort,))
    assert found.digests[effort.value] == record.digests[effort.value]


def emulated() -> dict[str, str]:
    """Variables that have each library compute as on another CPU with AVX2, of another cache."""
    from numpy._core import _multiarray_umath as simd

    wide = [
        name
        for name in simd.__cpu_dispatch__
        if simd.__cpu_features__.get(name) and ("AVX512" in name or name == "X86_V4")
    ]
    return {
        "NPY_DISABLE_CPU_FEATURES": " ".join(wide),
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "OPENBLAS_L2_SIZE": "256",
    }


@pytest.mark.slow
def test_bytes_do_not_depend_on_vectors_wider_than_avx2_nor_on_caches() -> None:
    records = [comparable(*network) for network in NETWORKS]
    answer = subprocess.run(
        [sys.executable, "-c", AGAIN, "default"],
        env=os.environ | emulated(),
        check=True,
        capture_output=True,
        text=True,
    )
    found = json.loads(answer.stdout)
    assert found == [
        {"default": json.loads(json.dumps(record.to_dict()))["digests"]["default"]}
        for record in records
    ]


def plan(**changes: object) -> QuantizationPlan:
    one = QuantParams((0.5,), (0,))
    values: dict[str, object] = {
        "graph": "0" * 64,
        "activations": {"a": one},
        "constants": {"w": IntegerConstant(one, np.arange(4, dtype=np.int8))},
        "settings": PlanSettings(weight_range=WeightRange.FULL),
    }
    return QuantizationPlan(**{**values, **changes})  # type: ignore[arg-type]


def test_the_digest_of_a_plan_is_of_its_numbers_alone() -> None:
    base = plan_digest(plan())
    assert plan_digest(plan(story={"sweeps": 1}, notes=("a note",))) == base
    scale, zero = QuantParams((0.25,), (0,)), QuantParams((0.5,), (1,))
    weight = IntegerConstant(QuantParams((0.5,), (0,)), np.arange(1, 5, dtype=np.int8))
    others = [
        plan(graph="1" * 64),
        plan(activations={"a": scale}),
        plan(activations={"a": zero}),
        plan(activations={"b": QuantParams((0.5,), (0,))}),
        plan(constants={"w": weight}),
        plan(floats={"f": np.ones(2, np.float32)}),
    ]
    assert len({base, *map(plan_digest, others)}) == 1 + len(others)


SPEC, WEIGHTS = NETWORKS[0]


def asked(**changes: object) -> QuantizeRequest:
    request = default_request(SPEC, WEIGHTS, Optimization.DEFAULT, Path("unused"))
    return replace(request, **changes)  # type: ignore[arg-type]


@pytest.fixture
def record(monkeypatch: pytest.MonkeyPatch) -> DigestRecord:
    found = known(SPEC, WEIGHTS)
    monkeypatch.setattr(digests, "installed_versions", lambda: dict(found.versions))
    return found


MADE = recipe("tflite-int8").with_effort(Optimization.DEFAULT)


def test_equal_bytes_are_not_spoken_of(record: DigestRecord) -> None:
    own = record.digests["default"]["tflite-int8"]
    assert remark_on(asked(), MADE, SPEC.contract, record.data, own) is None


def test_other_bytes_are(record: DigestRecord) -> None:
    own = record.digests["default"]["tflite-int8"]
    found = remark_on(asked(), MADE, SPEC.contract, record.data, Digests("0", "1"))
    assert found is not None
    assert found.startswith("plan and file differ from what was recorded")
    assert own.file[:12] in found
    found = remark_on(asked(), MADE, SPEC.contract, record.data, replace(own, file="1"))
    assert found is not None
    assert found.startswith("the file differs from what was recorded")


@pytest.mark.parametrize(
    "changes",
    [
        {"model": ModelRequest(SPEC.name, weights="random")},
        {"model": ModelRequest(SPEC.name, weights=WEIGHTS, alpha=0.5)},
        {"model": ModelRequest("some.keras")},
        {"calibration": CalibrationRequest(f"{WEIGHTS}:calibration", samples=1000, seed=1)},
        {"max_drop": 1.0, "most_float": 0.5},
    ],
    ids=lambda values: "-".join(values),
)
def test_other_requests_have_nothing_recorded(
    record: DigestRecord, changes: dict[str, object]
) -> None:
    other = Digests("0", "1")
    assert remark_on(asked(**changes), MADE, SPEC.contract, record.data, other) is None


def test_other_settings_have_nothing_recorded(
    record: DigestRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Digests("0", "1")
    contract = SPEC.contract
    moved = replace(contract, mean=(0.0, 0.0, 0.0))
    for made in (
        replace(MADE, io=IoType.UINT8),
        MADE.with_effort(Optimization.QAT),
        MADE.with_effort(Optimization.CONVERTER),
        replace(MADE, settings=replace(MADE.settings, float_ops=("scores",))),
    ):
        assert remark_on(asked(), made, contract, record.data, other) is None
    assert remark_on(asked(), MADE, moved, record.data, other) is None
    assert remark_on(asked(), MADE, contract, "photos:train", other) is None
    monkeypatch.setattr(digests, "installed_versions", lambda: {"numpy": "0"})
    assert remark_on(asked(), MADE, contract, record.data, other) is None


def test_weights_in_four_bits_are_compared_unless_a_size_or_the_caller_chose_them(
    record: DigestRecord,
) -> None:
    made = recipe("tflite-int4").with_effort(Optimization.DEFAULT)
    made = replace(made, settings=replace(made.settings, narrow_ops=("chosen",)))
    rest = (SPEC.contract, record.data, Digests("0", "1"))
    assert remark_on(asked(), made, *rest) is not None
    assert remark_on(asked(max_size=400_000), made, *rest) is None
    assert remark_on(asked(recipes=(made,)), made, *rest) is None


def test_a_record_of_other_weights_is_none(
    record: DigestRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert record_path(SPEC, WEIGHTS).is_file()
    (tmp_path / "weights.h5").write_bytes(b"other")
    monkeypatch.setattr(digests, "checkpoint_path", lambda *_: tmp_path / "weights.h5")
    assert read_record(SPEC, WEIGHTS) is None
    monkeypatch.setattr(digests, "record_path", lambda *_: tmp_path / "absent.json")
    assert read_record(SPEC, WEIGHTS) is None
