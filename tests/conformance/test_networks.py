"""Every architecture and style becomes files, as far from float as the table says."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import mean

import numpy as np
import pytest

from calibration_data.contract import read_contract
from edgequant.cli.main import cli
from quantize.recipes import RECIPES
from tests.conformance.networks import walk
from tests.conformance.networks.applications import builders, families
from tests.conformance.networks.cells import (
    NETWORKS,
    NetworkCell,
    read_cells,
    table_text,
    write_part,
)
from tests.conformance.networks.docs import PAGE, rendered
from tests.conformance.networks.measuring import (
    BUGS,
    MORE,
    PAIR,
    RUNTIMES,
    Made,
    described,
    measure,
    prepare,
)
from tests.conformance.networks.registry import every_recipe, small_styles, styles
from tests.conformance.networks.style import Style
from tests.conformance.networks.walk import Worker

NAMES = tuple(dict.fromkeys(name for name, _ in read_cells(NETWORKS)))
"""Networks of the table; a test holds it to those that there are, for which Keras is loaded."""
STARTS = tuple(name for name in NAMES if name.endswith("_start"))
QUICK = ("MobileNetV3Small_start",)
"""A beginning with squeezes and sums. The others are slow tests: together they would take a tenth
of the time of the fast ones."""
TOLERANCE_DB = 2.0
"""Plans differ from CPU to CPU by their order of summation; random networks repeat that loudly."""
WIDER_DB = {("MobileNetV2_start", "onnx-int8"): 3.0, ("padded_and_cropped", "tflite-int8"): 3.0}
"""Cells that are 2.1 dB apart with the products of AVX2 and with those of AVX-512."""
EXACT_DB = 60.0
"""Above this the outputs are float rounding apart, and how far apart says nothing."""
BELOW_CONVERTER_DB = 1.0
"""How far a network may be below TensorFlow's converter; on average it is above."""
_FEW = "random weights at full depth, in the least effort: both keep a few decibels"
_DEEP = "dozens of layer norms at full depth, in the least effort; a block alone is level"
BELOW: dict[str, str] = {
    "vitals": "dense layers have one scale per weight here, one per unit in the converter's file",
    "ConvNeXtBase": _DEEP,
    "ConvNeXtLarge": _DEEP,
    "ConvNeXtSmall": _DEEP,
    "ConvNeXtTiny": _DEEP,
    "ConvNeXtXLarge": _DEEP,
    "DenseNet169": _FEW,
    "EfficientNetB0": _FEW,
    "InceptionV3": _FEW,
    "MobileNetV2": _FEW,
    "NASNetLarge": _FEW,
    "NASNetMobile": _FEW,
    "ResNet152": _FEW,
}
"""Networks further below the converter, and why, as far as it is known."""


def _assert_as_before(name: str, found: list[NetworkCell]) -> None:
    reference = read_cells(NETWORKS)
    for cell in found:
        expected = reference[cell.key]
        assert (cell.made, cell.sentence) == (expected.made, expected.sentence), cell.key
        assert (cell.parity, cell.float_ops) == (expected.parity, expected.float_ops), cell.key
        if cell.sqnr_db is None or expected.sqnr_db is None:
            continue
        if min(cell.sqnr_db, expected.sqnr_db) < EXACT_DB:
            tolerance = WIDER_DB.get(cell.key, TOLERANCE_DB)
            assert cell.sqnr_db == pytest.approx(expected.sqnr_db, abs=tolerance), cell.key
    assert {cell.key for cell in found} <= {key for key in reference if key[0] == name}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow) for name in STARTS],
)
def test_the_first_blocks_of_each_family_are_as_before(name: str, tmp_path: Path) -> None:
    subject = prepare(styles()[name], tmp_path)
    _assert_as_before(name, list(measure(subject, compare=False)))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name.islower()])
def test_every_small_network_is_as_before(name: str, tmp_path: Path) -> None:
    subject = prepare(styles()[name], tmp_path)
    found = list(measure(subject, compare=False))
    if every_recipe(name):
        found += measure(subject, MORE, compare=False)
    _assert_as_before(name, found)


@pytest.mark.parametrize("name", NAMES)
def test_every_network_is_in_the_table_and_in_both_formats(name: str) -> None:
    cells = {key[1]: cell for key, cell in read_cells(NETWORKS).items() if key[0] == name}
    wanted = {*PAIR, *(MORE if every_recipe(name) else ())}
    assert set(cells) == wanted, "run python -m tests.conformance.table networks"
    red = {recipe: cell.sentence for recipe, cell in cells.items() if cell.made != "yes"}
    assert not set(red) & set(PAIR)
    assert not [sentence for sentence in red.values() if sentence.startswith("BUG")]
    for recipe in PAIR:
        same = cells[recipe].parity == cells[recipe].oracle == "same"
        assert same
        assert (cells[recipe].float_share or 0) <= 5


@pytest.mark.parametrize("name", NAMES)
def test_networks_far_below_the_converters_are_named(name: str) -> None:
    cells = [read_cells(NETWORKS)[name, recipe] for recipe in PAIR]
    below = [
        cell.converter_db - min(cell.sqnr_db, EXACT_DB)
        for cell in cells
        if cell.converter_db is not None and cell.sqnr_db is not None
    ]
    assert all(cell.sqnr_db is not None for cell in cells)
    assert (max(below, default=0.0) > BELOW_CONVERTER_DB) is (name in BELOW)


