"""What becomes of one network: its files, by the command as the docs print it, and their noise."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Iterator
from contextlib import chdir, redirect_stdout
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from foundation.errors import EdgequantError
from quantize.recipes import recipe
from tests.conformance.networks.cells import NetworkCell
from tests.conformance.networks.converter import converted
from tests.conformance.networks.floats import float_part
from tests.conformance.networks.running import Outputs, run_onnx, run_tflite, sqnr_db
from tests.conformance.networks.settling import settle
from tests.conformance.networks.style import Style

if TYPE_CHECKING:
    import keras

PAIR = ("tflite-int8", "onnx-int8")
"""Recipes that every network is held to."""
MORE = ("tflite-int8-per-tensor", "tflite-int16x8", "tflite-float16", "tflite-dynamic")
RUNTIMES = {".tflite": "litert-reference", ".onnx": "onnxruntime-precise"}
SETTLING = 64
"""Examples that settle a network."""
CALIBRATION = 256
"""Examples to calibrate on: with 64, layers with more inputs than that are fitted to them alone."""
MEASURED = 32
"""Other examples to measure on."""
BUGS = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, NotImplementedError),
    *(OSError, RuntimeError, TypeError, ValueError),
)
"""What a command must not raise: a red cell in the table, with the place it came from."""
LONGEST = 300


@dataclass(frozen=True)
class Subject:
    """A network with its data in a folder.

    Attributes:
        style: what it is.
        folder: folder that holds model, contract and calibration data.
        model: the network, settled.
        calibration: tensors to calibrate on, float32.
        measured: tensors to measure on.
        reference: the float network's outputs for ``measured``.
    """

    style: Style
    folder: Path
    model: keras.Model = field(repr=False)
    calibration: np.ndarray = field(repr=False)
    measured: np.ndarray = field(repr=False)
    reference: Outputs = field(repr=False)


@dataclass(frozen=True)
class Made:
    """What a command made.

    Attributes:
        files: written files by recipe.
        sentence: why there is none.
        seconds: CPU seconds of the command.
    """

    files: dict[str, Path]
    sentence: str
    seconds: float


def prepare(style: Style, folder: Path) -> Subject:
    """Build and settle a network, and write what somebody who brings it has."""
    import keras

    keras.backend.clear_session()  # names count from 1, as in a process of its own
    keras.utils.set_random_seed(1)
    model = settle(style.build(), style.contract.tensors(style.data(SETTLING, 1)))
    stored = style.data(CALIBRATION, 2)
    measured = style.contract.tensors(style.data(MEASURED, 3))
    model.save(folder / f"{style.name}.keras")
    (folder / f"{style.name}.toml").write_text(style.contract.toml, encoding="utf-8")
    np.savez(folder / f"{style.name}.npz", x=stored)
    return Subject(
        style, folder, model, style.contract.tensors(stored), measured, _outputs(model, measured)
    )


def measure(
    subject: Subject, recipes: tuple[str, ...] = PAIR, *, compare: bool = True
) -> Iterator[NetworkCell]:
    """Cells of a network, one for each recipe.

    Args:
        subject: the network.
        recipes: recipes to write.
        compare: make the converter's file too.
    """
    made = make_all(subject, recipes)
    plain = _plain(subject) if compare else (None, None)
    parity, oracle = _same_integers(subject, made)
    share, listed = _float_part(made)
    for name in recipes:
        path, runtime = made[name].files.get(name), RUNTIMES[f".{name.partition('-')[0]}"]
        int8 = name in PAIR
        cell = NetworkCell(
            subject.style.name,
            name,
            runtime,
            effort=subject.style.effort.value if recipe(name).planned else "",
            converter_db=plain[0] if int8 else None,
            converter_seconds=plain[1] if int8 else None,
        )
        if path is None:
            yield replace(cell, made="no", sentence=made[name].sentence)
            continue
        yield replace(
            cell,
            sqnr_db=_noise(subject, path),
            parity=parity if int8 else "",
            oracle=oracle if int8 else "",
            float_share=share if int8 else None,
            float_ops=listed if int8 else "",
            seconds=made[name].seconds / len(made[name].files),
        )


def make_all(subject: Subject, recipes: tuple[str, ...]) -> dict[str, Made]:
    """Files of each recipe: in one command, or one by one where that fails."""
    together = command(subject, recipes)
    if together.files or len(recipes) == 1:
        return dict.fromkeys(recipes, together)
    return {name: command(subject, (name,)) for name in recipes}


def command(subject: Subject, recipes: tuple[str, ...]) -> Made:
    """Run the command of a style with these recipes, at its effort."""
    from edgequant.cli.main import cli

    folder = subject.folder / "+".join(recipes)
    line = subject.style.command_line.replace(",".join(PAIR), ",".join(recipes))
    _, *words = shlex.split(line)
    if any(recipe(name).planned for name in recipes):
        words += ["--optimize", subject.style.effort.value]
    words += ["--output", str(folder), "--json"]
    sentence, began = "", time.process_time()
    with chdir(subject.folder), Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        try:
            cli.main(words, prog_name="edgequant", standalone_mode=False)
        except EdgequantError as error:
            sentence = str(error)
        except click.ClickException as error:
            sentence = f"usage: {error.format_message()}"
        except BUGS as error:
            sentence = described(error)
    seconds = time.process_time() - began
    files = {} if sentence else {name: _file(folder, name, recipes) for name in recipes}
    return Made(files, _short(sentence), seconds)


def described(error: BaseException) -> str:
    """A bug in one line: type, text and the place that raised it."""
    step = error.__traceback__
    while step is not None and step.tb_next is not None:
        step = step.tb_next
    frame = "" if step is None else f" at {Path(step.tb_frame.f_code.co_filename).name}"
    line = "" if step is None else f":{step.tb_lineno}"
    return f"BUG {type(error).__name__}{frame}{line}: {error}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 3]}..."


def _file(folder: Path, name: str, recipes: tuple[str, ...]) -> Path:
    inside = folder if len(recipes) == 1 else folder / name
    (path,) = inside.glob(f"*{name}.{name.partition('-')[0]}")
    return path


def _outputs(model: Any, inputs: np.ndarray) -> Outputs:
    import keras

    results = model(inputs, training=False)
    return [
        np.asarray(keras.ops.convert_to_numpy(x), np.float64) for x in keras.tree.flatten(results)
    ]


def _noise(subject: Subject, path: Path) -> float:
    run = run_onnx if path.suffix == ".onnx" else run_tflite
    return sqnr_db(subject.reference, run(path, subject.measured))


def _plain(subject: Subject) -> tuple[float | None, float | None]:
    """Signal to noise of the converter's file, and its CPU seconds; None where it fails."""
    began = time.process_time()
    try:
        content = converted(subject.model, subject.calibration)
        seconds = time.process_time() - began
        path = subject.folder / "converter.tflite"
        path.write_bytes(content)
        found = run_tflite(path, subject.measured)
    except BUGS:  # another product's; an empty cell says so
        return None, None
    return sqnr_db(subject.reference, found, in_order=False), seconds


def _same_integers(subject: Subject, made: dict[str, Made]) -> tuple[str, str]:
    """Whether both files hold the same integers, and LiteRT gives those of the oracle."""
    from evaluation.parity.compare import compare_files
    from evaluation.parity.runs import on_the_grid, walk_litert

    tflite, onnx = (made[name].files.get(name) if name in made else None for name in PAIR)
    if tflite is None:
        return "", ""
    parity = oracle = ""
    try:
        walk = walk_litert(tflite, on_the_grid(tflite, subject.measured[:1]))
        oracle = "same" if walk.first is None else f"differs in {walk.first.name}"
        if onnx is not None:
            compared = compare_files(tflite, onnx)
            first = next((f"{d.step} {d.part}: {d.detail}" for d in compared.differences), "")
            parity = f"{len(compared.differences)} differ, first {first}" if first else "same"
    except EdgequantError as error:
        return _short(str(error)), oracle
    except BUGS as error:
        return _short(described(error)), oracle
    return parity, oracle


def _float_part(made: dict[str, Made]) -> tuple[float | None, str]:
    path = made[PAIR[0]].files.get(PAIR[0]) if PAIR[0] in made else None
    return (None, "") if path is None else float_part(path)
