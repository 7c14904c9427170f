"""``edgequant parity``: whether two int8 files are the same network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgequant.cli.terminal import Terminal, plain_table
from evaluation.child.policy import Isolation
from evaluation.parity.compare import IntegerParity, compare_files
from evaluation.parity.runs import (
    BASE,
    LayerWalk,
    OutputRow,
    StepDistance,
    compare_outputs,
    on_the_grid,
    random_images,
    walk_litert,
    walk_onnx,
)
from export.foreign import admit
from foundation.errors import GateFailedError, InvalidInputError
from network.oracle.reader import read_integers

if TYPE_CHECKING:
    import numpy as np

_SHOWN = 20
"""Differences on the screen; all of them are in the JSON."""


@dataclass(frozen=True)
class ParityRequest:
    """Files to compare, and images to run them on.

    Attributes:
        tflite: path of an int8 .tflite.
        onnx: path of an int8 .onnx in QDQ form.
        data: DATA text; None for random images.
        limit: largest number of images.
        seed: seed of the drawing, or of the random images.
        strict: fail if the stored integers differ.
        isolation: how the files may be run.
    """

    tflite: Path
    onnx: Path
    data: str | None = None
    limit: int = 8
    seed: int = 0
    strict: bool = False
    isolation: Isolation = field(default_factory=Isolation)

    def __post_init__(self) -> None:
        if (self.tflite.suffix, self.onnx.suffix) != (".tflite", ".onnx"):
            raise InvalidInputError(
                "parity compares a .tflite with an .onnx",
                received=f"{self.tflite} and {self.onnx}",
                remedy="give the two files in this order",
            )


def parity_command(request: ParityRequest, terminal: Terminal) -> None:
    """Compare the integers, run both files, and print where they first differ."""
    if not request.isolation.trust:
        admit(request.tflite)
        admit(request.onnx)
    integers = compare_files(request.tflite, request.onnx)
    _show_integers(integers, terminal)
    images = _images(request)
    outputs = compare_outputs(request.tflite, request.onnx, images, request.isolation)
    walks: tuple[LayerWalk, ...] = ()
    if in_float := read_integers(request.tflite).in_float:
        kinds = ", ".join(f"{op.kind} {op.name}" for op in in_float)
        terminal.note(f"layers are not compared one by one, since some are in float32: {kinds}")
    else:
        walks = (
            walk_litert(request.tflite, images, request.isolation),
            walk_onnx(request.tflite, request.onnx, integers.pairs, images, request.isolation),
        )
    _show_runs(outputs, walks, len(images), terminal)
    terminal.result(_document(request, integers, outputs, walks, len(images)))
    if request.strict and not integers.same:
        raise GateFailedError(
            "both files hold the same integers (--strict)",
            received=f"{len(integers.differences)} differences",
            remedy="write both files from one plan",
        )


def _images(request: ParityRequest) -> np.ndarray:
    """Images that every runtime quantizes to the same integers."""
    if request.data is None:
        return random_images(request.tflite, request.limit, request.seed)
    import numpy as np

    from calibration_data.contract import ContractRequest, resolve_contract
    from calibration_data.datasets.base import open_dataset
    from calibration_data.stream import stream
    from export.target import target_of

    model = read_integers(request.tflite)
    card = target_of(request.tflite).read_card(request.tflite)
    contract = resolve_contract(
        ContractRequest(),
        own=None if card is None else card.preprocessing,
        model_path=request.tflite,
        shape=tuple(model.tensors[model.input].shape[1:]),
    )
    dataset = open_dataset(request.data)
    order = np.random.default_rng(request.seed).permutation(len(dataset))[: request.limit]
    batches = [batch.images for batch in stream(dataset.subset(np.sort(order)), contract)]
    return on_the_grid(request.tflite, np.concatenate(batches))


def _show_integers(integers: IntegerParity, terminal: Terminal) -> None:
    what = f"{integers.tensors} tensors with {integers.integers:,} stored integers"
    if integers.same:
        terminal.say(f"the same scales, zero points and integers in both files: {what}")
        return
    terminal.say(f"{len(integers.differences)} differences in {what}; .tflite against .onnx:")
    rows = [difference.to_dict() for difference in integers.differences[:_SHOWN]]
    terminal.table(plain_table(rows, ("step", "part", "detail")))
    if len(integers.differences) > _SHOWN:
        terminal.say(f"and {len(integers.differences) - _SHOWN} more (--json lists all)")


def _show_runs(
    outputs: Iterable[OutputRow], walks: Iterable[LayerWalk], n: int, terminal: Terminal
) -> None:
    terminal.say(f"outputs on the same integers, n = {n} images, in steps against {BASE}:")
    rows = [
        {
            **({"output": row.output} if row.output else {}),
            "runtime": row.info.runtime,
            "kernels": row.info.kernels,
            **_distance(row.distance),
            "same answers": "" if row.answers is None else f"{100 * row.answers:.2f} %",
            "as XNNPACK": f"{100 * row.as_xnnpack:.2f} %",
        }
        for row in outputs
    ]
    terminal.table(plain_table(rows, tuple(rows[0])))
    for walk in walks:
        names = " and ".join(walk.runtimes)
        if walk.first is None:
            terminal.say(f"{names}: equal in all {len(walk.rows)} layers")
        else:
            distance = ", ".join(f"{k} {v}" for k, v in _distance(walk.first.distance).items())
            terminal.say(f"{names} first differ in {walk.first.name}: {distance}")


def _distance(distance: StepDistance) -> dict[str, str]:
    return {
        "max": str(distance.largest),
        "mean": f"{distance.mean:.4f}",
        "equal": f"{100 * distance.equal:.2f} %",
    }


def _document(
    request: ParityRequest,
    integers: IntegerParity,
    outputs: Iterable[OutputRow],
    walks: Iterable[LayerWalk],
    n: int,
) -> dict[str, Any]:
    return {
        "tflite": str(request.tflite),
        "onnx": str(request.onnx),
        "same_integers": integers.same,
        "tensors": integers.tensors,
        "integers": integers.integers,
        "differences": [difference.to_dict() for difference in integers.differences],
        "data": request.data or f"random, seed {request.seed}",
        "n": n,
        "against": BASE,
        "outputs": [row.to_dict() for row in outputs],
        "layers": [walk.to_dict() for walk in walks],
    }
