"""Work in parts: a worker does one, it lies in the store, and what is there is not done again."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from edgequant.artifacts import code_digest
from edgequant.cli.invocation import given_words
from edgequant.sweeping.child import host
from edgequant.sweeping.running import Ended
from edgequant.sweeping.store import Store
from foundation.errors import InvalidInputError
from foundation.foreign import reading

RETRIES = 2
"""Attempts at a part after the first one that failed."""

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class Sharding:
    """Workers of a command that works in parts.

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


def sharding_of(
    values: dict[str, Any], what: str, folder: str, own: Collection[str]
) -> Sharding | None:
    """Workers that the options of a command ask for; takes the options out of ``values``.

    Args:
        values: options by name.
        what: what has parts, for errors.
        folder: store by default.
        own: parameters of the command that no part depends on.

    Raises:
        InvalidInputError: a store without workers.
    """
    cluster, workers, store = (values.pop(name) for name in ("cluster", "workers", "store"))
    if cluster is None and workers is None:
        if store is not None:
            raise InvalidInputError(
                f"--store holds the parts of {what} on many workers",
                received=f"--store {store} alone",
                remedy="add --workers or --cluster, or leave it out",
            )
        return None
    address = store or str(Path(folder).absolute())
    left_out = ("cluster", "workers", "store", *own)
    words = tuple(given_words(click.get_current_context(), left_out))
    return Sharding(cluster, workers, address, words)


def refuse_failed(ended: Sequence[Ended], what: str) -> None:
    """Raise InvalidInputError if a part was set aside; names the first one.

    Args:
        ended: how each part ended.
        what: what has parts.
    """
    failed = [one for one in ended if one.answer is None]
    if failed:
        raise InvalidInputError(
            f"every part of {what} is measured",
            received=f"{len(failed)} of {len(ended)} that failed, such as "
            f"{failed[0].request.shown}: {failed[0].sentence}",
            remedy="correct that and run the command again: the other parts are kept",
        )


def enter(request: dict[str, Any]) -> None:
    """Make this process the one that a request was written for.

    Args:
        request: ``code``, digest of the source, and ``folder`` that its paths are relative to.

    Raises:
        InvalidInputError: this process runs another version, or does not reach the folder.
    """
    require_code(request)
    with reading(request["folder"], "workers reach the folder of the command", "share it"):
        os.chdir(request["folder"])


def require_code(request: dict[str, Any]) -> None:
    """Raise InvalidInputError if this process is not of the version that sent a request."""
    if request["code"] != code_digest():
        raise InvalidInputError(
            "every worker runs the edgequant that the command was started with",
            received=f"another version on {host()}",
            remedy="install the same one there, and start its workers again",
        )


def read_part(store: Store, name: str, what: str, parse: Callable[[bytes], Parsed]) -> Parsed:
    """Content of a part; a damaged file is deleted, so that the next run makes it anew.

    Args:
        store: where it lies.
        name: its name.
        what: what has parts.
        parse: reads its bytes.

    Raises:
        InvalidInputError: no such part, or a damaged one.
    """
    rule, remedy = f"the parts of {what} are in its store", "run the command again"
    content = store.read(name)
    if content is None:
        raise InvalidInputError(rule, received=f"none of the name {name}", remedy=remedy)
    try:
        with reading(name, rule, remedy):
            return parse(content)
    except InvalidInputError:
        store.delete(name)
        raise
