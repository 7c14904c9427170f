"""Calibration in parts: files of the same bytes for every number of parts and of workers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgequant.sweeping import calibrating
from edgequant.sweeping.engine import Engine, LocalEngine
from edgequant.sweeping.packing import (
    packed,
    packed_rescaling,
    packed_states,
    unpacked,
    unpacked_rescaling,
    unpacked_states,
)
from network.graph import Graph
from quantize.engine import make_plan
from quantize.equalization.rescaling import Rescaling
from quantize.ranges.extremes import Extremes, extremes
from quantize.ranges.float_pass import CalibrationImages, in_small_batches, spread
from quantize.ranges.observe import observe
from quantize.ranges.observers import RangeState
from quantize.ranges.parts import Parts
from quantize.settings import Optimization, PlanSettings, RangeMethod
from tests.edgequant.conftest import Run
from tests.edgequant.sweeping.test_shards import Here
from tests.network.graphs import batched, bottlenecks, images


class InParts:
    """Runs the float network part by part, each through its file, the last part first."""

    def __init__(self, whole: np.ndarray, size: int) -> None:
        self._whole = whole
        self._size = size
        self.passes: list[int] = []

    def extremes(
        self, graph: Graph, numbers: np.ndarray, advance: Callable[[int], None]
    ) -> Iterator[Mapping[str, Extremes]]:
        self.passes.append(len(numbers))
        files = [packed(list(extremes(graph, in_small_batches(p)))) for p in self._parts(numbers)]
        for content in reversed(files):
            yield from unpacked(content)

    def states(
        self, graph: Graph, rescaling: Rescaling, numbers: np.ndarray, batch: int
    ) -> Iterator[Mapping[str, RangeState]]:
        scaled, _ = unpacked_rescaling(packed_rescaling(rescaling)).of(graph)
        files = [
            packed_states([observe(scaled, [p[i : i + batch]]) for i in range(0, len(p), batch)])
            for p in self._parts(numbers)
        ]
        for content in reversed(files):
            yield from unpacked_states(content)

    def _parts(self, numbers: np.ndarray) -> Iterator[np.ndarray]:
        for start in reversed(range(0, len(numbers), self._size)):
            yield self._whole[numbers[start : start + self._size]]


def chosen_of(whole: np.ndarray) -> CalibrationImages:
    """Images in batches as those of a calibration set."""
    return CalibrationImages(
        len(whole), batched(whole, 32), lambda numbers: batched(whole[numbers], 8)()
    )


@pytest.mark.parametrize(
    ("ranges", "optimization"),
    [
        (RangeMethod.MIN_MAX, Optimization.FAST),
        pytest.param(RangeMethod.MOVING_AVERAGE, Optimization.FAST, marks=pytest.mark.slow),
        pytest.param(RangeMethod.MIN_MAX, Optimization.BEST, marks=pytest.mark.slow),
        pytest.param(RangeMethod.MOVING_AVERAGE, Optimization.BEST, marks=pytest.mark.slow),
        pytest.param(RangeMethod.ENTROPY, Optimization.DEFAULT, marks=pytest.mark.slow),
    ],
)
def test_a_plan_in_parts_is_that_of_one_pass(
    ranges: RangeMethod, optimization: Optimization, tmp_path: Path
) -> None:
    settings = PlanSettings(optimization=optimization, ranges=ranges)
    pictures = images(150)
    whole = chosen_of(pictures)
    make_plan(bottlenecks(0), whole, None, settings).save(tmp_path / "one")
    for size in (64, 128, 192):  # 3, 2 and 1 parts
        runner = InParts(pictures, size)
        parted = replace(whole, parts=Parts(runner, np.arange(150), 32))
        make_plan(bottlenecks(0), parted, None, settings).save(tmp_path / "parts")
        assert runner.passes
        assert (tmp_path / "one").read_bytes() == (tmp_path / "parts").read_bytes()


@pytest.fixture
def subject(tiny_keras: Path, tmp_path: Path) -> tuple[object, ...]:
    """Words that quantize a model on 200 images, before ``--output``."""
    rng = np.random.default_rng(1)
    pictures = rng.integers(0, 256, (200, 24, 24, 3), np.uint8)
    np.savez(tmp_path / "data.npz", images_train=pictures, labels_train=np.arange(200) % 3)
    data = f"{tmp_path / 'data.npz'}:train"
    return ("quantize", "--model", tiny_keras, "--calibration", data, "--output")


def engines(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> None:
    """Let passes run on an engine, which is not closed."""

    @contextmanager
    def opened(*_: object) -> Iterator[Engine]:
        yield engine

    monkeypatch.setattr(calibrating, "open_engine", opened)


@pytest.mark.slow
def test_parts_that_are_done_are_not_run_again(
    subject: tuple[object, ...], tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = Here()
    engines(monkeypatch, here)
    recipe = ("--recipe", "tflite-int8", "--ranges", "mse")
    plain = run(*subject, tmp_path / "plain", *recipe)
    assert plain.code == 0, plain.err
    store = tmp_path / "store"
    spread = ("--workers", "1", "--store", store)
    first = run(*subject, tmp_path / "first", *recipe, *spread)
    assert (first.code, len(here.asked)) == (0, 8), first.err  # two passes of four parts
    assert "4 parts of the calibration images, 0 done before; here" in first.err
    expected = {p.name: p.read_bytes() for p in (tmp_path / "plain").iterdir()}
    assert expected == {p.name: p.read_bytes() for p in (tmp_path / "first").iterdir()}

    # Another recipe of the same network has the same passes, also through fsspec.
    here.asked.clear()
    local = ("--workers", "1", "--store", f"local://{store}")
    assert run(*subject, tmp_path / "onnx", "--recipe", "onnx-int8", *local).code == 0
    assert not here.asked

    parts = sorted((store / "calibration").rglob("*.npz"))
    parts[1].unlink()
    assert run(*subject, tmp_path / "again", *recipe, *spread).code == 0
    assert len(here.asked) == 1
    here.asked.clear()
    parts[2].write_bytes(parts[2].read_bytes()[:100])
    damaged = run(*subject, tmp_path / "damaged", *recipe, *spread)
    assert damaged.code == 2
    assert "run the command again" in damaged.err
    assert run(*subject, tmp_path / "damaged", *recipe, *spread).code == 0
    assert len(here.asked) == 1


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_processes_write_the_same_files(
    count: int, subject: tuple[object, ...], tmp_path: Path, run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    engine = LocalEngine(count)  # also more than cores
    engines(monkeypatch, engine)
    recipes = ("--recipe", "tflite-int8,onnx-int8", "--optimize", "best", "--ranges", "percentile")
    assert run(*subject, tmp_path / "plain", *recipes).code == 0
    spread = ("--workers", "1", "--store", tmp_path / "store")
    try:
        parted = run(*subject, tmp_path / "parts", *recipes, *spread)
    finally:
        engine.close()
    assert parted.code == 0, parted.err
    for path in (tmp_path / "plain").rglob("*"):
        other = tmp_path / "parts" / path.relative_to(tmp_path / "plain")
        assert path.is_dir() or path.read_bytes() == other.read_bytes(), path.name


@pytest.mark.slow
def test_a_part_that_fails_is_named(
    photos: Path, tiny_keras: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines(monkeypatch, Here())
    data, sources = tmp_path / "train", sorted((photos / "train").rglob("*.png"))
    unrounded = np.setdiff1d(np.arange(80), spread(80, 64))[0]  # a number that workers alone read
    for number in range(80):
        folder = data / ("a" if number < 40 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(sources[number % len(sources)], folder / f"{number:02d}.png")
        if number == unrounded:  # its head is looked at before
            content = sources[number % len(sources)].read_bytes()
            (folder / f"{number:02d}.png").write_bytes(content[: len(content) // 2])
    failed = run(
        "quantize", "--model", tiny_keras, "--recipe", "tflite-int8", "--calibration", data,
        "--workers", "1", "--store", tmp_path / "store", "--output", tmp_path / "out",
    )  # fmt: skip
    assert failed.code == 2
    assert "1 of 2 that failed, such as calibration images 0 to 63" in failed.err
    assert f"{unrounded:02d}.png" in failed.err
    assert "Traceback" not in failed.err


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--store", "there"), "add --workers or --cluster"),
        (("--workers", "999"), "a core of its own"),
        (("--workers", "1", "--cluster", "tcp://host:1"), "leave it out"),
    ],
)
def test_workers_that_there_cannot_be_are_refused_first(
    more: tuple[str, ...], sentence: str, photos: Path, tmp_path: Path, run: Run
) -> None:
    data = f"{photos}:train"
    words = ("--model", "mobilenet_v2", "--recipe", "tflite-int8", "--calibration", data)
    refused = run("quantize", *words, *more, "--output", tmp_path / "out")
    assert refused.code == 2
    assert sentence in refused.err


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("--recipe", "tflite-int8", "--optimize", "converter", "--calibration", "DATA"),
        ("--recipe", "tflite-float32", "--calibration", "DATA"),
        ("--recipe", "tflite-float16"),
    ],
)
def test_files_without_a_float_pass_need_no_workers(
    words: tuple[str, ...], tiny_keras: Path, photos: Path, tmp_path: Path, run: Run
) -> None:
    given = [f"{photos}:train" if word == "DATA" else word for word in words]
    spread = ("--workers", "1", "--store", tmp_path / "store", "--output", tmp_path / "out")
    refused = run("quantize", "--model", tiny_keras, *given, *spread)
    assert refused.code == 2
    assert "leave" in refused.err
    assert not (tmp_path / "out").exists()
