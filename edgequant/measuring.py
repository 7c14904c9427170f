"""Measurements of the float model and its files on the same tensors, and their latency."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

from calibration_data.conversions import conversion_remarks
from calibration_data.datasets.base import Dataset, open_dataset
from calibration_data.preprocessing import Preprocessing
from calibration_data.stream import Batch, stream
from calibration_data.task import OutputTask, Task
from calibration_data.task_choice import Output
from edgequant.candidates import Candidate
from edgequant.cli.terminal import Terminal
from edgequant.outputs import answers, groups_of, stated_names, true_values
from edgequant.requests import MeasureRequest
from evaluation.flips import MOST_FLIPS
from evaluation.latency import ClockPlan, Latency, latency
from evaluation.machine import this_machine
from evaluation.result import Evaluation, Measurement
from evaluation.runner import Predictions, predict_many
from evaluation.score_rows import shape_of
from evaluation.scores import Outputs
from evaluation.session import RuntimeInfo
from evaluation.task import TaskKind, evaluate, task_kinds
from foundation.errors import GateFailedError, InvalidInputError
from foundation.threads import cores

_MOST_AT_ONCE = 32
"""Largest number of images that are run at once."""
_MAP_VALUES = 1 << 24
"""Largest number of values of the maps of a batch: 64 MB of a network."""

_STATISTICS = "scipy.stats"
"""Library of the intervals, which takes half a second of one core to import."""

LATENCY_PLAN = ClockPlan(warmup=10, repeats=300, seconds=3.0)


def open_measured(request: MeasureRequest) -> Dataset:
    """Images to measure on, of which at most ``limit`` are drawn."""
    dataset = open_dataset(request.data)
    if request.limit is not None and request.limit < len(dataset):
        order = np.random.default_rng(request.seed).permutation(len(dataset))
        dataset = dataset.subset(np.sort(order[: request.limit]))
    return dataset


def measure(
    candidates: list[Candidate],
    reference: Candidate | None,
    dataset: Dataset,
    contract: Preprocessing,
    request: MeasureRequest,
    terminal: Terminal,
    found: Predictions | None = None,
) -> Measurement:
    """Measure candidates, each against the reference, on the same preprocessed tensors.

    Args:
        candidates: models and files.
        reference: what they are compared with; None for nothing.
        dataset: images.
        contract: contract with the tasks of the outputs.
        request: settings of the measurement.
        terminal: where progress is shown.
        found: what ``predictions`` of all images gave, in rows; None to compute it here.

    Returns:
        For each output, rows in the order of the candidates, after the reference.
    """
    everything = [*([reference] if reference else []), *candidates]
    names = [f"{number}" for number in range(len(everything))]
    with terminal.progress("images", len(dataset)) as advance:
        shown = _increments(advance)
        if found is not None:
            results = found
        elif reference is None:
            results = predictions(everything, dataset, contract, shown)
        else:
            with _importing(_STATISTICS, shown) as told:
                results = predictions(everything, dataset, contract, told)
    measured = _measured_outputs(results, dataset, contract, in_rows=found is not None)
    first = next(iter(stream(dataset.subset(np.arange(1)), contract))).images
    clocked = []
    with terminal.progress("latency" if request.latency else "scores", len(everything)) as advance:
        for name, candidate in zip(names, everything, strict=True):
            clocked.append(_clocked(candidate, results.infos[name], first, request))
            advance(1)
    rows = []
    for one in measured:
        for name, candidate, (runtime, timed) in zip(names, everything, clocked, strict=True):
            scores = one.scores(name, None if candidate is reference or not reference else names[0])
            flips = one.kind.flips if scores.reference is not None else None
            rows.append(
                Evaluation(
                    candidate.subject,
                    request.data,
                    runtime,
                    evaluate(scores, one.kind),
                    timed,
                    candidate.remarks,
                    flips(scores, dataset.describe, MOST_FLIPS) if flips else (),
                    one.output,
                    one.task.labels,
                )
            )
    remarks = [*conversion_remarks(dataset), *dataset.remarks]
    for one in measured:
        remarks += one.kind.remarks(dataset, contract)
    if len(measured) > 1 and dataset.labels is not None:
        remarks.append(
            "the class numbers of the images name no output of the network and are not used"
        )
    return Measurement(tuple(rows), this_machine(), tuple(remarks))


@contextmanager
def _importing(module: str, told: Callable[[int], None]) -> Iterator[Callable[[int], None]]:
    """Import a module beside what the block does, once that has begun to tell of its progress.

    Yields:
        Function that passes the progress on to ``told``.
    """
    with ThreadPoolExecutor(1) as pool:
        started: list[Future[object]] = []

        def passed(done: int) -> None:
            if not started:
                started.append(pool.submit(import_module, module))
            told(done)

        yield passed


def predictions(
    everything: Sequence[Candidate],
    dataset: Dataset,
    contract: Preprocessing,
    progress: Callable[[int], None] | None = None,
    *,
    in_rows: bool = False,
) -> Predictions:
    """Outputs of all networks on the same preprocessed tensors.

    Args:
        everything: models and files; the first one is what the others are compared with.
        dataset: images.
        contract: contract with the tasks of the outputs.
        progress: takes the number of finished images.
        in_rows: keep statistics of each image of a classifier, not all its scores.
    """
    return predict_many(
        {f"{number}": partial(one.open, 1) for number, one in enumerate(everything)},
        batches_of(dataset, contract),
        workers=cores(),
        progress=progress,
        groups=partial(groups_of, dataset, contract, in_rows=in_rows),
    )


def batches_of(dataset: Dataset, contract: Preprocessing) -> Iterator[Batch]:
    """Images in the batches that networks are measured on."""
    return stream(dataset, contract, batch_size=_batch_size(contract))


def _batch_size(contract: Preprocessing) -> int:
    """Images that are run at once: fewer where the output is a map as large as they are."""
    if contract.tasks.only.known is not Task.SEGMENTATION:
        return _MOST_AT_ONCE
    values = math.prod(contract.size[:2]) * max(len(contract.labels), contract.channel_count)
    return max(1, min(_MOST_AT_ONCE, _MAP_VALUES // values))


@dataclass(frozen=True, eq=False)
class _MeasuredOutput:
    """One output of all networks.

    Attributes:
        output: its name; empty for the only one.
        task: its task.
        kind: metrics of the task.
        arrays: outputs by network.
        targets: true values; None without any.
    """

    output: str
    task: OutputTask
    kind: TaskKind
    arrays: dict[str, np.ndarray]
    targets: np.ndarray | None

    def scores(self, name: str, reference: str | None) -> Outputs:
        """Outputs of a network beside those of the reference."""
        baseline = None if reference is None else self.arrays[reference]
        return self.kind.scores(self.arrays[name], self.targets, baseline, self.task.limit)


def _measured_outputs(
    results: Predictions, dataset: Dataset, contract: Preprocessing, *, in_rows: bool
) -> list[_MeasuredOutput]:
    arrays = results.by_output
    if contract.tasks.only.known.joins:
        (name,) = arrays
        outputs = [Output(name, ())]
    else:
        names = stated_names(list(arrays), contract)
        arrays = dict(zip(names, arrays.values(), strict=True))
        outputs = [
            Output(name, shape_of(next(iter(found.values())))) for name, found in arrays.items()
        ]
    targets = true_values(dataset, contract, outputs)
    return [
        _MeasuredOutput(
            "" if answer.alone else answer.name,
            answer.task,
            answer.kind,
            arrays[answer.name],
            targets[answer.name],
        )
        for answer in answers(contract, outputs, in_rows=in_rows)
    ]


def _clocked(
    candidate: Candidate, measured: RuntimeInfo, image: np.ndarray, request: MeasureRequest
) -> tuple[RuntimeInfo, Latency | None]:
    """Runtime of a candidate, and its latency for one image; None with --no-latency.

    Args:
        candidate: model or file.
        measured: runtime that its images were run in, with one thread.
        image: image to time, ``[1, *shape]``.
        request: whether to time, and with how many threads.
    """
    if not request.latency:
        return measured if request.threads == 1 else candidate.open(request.threads).info, None
    timed = latency(partial(candidate.open, request.threads), image, request.threads, LATENCY_PLAN)
    return timed.runtime, timed


def check_limit(max_drop: float | None, *, has_reference: bool) -> None:
    """Raise InvalidInputError for a gate that cannot fail, before any work is done."""
    if max_drop is not None and not (has_reference and math.isfinite(max_drop)):
        raise InvalidInputError(
            "--max-drop is a number, and needs a float reference to compare with",
            received=f"--max-drop {max_drop:g}" + ("" if has_reference else " without a reference"),
            remedy="give --data to quantize, or --reference to evaluate",
        )


def check_gate(reports: Iterable[dict[str, Any]], max_drop: float | None) -> None:
    """Raise GateFailedError if a row lost more than ``max_drop`` of its task's first metric."""
    rows = [row for report in reports for row in report["rows"]]
    compared = [row for row in rows if "drop" in row]
    failed = [row for row in compared if max_drop is not None and row["drop"] > max_drop]
    if failed:
        kinds = [task_kinds()[Task(row.get("task", Task.CLASSIFICATION))] for row in failed]
        what = " and ".join(dict.fromkeys(limited(kind) for kind in kinds))
        raise GateFailedError(
            f"{what} by at most {max_drop:g} {kinds[0].unit} (--max-drop)",
            received=", ".join(
                f"{row['name']}{' ' + row['output'] if 'output' in row else ''} {row['drop']:.2f}"
                if kind.first.unit == "%"
                else f"{row['name']}{' ' + row['output'] if 'output' in row else ''} "
                f"{row['drop']:.4g}"
                for row, kind in zip(failed, kinds, strict=True)
            ),
            remedy="choose a recipe that loses less, or give more calibration images",
        )


def limited(kind: TaskKind) -> str:
    """What a gate limits, as the start of a sentence: ``top-1 falls``."""
    return f"{kind.first.title} {'grows' if kind.lower_is_better else 'falls'}"


def _increments(advance: Callable[[int], None]) -> Callable[[int], None]:
    """Callback for a running total that calls ``advance`` with its increments."""
    done = 0

    def report(total: int) -> None:
        nonlocal done
        advance(total - done)
        done = total

    return report
