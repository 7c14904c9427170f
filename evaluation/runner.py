"""Inference over a stream of images, on several cores and in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from evaluation.schedule import Ran, Schedule
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np

    from evaluation.session import RuntimeInfo, Session


class Batch(Protocol):
    """Preprocessed images of a set, with labels and indices."""

    @property
    def images(self) -> np.ndarray:
        """Preprocessed, float32 ``[b, height, width, 3]``."""
        ...

    @property
    def labels(self) -> np.ndarray | None:
        """True class of each image, int64 ``[b]``; None for images without classes."""
        ...

    @property
    def indices(self) -> np.ndarray:
        """Indices of the images in the set, int64 ``[b]``, each only once."""
        ...

    @property
    def sizes(self) -> np.ndarray:
        """Height and width of each photo in pixels, int64 ``[b, 2]``."""
        ...


Reduction = Callable[[Mapping[str, tuple["np.ndarray", ...]], Batch], Mapping[str, "np.ndarray"]]
"""Statistics of a group of outputs on one batch, for outputs that are too large to be kept.

Takes the group's outputs of every network, each ``[b, ...]``, by the network's name, and the batch;
gives one row of statistics for each image, ``[b, ...]`` by the network's name; a structured dtype
holds rows of several arrays. The first network is the one that the others are compared with. It
runs in the worker threads.
"""


@dataclass(frozen=True)
class Group:
    """Outputs of a network that are one answer.

    Attributes:
        name: its name in the results.
        outputs: names of the outputs as the first network has them.
        reduction: what is kept of them; None to keep the only output whole.
        instead: names of the outputs that a network may have in the place of all its own, and
            which the reduction tells apart from them; empty for none.
    """

    name: str
    outputs: tuple[str, ...]
    reduction: Reduction | None = None
    instead: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.reduction is None and len(self.outputs) != 1:
            raise ValueError("outputs that are one answer need a reduction")


def each_alone(outputs: tuple[str, ...]) -> tuple[Group, ...]:
    """A group for each output, kept whole."""
    return tuple(Group(name, (name,)) for name in outputs)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Outputs of several networks for the same images, in the order of ``indices``.

    Attributes:
        by_output: float32 ``[n, ...]`` by the name of the output or group and that of the network,
            or what a ``Reduction`` made of it.
        labels: true classes, int64 ``[n]``; None for images without classes.
        indices: indices of the images in the set, int64 ``[n]``, ascending.
        infos: runtime, version and kernels by the name of the network.
    """

    by_output: dict[str, dict[str, np.ndarray]]
    labels: np.ndarray | None
    indices: np.ndarray
    infos: dict[str, RuntimeInfo]

    @property
    def outputs(self) -> dict[str, np.ndarray]:
        """First or only output by the name of the network."""
        return next(iter(self.by_output.values()))


