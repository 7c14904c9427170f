"""Answers of a network that are kept: a batch that was run once is not run again.

A batch is known by the hash of its numbers, so that an answer is never that to other images.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from evaluation.session import RuntimeInfo, Session

_DIGEST = 32
"""Bytes of a batch's hash."""


def batch_digest(images: np.ndarray) -> bytes:
    """Hash of a batch of preprocessed images, float32 ``[batch, *shape]``."""
    content = np.ascontiguousarray(images, np.float32)
    return hashlib.blake2b(content.tobytes(), digest_size=_DIGEST).digest()


@dataclass(frozen=True)
class Answers:
    """Outputs of a network for some batches.

    Attributes:
        names: names of the outputs.
        by_batch: outputs, each float32 ``[batch, ...]``, by ``batch_digest``.
    """

    names: tuple[str, ...]
    by_batch: Mapping[bytes, tuple[np.ndarray, ...]] = field(repr=False)

    @classmethod
    def of(cls, session: Session, batches: Iterable[np.ndarray], most: int) -> Answers | None:
        """Run a network over batches; None if its outputs would take more than ``most`` bytes."""
        found: dict[bytes, tuple[np.ndarray, ...]] = {}
        size = 0
        for images in batches:
            outputs = session.run(images)
            size += sum(output.nbytes for output in outputs)
            if size > most:
                return None
            found[batch_digest(images)] = outputs
        return cls(session.outputs, found)

    def to_bytes(self) -> bytes:
        """File of the answers, an .npz."""
        rows = list(self.by_batch.values())
        arrays = {
            str(number): np.concatenate([outputs[number] for outputs in rows])
            for number in range(len(self.names))
        }
        head = {"names": self.names, "sizes": [len(outputs[0]) for outputs in rows]}
        buffer = io.BytesIO()
        np.savez(
            buffer,
            allow_pickle=False,
            head=np.frombuffer(json.dumps(head).encode(), np.uint8),
            digests=np.frombuffer(b"".join(self.by_batch), np.uint8).reshape(-1, _DIGEST),
            **arrays,
        )
        return buffer.getvalue()

    @classmethod
    def of_bytes(cls, content: bytes) -> Answers:
        """Answers from the bytes of ``to_bytes``.

        Damaged bytes raise errors of NumPy and zipfile: read them inside ``reading``.
        """
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            head = json.loads(file["head"].tobytes())
            digests = [digest.tobytes() for digest in file["digests"]]
            ends = np.cumsum(head["sizes"])[:-1]
            outputs = [np.split(file[str(n)], ends) for n in range(len(head["names"]))]
        rows = zip(*outputs, strict=True)
        return cls(tuple(head["names"]), dict(zip(digests, rows, strict=True)))


class RememberedSession:
    """Session that looks batches up before it runs them; see ``Session``.

    Args:
        session: the network.
        answers: its answers to batches that were run before.
    """

    def __init__(self, session: Session, answers: Answers) -> None:
        self._session = session
        self._answers = answers

    @property
    def info(self) -> RuntimeInfo:
        """Runtime, version and kernels of the network."""
        return self._session.info

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the network's outputs."""
        return self._session.outputs

    def run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """Outputs that are known, or those that the network computes."""
        if self._session.outputs == self._answers.names:
            known = self._answers.by_batch.get(batch_digest(images))
            if known is not None:
                return known
        return self._session.run(images)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """See Session.predict; runs the network."""
        return self._session.predict(images)

    def timed_call(self, image: np.ndarray) -> Callable[[], object]:
        """See Session.timed_call; runs the network."""
        return self._session.timed_call(image)
