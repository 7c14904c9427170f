"""Evaluation in parts: workers run the networks on some images each, and the parts are joined.

A part is a fixed range of images, whatever the number of workers, and all sums are made over the
joined rows in the order of the images: the report is the same for 1, 2 or 7 workers. A part that
is in the store is not run again.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import click
import numpy as np

from edgequant.artifacts import code_digest, data_digest, key_of, versions
from edgequant.cli.invocation import given_words
from edgequant.cli.terminal import Terminal
from edgequant.evaluating import Evaluated, open_evaluated
from edgequant.measuring import predictions
from edgequant.requests import EvaluateRequest
from edgequant.sweeping.engine import open_engine
from edgequant.sweeping.running import Ended, Request, run_all
from edgequant.sweeping.store import Store, open_store, require_store
from evaluation.machine import PACKAGES
from evaluation.runner import Predictions
from evaluation.session import RuntimeInfo
from foundation.errors import InvalidInputError
from foundation.foreign import reading
from models.loading.request import ModelRequest

IMAGES = 512
"""Images of a part: a multiple of every size of a batch, so that batches are those of a whole."""
_RETRIES = 2
_OWN = ("cluster", "workers", "store", "latency", "threads", "max_drop")
"""Parameters of the command that no answer of a network depends on."""


@dataclass(frozen=True)
class Sharding:
    """Workers of an evaluation in parts.

    Attributes:
        cluster: address of a Dask scheduler; None for processes of this machine.
        workers: number of processes of this machine; None for one a core.
        store: folder or fsspec address of the parts.
        words: words of the command that a worker repeats.
    """

    cluster: str | None
    workers: int | None
    store: str
    words: tuple[str, ...]


def sharding_of(values: dict[str, Any]) -> Sharding | None:
    """Workers that the options of a command ask for; takes the options out of ``values``.

    Raises:
        InvalidInputError: a store without workers.
    """
    cluster, workers, store = (values.pop(name) for name in ("cluster", "workers", "store"))
    if cluster is None and workers is None:
        if store is not None:
            raise InvalidInputError(
                "--store holds the parts of an evaluation on many workers",
                received=f"--store {store} alone",
                remedy="add --workers or --cluster, or leave it out",
            )
        return None
    address = store or str(Path("artifacts/evaluations").absolute())
    words = tuple(given_words(click.get_current_context(), _OWN))
    return Sharding(cluster, workers, address, words)


def predictions_of_shards(
    request: EvaluateRequest, subject: Evaluated, sharding: Sharding, terminal: Terminal
) -> Predictions:
    """Answers of all networks for all images, from the workers and the store.

    Raises:
        InvalidInputError: a part failed; those that are done are kept.
    """
    store = open_store(sharding.store)
    require_store(store)
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
            ended = run_all(requests, engine, _RETRIES, told)
        seconds = time.monotonic() - clock
    _refuse_failed(ended)
    if new:
        terminal.note(f"{missing:,} images in {seconds:.1f} s: {missing / seconds:.1f} images/s")
    return joined([_read(store, f"{folder}/{_name(start)}") for start in starts])


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


def _refuse_failed(ended: Sequence[Ended]) -> None:
    failed = [one for one in ended if one.answer is None]
    if failed:
        raise InvalidInputError(
            "every part of an evaluation is measured",
            received=f"{len(failed)} of {len(ended)} that failed, such as "
            f"{failed[0].request.shown}: {failed[0].sentence}",
            remedy="correct that and run the command again: the other parts are kept",
        )


def shard(request: dict[str, Any]) -> dict[str, Any]:
    """Run the networks on the images of a part, in a worker's process, and store their answers.

    Args:
        request: ``words`` of ``edgequant evaluate``, the ``folder`` that they are relative to,
            first and last number of the ``images``, ``store`` and ``name``, and the ``code``.

    Raises:
        InvalidInputError: this process runs another version; also every error of the command.
    """
    if request["code"] != code_digest():
        raise InvalidInputError(
            "every worker runs the edgequant that the command was started with",
            received="another version",
            remedy="install the same one there, and start its workers again",
        )
    with reading(request["folder"], "workers reach the folder of the command", "share it"):
        os.chdir(request["folder"])
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


def _read(store: Store, name: str) -> Predictions:
    """Answers of a part; a damaged file is deleted, so that the next run makes it anew."""
    content = store.read(name)
    rule, remedy = "the parts of an evaluation are in its store", "run the command again"
    if content is None:
        raise InvalidInputError(rule, received=f"none of the name {name}", remedy=remedy)
    try:
        return _parsed(content, name, rule, remedy)
    except InvalidInputError:
        store.delete(name)
        raise


def _parsed(content: bytes, name: str, rule: str, remedy: str) -> Predictions:
    buffer = io.BytesIO(content)
    with reading(name, rule, remedy), np.load(buffer, allow_pickle=False) as arrays:
        head = json.loads(arrays["head"].tobytes())
        by_output = {
            output: {network: arrays[f"{i}-{j}"] for j, network in enumerate(networks)}
            for i, (output, networks) in enumerate(head["names"].items())
        }
        infos = {name: RuntimeInfo(**info) for name, info in head["infos"].items()}
        return Predictions(by_output, arrays.get("labels"), arrays["indices"], infos)


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Answers of the whole set, in the order of the images.

    Args:
        parts: parts in the order of their images.

    Raises:
        ValueError: a part that is missing, or is there twice.
    """
    indices = np.concatenate([part.indices for part in parts])
    if not np.array_equal(indices, np.arange(len(indices))):
        raise ValueError("the parts of an evaluation are all images in order, each once")
    labels = [part.labels for part in parts if part.labels is not None]
    return Predictions(
        {
            output: {
                name: np.concatenate([part.by_output[output][name] for part in parts])
                for name in networks
            }
            for output, networks in parts[0].by_output.items()
        },
        np.concatenate(labels) if len(labels) == len(parts) else None,
        indices,
        parts[0].infos,
    )
