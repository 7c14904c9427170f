"""Files that pass between this process and the one that trains: a folder of JSON, .npz and .npy.

TF-MOT needs tf_keras, which TensorFlow chooses once per process, so the training runs in a separate
process; only these files are shared.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from foundation.archives import open_arrays
from foundation.errors import EdgequantError, InvalidInputError
from foundation.foreign import read_object
from network.graph import Graph, Op, Tensor
from quantize.plans.plan import QuantizationPlan

_JOB = "job.json"
_CONSTANTS = "constants.npz"
_PLAN = "start.plan"
_IMAGES = "images.npy"
_RESULT = "result.json"
_ARRAYS = "result.npz"
_ERROR = "error.json"


@dataclass(frozen=True)
class QatSettings:
    """Settings of the training of a plan.

    Attributes:
        epochs: passes over the images that are not held out.
        learning_rate: how far a weight moves in one step of Adam, in steps of its integers (and a
            bias in steps of the layer's result); falls to 0 along a cosine.
        batch: images per step.
        seed: seed for the order of the images and the choice of those held out.

    Raises:
        InvalidInputError: no epoch, no image, or a learning rate that is not above 0.
    """

    epochs: int = 6
    learning_rate: float = 0.01
    batch: int = 32
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 1 or not 0 < self.learning_rate < math.inf:
            raise InvalidInputError(
                "training with quantizers takes at least one epoch, one image per step and a "
                "learning rate above 0",
                received=f"{self.epochs}, {self.batch} and {self.learning_rate}",
                remedy="set --qat-epochs and --qat-learning-rate, or leave them out",
            )


@dataclass(frozen=True)
class Job:
    """Network, plan and images of a training.

    Attributes:
        graph: canonical, the float network whose outputs are the target.
        plan: plan that the training starts from.
        images: float32 ``[n, height, width, 3]``, mapped from the file.
        settings: settings of the training.
    """

    graph: Graph
    plan: QuantizationPlan
    images: np.ndarray = field(repr=False)
    settings: QatSettings


@dataclass(frozen=True)
class Trained:
    """Result of a training.

    Attributes:
        weights: int8 in the schema's order of axes, by the operator's name.
        biases: float32 ``[channels]``, by the operator's name.
        noise: noise of the held-out images' outputs, relative to their power: at the start, then
            after each epoch.
        kept: number of the epoch that the weights are from; 0 for the start.
        fit_images: number of images trained on.
        held_out_images: number of images judged on.
    """

    weights: dict[str, np.ndarray] = field(repr=False)
    biases: dict[str, np.ndarray] = field(repr=False)
    noise: tuple[float, ...]
    kept: int
    fit_images: int
    held_out_images: int


def write_job(
    folder: Path,
    graph: Graph,
    plan: QuantizationPlan,
    images: tuple[int, Callable[[], Iterable[np.ndarray]]],
    settings: QatSettings,
) -> None:
    """Write a job for the child.

    Args:
        folder: empty folder.
        graph: canonical.
        plan: plan of that graph.
        images: number of images, and a function that yields them in batches.
        settings: settings of the training.
    """
    names = sorted(graph.tensors)
    job = {
        "settings": asdict(settings),
        "input": graph.input,
        "outputs": list(graph.outputs),
        "ops": [{**asdict(op), "options": dict(op.options)} for op in graph.ops],
        "tensors": [[name, [int(n) for n in graph.tensors[name].shape]] for name in names],
    }
    (folder / _JOB).write_text(json.dumps(job, default=_plain), encoding="utf-8")
    constants: dict[str, Any] = {
        str(number): graph.value(name)
        for number, name in enumerate(names)
        if graph.is_constant(name)
    }
    np.savez(folder / _CONSTANTS, **constants)
    plan.save(folder / _PLAN)
    count, batches = images
    shape = (count, *graph.tensors[graph.input].shape[1:])
    mapped = np.lib.format.open_memmap(folder / _IMAGES, "w+", np.float32, shape)
    done = 0
    for batch in batches():
        mapped[done : done + len(batch)] = batch
        done += len(batch)
    mapped.flush()


def read_job(folder: Path) -> Job:
    """Read the job that ``write_job`` wrote."""
    job = json.loads((folder / _JOB).read_text(encoding="utf-8"))
    with np.load(folder / _CONSTANTS) as archive:
        constants = {int(number): archive[number] for number in archive.files}
    tensors = {
        name: Tensor(name, tuple(shape), constants.get(number))
        for number, (name, shape) in enumerate(job["tensors"])
    }
    ops = tuple(
        Op(**{**op, "inputs": tuple(op["inputs"]), "outputs": tuple(op["outputs"])})
        for op in job["ops"]
    )
    return Job(
        Graph(ops, tensors, job["input"], tuple(job["outputs"])),
        QuantizationPlan.load(folder / _PLAN),
        np.load(folder / _IMAGES, mmap_mode="r"),
        QatSettings(**job["settings"]),
    )


def write_result(folder: Path, trained: Trained) -> None:
    """Write the result for the parent."""
    arrays: dict[str, Any] = {}
    for number, name in enumerate(sorted(trained.weights)):
        arrays[f"w.{number}"] = trained.weights[name]
        arrays[f"b.{number}"] = trained.biases[name]
    np.savez(folder / _ARRAYS, **arrays)
    result = {
        "names": sorted(trained.weights),
        "noise": list(trained.noise),
        "kept": trained.kept,
        "fit_images": trained.fit_images,
        "held_out_images": trained.held_out_images,
    }
    (folder / _RESULT).write_text(json.dumps(result), encoding="utf-8")


def read_result(folder: Path) -> Trained:
    """Read the result that ``write_result`` wrote.

    Raises:
        InvalidInputError: incomplete files, as after a full disk or a killed process.
    """
    rule, remedy = "the training process leaves its result whole", "run the command again"
    result = read_object(folder / _RESULT, rule, remedy)
    with open_arrays(folder / _ARRAYS, rule, remedy) as archive:
        names = result.pop("names")
        weights = {name: archive[f"w.{number}"] for number, name in enumerate(names)}
        biases = {name: archive[f"b.{number}"] for number, name in enumerate(names)}
        return Trained(weights, biases, **{**result, "noise": tuple(result["noise"])})


def write_error(folder: Path, error: EdgequantError) -> None:
    """Write an error for the parent to raise."""
    parts = {"rule": error.rule, "received": error.received, "remedy": error.remedy}
    (folder / _ERROR).write_text(json.dumps(parts), encoding="utf-8")


def read_error(folder: Path) -> InvalidInputError | None:
    """Error that the child wrote; None without one."""
    if not (folder / _ERROR).is_file():
        return None
    rule, remedy = "the training process leaves its error whole", "run the command again"
    parts = read_object(folder / _ERROR, rule, remedy)
    return InvalidInputError(parts["rule"], received=parts["received"], remedy=parts["remedy"])


def _plain(value: Any) -> Any:
    """Plain value of a NumPy value in an operator's options."""
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else str(value)
