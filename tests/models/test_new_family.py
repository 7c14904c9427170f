"""A family is one file: the one that CONTRIBUTING.md shows passes through the whole pipeline."""

from __future__ import annotations

import importlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import models
from edgequant.cli.terminal import Terminal
from edgequant.commands.listing import show
from models.cost.counting import spec_cost
from models.loading.request import ModelRequest, load
from models.spec import model_families, model_specs
from quantize.recipes import recipe
from tests.conformance.table import Walk, cells

GUIDE = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.fixture
def toynet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``models/toynet.py`` from the guide, installed beside the other families."""
    (code,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "toynet.py").write_text(code, encoding="utf-8")
    monkeypatch.setattr(models, "__path__", [*models.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    yield
    sys.modules.pop("models.toynet", None)


@pytest.mark.usefixtures("toynet")
def test_the_family_of_the_guide_is_found_listed_and_counted() -> None:
    (spec,) = model_families()["toynet"]
    assert model_specs()["toynet"] is spec
    out = io.StringIO()
    show("models", Terminal(machine_readable=False, out=out, err=io.StringIO(), wide=True))
    assert re.search(r"toynet +classification +- ", out.getvalue())  # listed, and not yet counted
    # 3x3 kernels from 3 to 16, 32 and 64 channels, and the classifier.
    assert spec_cost(spec).macs == 32 * 32 * 27 * 16 + 256 * 144 * 32 + 64 * 288 * 64 + 640


@pytest.mark.usefixtures("toynet")
def test_the_family_of_the_guide_changes_its_width_and_refuses_what_it_has_not() -> None:
    wide = load(ModelRequest("toynet", weights="random", alpha=2.0, size=24, classes=3))
    assert (wide.size, wide.classes) == ((24, 24), 3)
    assert wide.model.get_layer("conv_2").filters == 128


@pytest.mark.usefixtures("toynet")
def test_the_family_of_the_guide_is_quantized_and_run(tmp_path: Path) -> None:
    recipes = tuple(recipe(name) for name in ("tflite-int8", "onnx-int8"))
    found = cells(model_specs()["toynet"], tmp_path, Walk(recipes))
    assert [cell.key[1] for cell in found] == ["tflite-int8", "onnx-int8"]
    assert min(cell.sqnr_db for cell in found) > 20
