"""Evaluation in parts: workers run the networks on some images each, and the parts are joined.

A part is a fixed range of images, whatever the number of workers, and all sums are made over the
joined rows in the order of the images: the report is the same for 1, 2 or 7 workers. A part that
is in the store is not run again.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from edgequant.artifacts import code_digest, data_digest, key_of, versions
from edgequant.cli.terminal import Terminal
from edgequant.evaluating import Evaluated, open_evaluated
from edgequant.measuring import predictions
from edgequant.requests import EvaluateRequest
from edgequant.sweeping import parts
from edgequant.sweeping.engine import open_engine
from edgequant.sweeping.parts import Sharding
from edgequant.sweeping.running import Ended, Request, run_all
from edgequant.sweeping.store import open_store, shared_store
from evaluation.machine import PACKAGES
from evaluation.runner import Predictions
from evaluation.session import RuntimeInfo
from models.loading.request import ModelRequest

IMAGES = 512
"""Images of a part: a multiple of every size of a batch, so that batches are those of a whole."""
_WHAT = "an evaluation"
_OWN = ("latency", "threads", "max_drop")
"""Parameters of the command that no answer of a network depends on."""


def sharding_of(values: dict[str, Any]) -> Sharding | None:
    """Workers that the options of a command ask for; takes the options out of ``values``.

    Raises:
        InvalidInputError: a store without workers.
    """
    return parts.sharding_of(values, _WHAT, "artifacts/evaluations", _OWN)


def predictions_of_shards(
    request: EvaluateRequest, subject: Evaluated, sharding: Sharding, terminal: Terminal
) -> Predictions:
    """Answers of all networks for all images, from the workers and the store.

    Raises:
        InvalidInputError: a part failed; those that are done are kept.
    """
    store = shared_store(sharding.store)
    folder = f"shards/{_key(request, subject, sharding)}"
    count = len(subject.dataset)
    starts = range(0, count, IMAGES)
    there = store.names(folder)
    new = [start for start in starts if _name(start) not in there]
    missing = sum(min(IMAGES, count - start) for start in new)
    with open_engine(sharding.cluster, sharding.workers) as engine:
        terminal.note(
            f"{len(starts)} parts, {len(starts) - len(new)} of them done before; {engine.place()}"
        )
        clock = time.monotonic()
        with terminal.progress("images", missing) as advance:

            def told(ended: Ended) -> None:
                advance(0 if ended.answer is None else ended.answer["images"])

            requests = [_request(start, count, folder, sharding) for start in new]
            ended = run_all(requests, engine, parts.RETRIES, told)
        seconds = time.monotonic() - clock
    parts.refuse_failed(ended, _WHAT)
    if new:
        terminal.note(f"{missing:,} images in {seconds:.1f} s: {missing / seconds:.1f} images/s")
    names = [f"{folder}/{_name(start)}" for start in starts]
    return joined([parts.read_part(store, name, _WHAT, _parsed) for name in names])


def _name(start: int) -> str:
    return f"{start:09d}.npz"


def _key(request: EvaluateRequest, subject: Evaluated, sharding: Sharding) -> str:
    """Hash of all that the answers depend on."""
    reference = request.reference
    return key_of(
        {
            "words": sharding.words,
            "artifact": ModelRequest(str(request.artifact)).digest(),
            "reference": None if reference is None else reference.digest(),
            "contract": subject.contract.to_dict(),
            "data": data_digest(request.measure.data),
            "images": [len(subject.dataset), IMAGES],
            "versions": versions(PACKAGES),
        }
    )


def _request(start: int, count: int, folder: str, sharding: Sharding) -> Request:
    end = min(start + IMAGES, count)
    shown = f"images {start} to {end - 1}"
    return Request(
        _name(start),
        shown,
        {
            "do": "shard",
            "shown": shown,
            "words": list(sharding.words),
            "folder": str(Path.cwd()),
            "images": [start, end],
            "store": sharding.store,
            "name": f"{folder}/{_name(start)}",
            "code": code_digest(),
        },
    )


def shard(request: dict[str, Any]) -> dict[str, Any]:
    """Run the networks on the images of a part, in a worker's process, and store their answers.

    Args:
        request: ``words`` of ``edgequant evaluate``, the ``folder`` that they are relative to,
            first and last number of the ``images``, ``store`` and ``name``, and the ``code``.

    Raises:
        InvalidInputError: this process runs another version; also every error of the command.
    """
    parts.enter(request)
    subject = _opened(tuple(request["words"]))
    start, end = request["images"]
    part = subject.dataset.subset(np.arange(start, end))
    found = predictions(subject.everything, part, subject.contract, in_rows=True)
    open_store(request["store"]).write(request["name"], written(found, start))
    return {"images": end - start}


@lru_cache(maxsize=1)
def _opened(words: tuple[str, ...]) -> Evaluated:
    """What the words name; kept for the next part."""
    from edgequant.cli.files import evaluate
    from edgequant.cli.request_options import evaluate_request
    from edgequant.cli.sections import HELP_NAMES

    context = evaluate.make_context("evaluate", list(words), help_option_names=[*HELP_NAMES])
    values = dict(context.params)
    for name in ("cluster", "workers", "store", "as_json", "debug"):
        values.pop(name)
    return open_evaluated(evaluate_request(values))


def written(found: Predictions, start: int) -> bytes:
    """File of the answers of a part.

    Args:
        found: answers, with the part's own numbers of images.
        start: number of the first image in the whole set.
    """
    names = {output: list(networks) for output, networks in found.by_output.items()}
    arrays = {
        f"{i}-{j}": networks[name]
        for i, networks in enumerate(found.by_output.values())
        for j, name in enumerate(networks)
    }
    if found.labels is not None:
        arrays["labels"] = found.labels
    buffer = io.BytesIO()
    infos = {name: asdict(info) for name, info in found.infos.items()}
    head = np.frombuffer(json.dumps({"names": names, "infos": infos}).encode(), np.uint8)
    arrays |= {"head": head, "indices": found.indices + start}
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def _parsed(content: bytes) -> Predictions:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        head = json.loads(arrays["head"].tobytes())
        by_output = {
            output: {network: arrays[f"{i}-{j}"] for j, network in enumerate(networks)}
            for i, (output, networks) in enumerate(head["names"].items())
        }
        infos = {name: RuntimeInfo(**info) for name, info in head["infos"].items()}
        return Predictions(by_output, arrays.get("labels"), arrays["indices"], infos)


def joined(found: Sequence[Predictions]) -> Predictions:
    """Answers of the whole set, in the order of the images.

    Args:
        found: parts in the order of their images.

    Raises:
        ValueError: a part that is missing, or is there twice.
    """
    indices = np.concatenate([part.indices for part in found])
    if not np.array_equal(indices, np.arange(len(indices))):
        raise ValueError("the parts of an evaluation are all images in order, each once")
    labels = [part.labels for part in found if part.labels is not None]
    return Predictions(
        {
            output: {
                name: np.concatenate([part.by_output[output][name] for part in found])
                for name in networks
            }
            for output, networks in found[0].by_output.items()
        },
        np.concatenate(labels) if len(labels) == len(found) else None,
        indices,
        found[0].infos,
    )
