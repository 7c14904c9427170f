"""Quantization-aware training: the last resort, from a plan to a better one.

Training starts from the engine's plan and ends in a plan of the same network with the same scales:
only integers of weights and biases have changed. The new ones are used if they lower the noise on
calibration images that were not trained on; if not, the plan stays as it was.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from foundation.errors import InvalidInputError
from foundation.threads import OPERATOR_CORES
from network.affine import quantize_bias
from network.graph import Graph, Op
from network.operators import OpKind
from quantize.plans.plan import IntegerConstant, QuantizationPlan
from quantize.qat.child import PROGRESS
from quantize.qat.exchange import QatSettings, Trained, read_error, read_result, write_job
from quantize.ranges.float_pass import CalibrationImages
from quantize.rounding.rows import Rows
from quantize.rounding.second_order import neighbours
from quantize.settings import WeightRange

__all__ = ["QatSettings", "trained_plan"]

_HOME = Path(__file__).resolve().parents[__package__.count(".") + 1]
_SAFE_SUM = 128
"""Largest sum of two neighbouring weights of one sign that cannot saturate (``WeightRange``)."""


def trained_plan(
    graph: Graph,
    plan: QuantizationPlan,
    images: CalibrationImages,
    settings: QatSettings,
    advance: Callable[[int], None] = lambda _: None,
) -> QuantizationPlan:
    """Train the integers of a plan in a process with TF-MOT and tf_keras.

    Args:
        graph: canonical float graph; its outputs are the target, so no labels are needed.
        plan: plan of that graph.
        images: images to train on, one in five held out to judge by.
        settings: settings of the training.
        advance: called with each number of images that are done.

    Raises:
        UnsupportedError: an operator that tf_keras cannot train; names it.
        InvalidInputError: a plan of another graph, fewer than two images, too high a learning rate,
            or a child process that failed.
    """
    plan.check_graph(graph)
    if images.count < 2:
        raise InvalidInputError(
            "training with quantizers takes at least two images, one of them to judge by",
            received=f"{images.count} calibration image{'s' * (images.count != 1)}",
            remedy="give more --samples",
        )
    try:
        with tempfile.TemporaryDirectory(prefix="edgequant-qat-") as name:
            folder = Path(name)
            write_job(folder, graph, plan, (images.count, images.batches), settings)
            _run_child(folder, advance)
            trained = read_result(folder)
    except OSError as error:
        raise InvalidInputError(
            "training with quantizers has room for the calibration images in a temporary folder",
            received=f"{tempfile.gettempdir()} ({error.strerror or error})",
            remedy="free space, give fewer --samples, or set TMPDIR",
        ) from error
    return _merged(graph, plan, trained, settings)


_NOT_PASSED_ON = ("PYTHONSAFEPATH", OPERATOR_CORES)
"""Environment variables that the child does not get: training takes all cores for an operator."""


def _run_child(folder: Path, advance: Callable[[int], None]) -> None:
    """Run the training; its lines drive the progress, and its failure becomes one sentence."""
    environment = {k: v for k, v in os.environ.items() if k not in _NOT_PASSED_ON}
    environment["TF_USE_LEGACY_KERAS"] = "1"
    with (folder / "stderr").open("wb") as log:
        # In the folder of the rooms, which stands first on the child's path, quantize is ours.
        child = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", f"{__package__}.child", str(folder)],
            cwd=_HOME,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            errors="replace",
        )
        try:
            assert child.stdout is not None
            for line in child.stdout:
                if line.startswith(PROGRESS):
                    advance(int(line.removeprefix(PROGRESS)))
            code = child.wait()
        finally:
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()
    if code == 0:
        return
    if (error := read_error(folder)) is not None:
        raise error
    raise InvalidInputError(
        "training with quantizers runs to its end in a separate process",
        received=_ending(code, folder / "stderr"),
        remedy="use --optimize best, or give fewer --samples if memory was short",
    )


def _ending(code: int, log: Path) -> str:
    """How the child ended, for an error."""
    if code < 0:
        return f"a process that was ended by signal {-code}"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"exit code {code} ({lines[-1].strip() if lines else 'no message'})"


def _merged(
    graph: Graph, plan: QuantizationPlan, trained: Trained, settings: QatSettings
) -> QuantizationPlan:
    """Plan with the trained integers; where training gained nothing, the plan with a note."""
    story = {
        "epochs": settings.epochs,
        "learning_rate": settings.learning_rate,
        "batch": settings.batch,
        "seed": settings.seed,
        "fit_images": trained.fit_images,
        "held_out_images": trained.held_out_images,
        "held_out_sqnr_db": [round(_decibels(noise), 2) for noise in trained.noise],
        "kept_epoch": trained.kept,
    }
    constants = dict(plan.constants)
    notes = plan.notes
    if trained.kept:
        for op in graph.weighted:
            if op.name in trained.weights:
                constants |= _trained_constants(op, graph, plan, trained)
    else:
        notes = (*notes, "training with quantizers gained nothing: the plan before it stands")
    return replace(plan, constants=constants, story={**plan.story, "qat": story}, notes=notes)


def _trained_constants(
    op: Op, graph: Graph, plan: QuantizationPlan, trained: Trained
) -> dict[str, IntegerConstant]:
    """Weight and bias of an operator after training, by tensor name."""
    weight, bias = plan.constants[op.inputs[1]], plan.constants[op.inputs[2]]
    integers = trained.weights[op.name]
    if plan.settings.weight_range is WeightRange.SATURATION_SAFE and op.kind not in (
        OpKind.DEPTHWISE_CONV,
        OpKind.TRANSPOSE_CONV,
    ):
        rows = Rows.of(op, graph)
        planned = rows.to_rows(weight.integers)
        safe = _without_saturation(rows.to_rows(integers), planned, rows.shape)
        integers = rows.from_rows(safe).astype(np.int8)
    steps = quantize_bias(trained.biases[op.name], bias.params, op.name)
    return {
        op.inputs[1]: IntegerConstant(weight.params, integers),
        op.inputs[2]: IntegerConstant(bias.params, steps),
    }


def _without_saturation(
    trained: np.ndarray, planned: np.ndarray, shape: tuple[int, ...]
) -> np.ndarray:
    """Trained integers, with those of the plan where a pair would saturate 16-bit sums.

    A pair of neighbours with one sign may add up to _SAFE_SUM; replacing both can make a pair with
    a third one exceed it, so the replacement is repeated until none does.

    Args:
        trained: trained integers ``[channels, inputs]``.
        planned: integers of the plan ``[channels, inputs]``, whose pairs are within the limit.
        shape: shape of the weight.

    Returns:
        ``[channels, inputs]``.
    """
    integers = trained.copy()
    pairs = neighbours(shape)
    while True:
        saturating = np.zeros(integers.shape, bool)
        for other in pairs:
            known = np.flatnonzero(other >= 0)
            one, two = integers[:, known], integers[:, other[known]]
            same_sign = np.sign(one) == np.sign(two)
            beyond = same_sign & (np.abs(one) + np.abs(two) > _SAFE_SUM)
            saturating[:, known] |= beyond
            saturating[:, other[known]] |= beyond
        saturating &= integers != planned
        if not saturating.any():
            return integers
        integers[saturating] = planned[saturating]


def _decibels(noise: float) -> float:
    return float(-10 * np.log10(max(noise, 1e-12)))
