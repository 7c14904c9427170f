"""Whole processes: ``edgequant quantize`` and the script of the plain TFLite converter, in turn.

``python -m benchmarks.whole_commands --model FILE.keras --calibration FOLDER`` for another network
than the shipped one. Python's start, imports, loading of the .keras and decoding of the photos are
included on both sides. The product writes and checks both int8 files, the script writes one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import edgequant.process  # noqa: F401 - pins our top-level packages
from benchmarks import converter_script
from benchmarks.costs import Cost, cost
from benchmarks.record import Figure, report
from calibration_data.contract import ContractRequest
from calibration_data.datasets.base import open_dataset
from calibration_data.preprocessing import Preprocessing
from edgequant.loading import contract_of, load, own_contract
from foundation.threads import cores
from models.loading.request import ModelRequest

MODEL = "mobilenet_v2_small"
IMAGES = "fashion_mnist:calibration"
SAMPLES = 200
REPEATS = 3
LEVELS = ("fast", "default", "best")
_SCRIPT = "TFLite converter's script"


def run(
    model: Path | None = None,
    calibration: Path | None = None,
    samples: int = SAMPLES,
    repeats: int = REPEATS,
    levels: tuple[str, ...] = LEVELS,
) -> list[Figure]:
    """Measure; the subject is the network and the command, the value the median of all repeats.

    Args:
        model: .keras file with its contract beside it; None for the shipped network.
        calibration: folder of photos; None for images of Fashion-MNIST, written as PNG files.
        samples: number of photos to calibrate on.
        repeats: number of runs of each command.
        levels: values of ``--optimize``.

    Raises:
        InvalidInputError: a command failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model = model or _shipped(folder)
        calibration = calibration or _photos(folder / "photos", samples)
        commands = _commands(model, calibration, samples, levels, folder)
        taken: dict[str, list[Cost]] = {name: [] for name in commands}
        for _ in range(repeats):  # in turn, so that slow periods of the machine affect all of them
            for name, command in commands.items():
                taken[name].append(cost(command))
    plain = _medians(taken[_SCRIPT])
    return [
        figure
        for name, costs in taken.items()
        for figure in _figures(f"{model.stem}: {name}", _medians(costs), plain, samples)
    ]


def _commands(
    model: Path, calibration: Path, samples: int, levels: Sequence[str], folder: Path
) -> dict[str, list[str]]:
    """Commands by name; what they write goes to a scratch folder."""
    contract = json.dumps(_contract(model).to_dict())
    script = [sys.executable, str(converter_script.__file__), str(model), str(calibration)]
    commands = {_SCRIPT: [*script, str(samples), contract, str(folder / "plain.tflite")]}
    for level in levels:
        commands[f"edgequant quantize --optimize {level}"] = [
            *(sys.executable, "-m", "edgequant", "quantize", "--model", str(model)),
            *("--recipe", "tflite-int8,onnx-int8", "--calibration", str(calibration)),
            *("--samples", str(samples), "--optimize", level),
            *("--output", str(folder / level), "--force"),
        ]
    return commands


def _contract(model: Path) -> Preprocessing:
    request = ModelRequest(str(model))
    own, path = own_contract(request)
    return contract_of(load(request), ContractRequest(), own=own, path=path)


def _shipped(folder: Path) -> Path:
    """The shipped network as a Keras file, with its contract beside it."""
    request = ModelRequest(MODEL)
    path = folder / f"{MODEL}.keras"
    load(request).model.save(path)
    values = request.spec().contract.to_dict()
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    path.with_suffix(".toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _photos(folder: Path, count: int) -> Path:
    """Images of Fashion-MNIST, evenly spread, as files in a folder for each class."""
    from PIL import Image

    dataset = open_dataset(IMAGES)
    assert dataset.labels is not None
    for index in np.linspace(0, len(dataset) - 1, count).round().astype(int).tolist():
        path = folder / str(dataset.labels[index]) / f"{index:05}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        picture = dataset.decode(index)
        image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
        image.convert("RGB").save(path)
    return folder


def _medians(costs: Sequence[Cost]) -> dict[tuple[str, str], float]:
    """Median of each quantity over the runs of a command, by name and unit."""
    return {
        ("wall time", "s"): statistics.median(one.seconds for one in costs),
        ("processor time", "s"): statistics.median(one.processor_seconds for one in costs),
        ("peak memory", "MB"): statistics.median(one.peak_bytes / 1e6 for one in costs),
    }


def _figures(
    subject: str,
    medians: dict[tuple[str, str], float],
    plain: dict[tuple[str, str], float],
    samples: int,
) -> list[Figure]:
    """Each quantity, and its share of the script's."""
    return [
        Figure(subject, what, number, measure, samples, cores())
        for (quantity, unit), value in medians.items()
        for what, number, measure in (
            (quantity, value, unit),
            (f"{quantity}, of the script's", value / plain[quantity, unit], "x"),
        )
    ]


def _main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.whole_commands")
    parser.add_argument("--model", type=Path, help=".keras file with its contract beside it")
    parser.add_argument("--calibration", type=Path, help="folder of photos")
    parser.add_argument("--samples", type=int, default=SAMPLES)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--levels", nargs="+", default=LEVELS)
    options = parser.parse_args(arguments)
    if (options.model is None) != (options.calibration is None):
        parser.error("--model and --calibration go together")
    given = options.model, options.calibration, options.samples, options.repeats
    report("whole_commands", run(*given, tuple(options.levels)))


if __name__ == "__main__":
    _main(sys.argv[1:])