def predict_all(
    open_session: Callable[[], Session],
    batches: Iterable[Batch],
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Run one network over a stream of images, as ``predict_many`` runs several.

    Returns:
        First output, float32 ``[n, ...]``, and labels, int64 ``[n]``, in the order of the indices;
        None in the place of labels for images without.
    """
    results = predict_many({"": open_session}, batches, workers, progress)
    return results.outputs[""], results.labels


def predict_many(
    open_sessions: Mapping[str, Callable[[], Session]],
    batches: Iterable[Batch],
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
    groups: Callable[[tuple[str, ...]], tuple[Group, ...]] = each_alone,
) -> Predictions:
    """Run several networks over one stream of images, so that all get identical tensors.

    There is one session of every network for each worker thread. The networks are opened at the
    same time; those that are open run the batches that are there (``evaluation.schedule``, which
    says how many may be). Batches are taken from the stream in the calling thread. Only outputs
    stay in memory, images do not; of an output with a reduction, only its statistics. The outputs
    have the names and the order of the first network's; another network's are found by name, or by
    their place if it has other names.

    Args:
        open_sessions: by name, a function that opens a session; called ``workers`` times.
        batches: batches of images, in any order.
        workers: number of threads; sessions should have one thread each.
        progress: called in the calling thread with the number of finished images.
        groups: names of the first network's outputs -> groups of them.

    Raises:
        InvalidInputError: no images, no network, fewer than one worker, or networks with different
            numbers of outputs.
        ValueError: an index that occurs twice.

    Errors of a session, the stream or ``progress`` are raised here, after the running batches have
    ended; waiting batches are dropped.
    """
    if workers < 1 or not open_sessions:
        raise InvalidInputError(
            "evaluation needs one worker and one network at least",
            received=f"{workers} workers and {len(open_sessions)} networks",
            remedy="give more",
        )
    finished: list[_FinishedBatch] = []
    images = 0
    # Closed here, so that an error in progress stops the workers before it reaches the caller.
    schedule = Schedule[Batch, _FinishedBatch](open_sessions, workers, partial(_finished, groups))
    with closing(schedule.results(batches)) as results:
        for result in results:
            finished.append(result)
            images += len(result.indices)
            if progress is not None:
                progress(images)
    return _joined(finished, schedule.infos)


@dataclass(frozen=True, eq=False)
class _FinishedBatch:
    """One finished batch, without its images; outputs as in ``Predictions.by_output``."""

    outputs: dict[str, dict[str, np.ndarray]]
    labels: np.ndarray | None
    indices: np.ndarray


def _finished(
    groups: Callable[[tuple[str, ...]], tuple[Group, ...]], batch: Batch, ran: Mapping[str, Ran]
) -> _FinishedBatch:
    """What is kept of the outputs of all networks on a batch."""
    names = next(iter(ran.values())).names
    outputs = {}
    for group in groups(names):
        arrays = {
            name: _of_group(group, names, one.arrays, one.names, name) for name, one in ran.items()
        }
        if group.reduction is None:
            outputs[group.name] = {name: array for name, (array,) in arrays.items()}
        else:
            outputs[group.name] = dict(group.reduction(arrays, batch))
    return _FinishedBatch(outputs, batch.labels, batch.indices)


def _of_group(
    group: Group,
    names: tuple[str, ...],
    arrays: tuple[np.ndarray, ...],
    own: tuple[str, ...],
    source: str,
) -> tuple[np.ndarray, ...]:
    """Outputs of one network that are in a group, in its order; arguments as of ``in_order``."""
    if group.instead and set(own) == set(group.instead):
        return in_order(arrays, own, group.instead, source)
    ordered = in_order(arrays, own, names, source)
    return tuple(ordered[names.index(output)] for output in group.outputs)


def in_order(
    arrays: tuple[np.ndarray, ...], names: tuple[str, ...], wanted: tuple[str, ...], source: str
) -> tuple[np.ndarray, ...]:
    """Outputs of a file in the order of another network's outputs.

    Args:
        arrays: outputs of the file.
        names: their names.
        wanted: names in the wanted order; names that the file does not have stand for places.
        source: name of the file for an error.

    Raises:
        InvalidInputError: another number of outputs.
    """
    if len(arrays) != len(wanted):
        raise InvalidInputError(
            "networks that are compared have the same outputs",
            received=f"{source} with {', '.join(names)}, not {', '.join(wanted)}",
            remedy="compare files of one model",
        )
    if set(names) != set(wanted):
        return arrays
    by_name = dict(zip(names, arrays, strict=True))
    return tuple(by_name[name] for name in wanted)


def _joined(finished: list[_FinishedBatch], infos: dict[str, RuntimeInfo]) -> Predictions:
    import numpy as np

    if not any(len(batch.indices) for batch in finished):
        raise InvalidInputError(
            "evaluation needs one image at least", received="none", remedy="give more images"
        )
    indices = np.concatenate([batch.indices for batch in finished])
    order = np.argsort(indices, kind="stable")
    indices = indices[order]
    if (indices[1:] == indices[:-1]).any():
        raise ValueError("an index occurs twice in the stream of batches")
    labels = [batch.labels for batch in finished if batch.labels is not None]
    return Predictions(
        by_output={
            output: {
                name: np.concatenate([batch.outputs[output][name] for batch in finished])[order]
                for name in networks
            }
            for output, networks in finished[0].outputs.items()
        },
        labels=np.concatenate(labels)[order] if len(labels) == len(finished) else None,
        indices=indices,
        infos=infos,
    )