@pytest.mark.parametrize("recipe", PAIR)
def test_networks_are_better_than_the_converters_on_average(recipe: str) -> None:
    both = [
        cell.sqnr_db - cell.converter_db
        for key, cell in read_cells(NETWORKS).items()
        if key[1] == recipe and cell.sqnr_db is not None and cell.converter_db is not None
    ]
    assert mean(both) > 0


def test_every_function_of_keras_applications_that_builds_a_network_is_walked() -> None:
    import keras

    public = {name for name in vars(keras.applications) if name[0].isupper()}
    assert public == set(builders())
    assert set(builders()) <= set(styles())
    assert len(STARTS) == len(families())


def test_the_table_has_every_network() -> None:
    assert set(styles()) == set(NAMES), "run python -m tests.conformance.table networks"


def test_there_are_thirty_small_networks_with_names_for_files() -> None:
    small = small_styles()
    assert len(small) >= 30
    assert all(name.isidentifier() and name.islower() for name in small)
    assert len({style.summary for style in small.values()}) == len(small)


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    cell = NetworkCell(
        "net", PAIR[0], "litert-reference", "fast", "no", None, 31.5, sentence='a, "b"'
    )
    path = tmp_path / "networks.csv"
    path.write_text(table_text([cell]), encoding="utf-8")
    assert read_cells(path) == {cell.key: cell}


def test_a_refusal_is_a_red_cell_with_its_sentence(tmp_path: Path) -> None:
    tags = small_styles()["tags"]
    wrong = replace(tags, contract=replace(tags.contract, shape=(40, 40, 3)))
    subject = prepare(tags, tmp_path)
    (tmp_path / "tags.toml").write_text(wrong.contract.toml, encoding="utf-8")
    for cell in measure(subject, compare=False):
        assert cell.made == "no"
        assert "the contract's size is the model's input, 48x48; received 40x40" in cell.sentence


def test_a_bug_is_described_in_a_line_with_its_place() -> None:
    with pytest.raises(BUGS) as raised:
        small_styles()["no such network"]
    assert described(raised.value).startswith("BUG KeyError at test_networks.py:")


def test_a_network_that_ends_its_process_is_a_red_cell(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"],
        text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    Worker(tmp_path, 0, child).measure("net")
    cells = read_cells(tmp_path / "net.csv")
    assert [key[1] for key in cells] == list(PAIR)
    assert all("signal 11" in cell.sentence and cell.made == "no" for cell in cells.values())


def test_a_killed_run_goes_on_and_leaves_other_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Recorder:
        def __init__(self, folder: Path, number: int) -> None:
            self.folder = folder

        def measure(self, name: str) -> None:
            asked.append(name)
            write_part(self.folder, name, [NetworkCell(name, PAIR[0], "new")])

        def close(self) -> None:
            pass

    table = tmp_path / "networks.csv"
    table.write_text(table_text([NetworkCell(n, PAIR[0], "old") for n in "abcx"]), encoding="utf-8")
    changes = {"NETWORKS": table, "UNFINISHED": tmp_path, "Worker": Recorder}
    for name, value in {**changes, "styles": lambda: dict.fromkeys("abc")}.items():
        monkeypatch.setattr(walk, name, value)
    finished = tmp_path / walk._sources()
    finished.mkdir()
    write_part(finished, "a", [NetworkCell("a", PAIR[0], "before the kill")])
    walk.write_networks(("a", "b"))
    assert asked == ["b"]
    runtimes = {cell.network: cell.runtime for cell in read_cells(table).values()}
    assert runtimes == {"a": "before the kill", "b": "new", "c": "old"}
    assert not finished.exists()


def test_a_recipe_runs_in_the_runtime_of_its_format() -> None:
    assert {f".{name.partition('-')[0]}" for name in (*PAIR, *MORE)} == set(RUNTIMES)
    assert Made({}, "", 0.0).files == {}


def test_the_page_for_a_users_model_has_every_style_as_it_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert rendered(text) == text, "run python -m tests.conformance.networks.docs"
    assert len(text.splitlines()) <= 290


def test_the_page_names_options_and_recipes_that_there_are() -> None:
    text = PAGE.read_text(encoding="utf-8")
    known = {name for command in cli.commands.values() for p in command.params for name in p.opts}
    assert set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text)) <= known
    named = set(re.findall(r"`((?:tflite|onnx)-[\w-]+)`", text))
    assert named <= {recipe.name for recipe in RECIPES}


@pytest.mark.parametrize("style", small_styles().values(), ids=lambda style: style.name)
def test_a_contract_of_a_style_is_read_as_the_table_reads_it(style: Style, tmp_path: Path) -> None:
    path = tmp_path / "contract.toml"
    path.write_text(style.contract.toml, encoding="utf-8")
    contract, stored = read_contract(path), style.data(2, 0)
    assert contract.shape == style.contract.shape == stored.shape[1:]
    tensors = np.stack([contract.tensor(example) for example in stored])
    assert np.array_equal(tensors, style.contract.tensors(stored))
