"""Answers of a sweep's float networks: each is run once on the images, for all its recipes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from edgequant.artifacts import code_digest
from edgequant.measuring import batches_of, open_measured
from edgequant.preparing import open_inputs, prepare
from edgequant.sweeping import parts
from edgequant.sweeping.running import Request
from edgequant.sweeping.store import Store, open_store
from edgequant.sweeping.tasks import Task, request_of
from evaluation.remembered import Answers
from evaluation.sessions.keras_model import KerasSession
from foundation.errors import InvalidInputError
from foundation.foreign import reading

MOST_BYTES = 256 * 1024**2
"""Largest answers that are kept: 50,000 images of 1,000 classes are 200 MB, and a task holds them
in its memory. A network with larger ones, maps of pixels for instance, runs in each task."""

FOLDER = "floats"
"""Folder of the answers in the store."""


def answers_name(key: str) -> str:
    """Name of a float network's answers in the store."""
    return f"{FOLDER}/{key}.npz"


def answers_text(store: str, key: str) -> str:
    """Value of ``--float-answers``: store and name."""
    return f"{store}#{answers_name(key)}"


def known_answers(text: str | None) -> Answers | None:
    """Answers that ``answers_text`` names; None if they are not there, or not whole."""
    if text is None:
        return None
    address, _, name = text.rpartition("#")
    content = open_store(address).read(name)
    if content is None:
        return None
    try:
        with reading(name, "the answers of a float network are whole", "run it again"):
            return Answers.of_bytes(content)
    except InvalidInputError:  # the network is run instead
        return None


def float_requests(tasks: Sequence[Task], store: Store, address: str) -> list[Request]:
    """Requests for the answers that several tasks need and the store does not have.

    A task that starts before they are there runs the float network itself.

    Args:
        tasks: tasks that are to be run.
        store: where answers lie.
        address: address of the store.
    """
    there = store.names(FOLDER)
    counts = Counter(task.float_key for task in tasks)
    first = {task.float_key: task for task in reversed(tasks)}
    return [
        Request(
            answers_name(key),
            f"float {task.choice.model}",
            {
                "do": "float",
                "shown": f"float {task.choice.model}",
                "words": list(task.words),
                "store": address,
                "name": answers_name(key),
                "code": code_digest(),
            },
        )
        for key, task in reversed(first.items())
        if counts[key] > 1 and f"{key}.npz" not in there
    ]


def answered(request: dict[str, Any]) -> dict[str, Any]:
    """Run a float network on the measured images, in a worker's process, and store its answers.

    Args:
        request: ``words`` of ``edgequant quantize``, ``store`` and ``name``, and the ``code``.

    Raises:
        InvalidInputError: this process runs another version; also every error of the command.
    """
    parts.require_code(request)
    store = open_store(request["store"])
    asked = request_of(tuple(request["words"]))
    prepared = prepare(asked, open_inputs(asked))
    assert asked.measure is not None
    batches = batches_of(open_measured(asked.measure), prepared.contract)
    session = KerasSession(prepared.loaded.model)
    answers = Answers.of(session, (batch.images for batch in batches), MOST_BYTES)
    if answers is not None:
        store.write(request["name"], answers.to_bytes())
    return {"kept": answers is not None}
