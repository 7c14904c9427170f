"""Calibration in parts: workers run the float network on some images each, batch by batch.

A part is a fixed run of images, whatever the number of workers, and holds the results of single
batches; sums are made here, over the batches in their order, as in a pass of one process: the file
has the same bytes. A part that is in the store is not run again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.contract import contract_values
from edgequant.artifacts import code_digest, data_digest, key_of, versions
from edgequant.cli.terminal import Terminal
from edgequant.loading import own_contract
from edgequant.planning import Planner
from edgequant.preparing import Inputs, open_inputs, prepare
from edgequant.requests import QuantizeRequest
from edgequant.sweeping import parts
from edgequant.sweeping.engine import Engine, check_workers, open_engine
from edgequant.sweeping.packing import (
    packed,
    packed_rescaling,
    packed_states,
    unpacked,
    unpacked_rescaling,
    unpacked_states,
)
from edgequant.sweeping.parts import Sharding
from edgequant.sweeping.running import Ended, Request, run_all
from edgequant.sweeping.store import Store, open_store, shared_store
from evaluation.machine import PACKAGES
from foundation.errors import InvalidInputError
from network.graph import Graph
from quantize.equalization.rescaling import Rescaling
from quantize.plans.plan import digest
from quantize.ranges.extremes import Extremes, extremes
from quantize.ranges.float_pass import checked, in_small_batches
from quantize.ranges.observe import observe
from quantize.ranges.observers import RangeState

IMAGES = 64
"""Images of a part: a multiple of every size of a batch, so that batches are those of a whole."""
_WHAT = "a calibration"
_OWN = (
    *("output", "data", "calibration", "limit", "threads", "latency", "max_drop", "repair_with"),
    *("max_float_share", "optimize", "ranges", "keep_float", "keep_int16", "qat_epochs"),
    *("qat_learning_rate", "io", "layout", "batch", "postprocess"),
)
"""Parameters of the command that no float pass depends on; calibration images are named anew."""

Advance = Callable[[int], None]


def sharding_of(values: dict[str, Any]) -> Sharding | None:
    """Workers that the options of a command ask for; takes the options out of ``values``.

    Raises:
        InvalidInputError: a store without workers.
    """
    return parts.sharding_of(values, _WHAT, "artifacts/calibrations", _OWN)


@contextmanager
def on_workers(
    request: QuantizeRequest, inputs: Inputs, sharding: Sharding | None, terminal: Terminal
) -> Iterator[Inputs]:
    """Images of a request whose float passes workers run; they end with the block.

    Args:
        request: what is quantized.
        inputs: its images.
        sharding: the workers; None for this process.
        terminal: where it is said what was done before.

    Raises:
        InvalidInputError: no calibration images, workers that there cannot be, or a store that
            cannot be written.
    """
    if sharding is None:
        yield inputs
        return
    if inputs.calibration_text is None:
        raise InvalidInputError(
            "workers run the float network on calibration images",
            received="none",
            remedy="leave --workers and --cluster out, or give --calibration DATA",
        )
    check_workers(sharding.cluster, sharding.workers)
    store = shared_store(sharding.store)
    calibration = f"--calibration={inputs.calibration_text}"
    sharding = replace(sharding, words=(*sharding.words, calibration))
    with ExitStack() as stack:
        runner = WorkerRuns(sharding, store, _origin(request, inputs), terminal, stack)
        yield replace(inputs, runner=runner)


def _origin(request: QuantizeRequest, inputs: Inputs) -> dict[str, Any]:
    """All that the images and the float network depend on."""
    own, path = own_contract(request.model)
    asked = request.calibration
    return {
        "model": request.model.digest(),
        "contract": contract_values(request.contract, own=own, model_path=path),
        "calibration": [inputs.calibration_text, asked.samples, asked.seed],
        "data": data_digest(inputs.calibration_text),
        "versions": versions(PACKAGES),
    }


@dataclass
class WorkerRuns:
    """Float passes on workers; a ``PartRunner``.

    Attributes:
        sharding: the workers, and the words that they repeat.
        store: where parts lie.
        origin: what parts depend on beside the graph and the images' numbers.
        terminal: where it is said what was done before.
        stack: ends the workers, which the first pass starts.
        engine: the workers; None before the first pass.
    """

    sharding: Sharding
    store: Store
    origin: Mapping[str, Any]
    terminal: Terminal
    stack: ExitStack
    engine: Engine | None = None

    def extremes(
        self, graph: Graph, numbers: np.ndarray, advance: Advance
    ) -> Iterator[Mapping[str, Extremes]]:
        """Extremes of each batch, in order; see ``PartRunner``."""
        asked = {"kind": "extremes", "graph": digest(graph)}
        for content in self._parts(asked, numbers, advance):
            yield from content(unpacked)

    def states(
        self, graph: Graph, rescaling: Rescaling, numbers: np.ndarray, batch: int
    ) -> Iterator[Mapping[str, RangeState]]:
        """States after each batch alone, in order; see ``PartRunner``."""
        packed = packed_rescaling(rescaling)
        name = f"rescalings/{hashlib.sha256(packed).hexdigest()}.npz"
        self.store.write(name, packed)
        scaled, _ = rescaling.of(graph)
        asked = {
            "kind": "states",
            "graph": digest(graph),
            "rescaling": name,
            "scaled": digest(scaled),
            "batch": batch,
        }
        for content in self._parts(asked, numbers, lambda _: None):
            yield from content(unpacked_states)

    def _parts(
        self, asked: dict[str, Any], numbers: np.ndarray, advance: Advance
    ) -> Iterator[Callable[[Callable[[bytes], Any]], Any]]:
        """Readers of the parts in order, after all are done."""
        folder = f"calibration/{self._key(asked, numbers)}"
        starts = range(0, len(numbers), IMAGES)
        there = self.store.names(folder)
        new = [start for start in starts if _name(start) not in there]
        requests = [self._request(asked, numbers, start, folder) for start in new]
        advance(len(numbers) - sum(len(request.values["numbers"]) for request in requests))
        if requests:
            self._run(requests, len(starts), advance)
        for start in starts:
            name = f"{folder}/{_name(start)}"
            yield partial(parts.read_part, self.store, name, _WHAT)

    def _run(self, requests: Sequence[Request], count: int, advance: Advance) -> None:
        if self.engine is None:
            opened = open_engine(self.sharding.cluster, self.sharding.workers)
            self.engine = self.stack.enter_context(opened)
        self.terminal.note(
            f"{count} part{'s' * (count > 1)} of the calibration images, "
            f"{count - len(requests)} done before; {self.engine.place()}"
        )

        def told(ended: Ended) -> None:
            advance(0 if ended.answer is None else ended.answer["images"])

        parts.refuse_failed(run_all(requests, self.engine, parts.RETRIES, told), _WHAT)

    def _key(self, asked: Mapping[str, Any], numbers: np.ndarray) -> str:
        chosen = hashlib.sha256(np.asarray(numbers, np.int64).tobytes()).hexdigest()
        return key_of({**self.origin, **asked, "numbers": chosen, "images": IMAGES})

    def _request(
        self, asked: Mapping[str, Any], numbers: np.ndarray, start: int, folder: str
    ) -> Request:
        chosen = numbers[start : start + IMAGES].tolist()
        shown = f"calibration images {start} to {start + len(chosen) - 1}"
        values = {
            "do": "calibration",
            "shown": shown,
            "words": list(self.sharding.words),
            "folder": str(Path.cwd()),
            "numbers": chosen,
            "store": self.sharding.store,
            "name": f"{folder}/{_name(start)}",
            "code": code_digest(),
            **asked,
        }
        return Request(_name(start), shown, values)


def _name(start: int) -> str:
    return f"{start:09d}.npz"


def calibrated(request: dict[str, Any]) -> dict[str, Any]:
    """Run the float network on the images of a part, in a worker's process, and store the results.

    Args:
        request: ``words`` of ``edgequant quantize``, the ``folder`` that they are relative to,
            ``numbers`` of the images, ``kind`` of the pass and what it takes, ``store`` and
            ``name``, and the ``code``.

    Raises:
        InvalidInputError: this process runs another version, or has read another network; also
            every error of the command.
    """
    parts.enter(request)
    planner = _planner(tuple(request["words"]))
    assert planner.calibration is not None
    graph = planner.graph
    _require_same(request["graph"], graph)
    numbers = np.asarray(request["numbers"])
    store = open_store(request["store"])
    shape = graph.tensors[graph.input].shape[1:]
    if request["kind"] == "extremes":
        batches = checked(planner.calibration.batches(chosen=numbers), shape)
        small = (part for batch in batches for part in in_small_batches(batch))
        content = packed(list(extremes(graph, small)))
    else:
        scaled = _rescaled(tuple(request["words"]), request["store"], request["rescaling"])
        _require_same(request["scaled"], scaled)
        batches = checked(planner.calibration.batches(request["batch"], numbers), shape)
        content = packed_states([observe(scaled, [batch]) for batch in batches])
    store.write(request["name"], content)
    return {"images": len(numbers)}


def _require_same(expected: str, graph: Graph) -> None:
    if digest(graph) != expected:
        raise InvalidInputError(
            "every worker reads and rescales the network as the command does, number by number",
            received="another network there",
            remedy="see that the same file and the same kind of CPU are on all machines",
        )


@lru_cache(maxsize=1)
def _planner(words: tuple[str, ...]) -> Planner:
    """Planner of the network that the words name; kept for the next part."""
    from edgequant.sweeping.tasks import request_of

    request = replace(request_of(("quantize", *words)), measure=None)
    return prepare(request, open_inputs(request)).planner


@lru_cache(maxsize=1)
def _rescaled(words: tuple[str, ...], store: str, name: str) -> Graph:
    """Rescaled graph; kept for the next part."""
    rescaling = parts.read_part(open_store(store), name, _WHAT, unpacked_rescaling)
    scaled, _ = rescaling.of(_planner(words).graph)
    return scaled
