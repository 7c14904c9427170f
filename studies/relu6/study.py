"""The study from checkpoints to results, one network and one part at a time.

Each step's rows are stored in a file with a key of all that they depend on, so an interrupted run
continues where it stopped, and a run after one network was retrained measures only that one again.
Networks are independent: processes measure several at a time, and leave their rows in these files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, wait
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

from foundation.atomic import write_whole
from quantize.parallel import one_blas_thread
from studies.relu6 import bits, breaking, calibration, checkpoints, half, spiral, why
from studies.relu6.data import Images, open_images
from studies.relu6.network import Network, open_network
from studies.relu6.networks import ACTIVATIONS, SEEDS, TUNED, Variant, variants
from studies.relu6.results import Results
from studies.relu6.summing import Rows, results_of

FORMAT = 1
"""Format number, increased when a part measures something else than before."""

TEST_IMAGES = 2500
"""Number of test images, of 10,000: the whole study takes ten minutes on two cores."""


_TICK = 2.0
"""Seconds between two looks at the finished steps."""


@dataclass(frozen=True)
class Plan:
    """Extent of a run of the study.

    Attributes:
        networks: networks in the order of measurement.
        checkpoints: folder of their checkpoints.
        steps: folder for the rows of each step.
        test: largest number of test images; None for all.
        calibration: largest number of calibration images; None for all.
        matrices: number of random matrices of the spiral.
    """

    networks: tuple[Variant, ...] = tuple(variants())
    checkpoints: Path = field(default_factory=checkpoints.shipped)
    steps: Path = Path("artifacts/relu6/steps")
    test: int | None = TEST_IMAGES
    calibration: int | None = None
    matrices: int = spiral.SEEDS


Step = Callable[[Network], Any]


def _bits(network: Network) -> Any:
    return [row.to_dict() for row in bits.measure(network)]


def _why(network: Network) -> Any:
    return {
        "layers": [asdict(row) for row in why.measure(network)],
        "spread": [asdict(row) for row in why.spread(network)],
        "histograms": [
            asdict(row) for row in why.histograms(network, why.shown_layers(network.graph))
        ],
    }


def _half(network: Network) -> Any:
    row, binades = half.measure(network)
    return {"half": asdict(row), "binades": [asdict(b) for b in binades]}


def _calibration(network: Network) -> Any:
    return [row.to_dict() for row in calibration.measure(network)]


def _breaking(network: Network) -> Any:
    return [row.to_dict() for row in breaking.measure(network)]


STEPS: dict[str, Step] = {
    "bits": _bits,
    "why": _why,
    "half": _half,
    "calibration": _calibration,
    "breaking": _breaking,
}
"""Functions that measure the parts, by name."""


def steps_of(variant: Variant) -> tuple[str, ...]:
    """Names of the parts that a network is measured in."""
    if variant.kind in TUNED:
        return ("bits", "breaking")
    return tuple(STEPS) if variant.kind in ACTIVATIONS else ("bits",)


def total_steps(plan: Plan) -> int:
    """Number of steps of a run."""
    return sum(len(steps_of(variant)) for variant in plan.networks) + len(spiral.DIMENSIONS)


def run(
    plan: Plan,
    advance: Callable[[int], None] = lambda _: None,
    pool: Executor | None = None,
) -> Results:
    """Measure everything that is not measured yet, and compute the results.

    Args:
        plan: extent of the run.
        advance: called with 1 after each step.
        pool: processes that measure a network each; None to measure one after another in this one.
            The results are the same.

    Raises:
        InvalidInputError: a checkpoint that is missing or damaged.
    """
    cards = [checkpoints.card(plan.checkpoints, variant.name) for variant in plan.networks]
    if pool is not None:
        _measure_all(plan, pool, advance)
    images = _Lazy(plan)
    rows = Rows()
    for variant, card in zip(plan.networks, cards, strict=True):
        rows.add(variant, card)
        for name, step_rows in _steps(plan, variant, images):
            rows.take(name, variant, step_rows)
            if pool is None:
                advance(1)
    for dimensions in spiral.DIMENSIONS:
        rows.spirals.append(spiral.measure(dimensions, plan.matrices))
        advance(1)
    return results_of(rows)


def _measure_all(plan: Plan, pool: Executor, advance: Callable[[int], None]) -> None:
    """Fill the files of all steps, the networks with the most steps first."""
    order = sorted(plan.networks, key=lambda variant: -len(steps_of(variant)))
    missing = {(variant, name) for variant in order for name in steps_of(variant)}
    waiting = {pool.submit(_measure, plan, variant) for variant in order}
    while waiting:
        finished, waiting = wait(waiting, _TICK, FIRST_COMPLETED)
        for future in finished:
            future.result()
        there = [one for one in missing if _path(plan, *one).is_file()]
        found = {one for one in there if _stored(_path(plan, *one), _key(plan, *one)) is not None}
        missing -= found
        for _ in found:
            advance(1)


def _measure(plan: Plan, variant: Variant) -> None:
    """Measure one network in a process of its own."""
    for _ in _steps(plan, variant, _Lazy(plan)):
        pass


@dataclass
class _Lazy:
    """Images, read when a step first needs them."""

    plan: Plan

    @cached_property
    def images(self) -> Images:
        return _images(self.plan.test, self.plan.calibration)


@cache
def _images(test: int | None, calibration: int | None) -> Images:
    """Images of a run, which a process reads once for all its networks."""
    return open_images(test, calibration)


def _steps(plan: Plan, variant: Variant, lazy: _Lazy) -> Iterator[tuple[str, Any]]:
    network: Network | None = None
    for name in steps_of(variant):
        key = _key(plan, variant, name)
        path = _path(plan, variant, name)
        rows = _stored(path, key)
        if rows is None:
            if network is None:
                network = open_network(variant, plan.checkpoints, lazy.images)
            with one_blas_thread():  # whose sums are the same beside other processes
                rows = STEPS[name](network)
            text = json.dumps({"key": key, "rows": rows}, allow_nan=False)
            write_whole(path, partial(Path.write_text, data=text, encoding="utf-8"))
        yield name, rows


def _path(plan: Plan, variant: Variant, name: str) -> Path:
    return plan.steps / f"{variant.name}-{name}.json"


def _key(plan: Plan, variant: Variant, name: str) -> str:
    digest = hashlib.sha256(checkpoints.path_of(plan.checkpoints, variant.name).read_bytes())
    digest.update(f"{FORMAT} {name} {plan.test} {plan.calibration}".encode())
    return digest.hexdigest()


def _stored(path: Path, key: str) -> Any:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return content["rows"] if content["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def available(folder: Path, seeds: Sequence[int] = SEEDS) -> tuple[Variant, ...]:
    """Networks whose checkpoints are in a folder, in their order."""
    return tuple(
        v for v in variants(seeds=tuple(seeds)) if checkpoints.path_of(folder, v.name).is_file()
    )
