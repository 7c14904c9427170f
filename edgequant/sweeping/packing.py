"""Files of float passes: extremes and states of single batches, and a rescaling, as .npz."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from quantize.equalization.rescaling import Rescaling
from quantize.ranges.extremes import Extremes
from quantize.ranges.observers import RangeState, arrays_of, states_of
from quantize.settings import Granularity, WeightRange


def packed(batches: Sequence[Mapping[str, Extremes]]) -> bytes:
    """File of the extremes of each batch: ``[batches, channels]``, activations side by side."""
    return _packed(batches, {})


def unpacked(content: bytes) -> list[dict[str, Extremes]]:
    """Extremes of each batch, from the bytes of ``packed``."""
    return _unpacked(*_read(content))


def packed_states(batches: Sequence[Mapping[str, RangeState]]) -> bytes:
    """File of the states after each batch alone."""
    arrays = {
        f"{number}:{name}": array
        for number, states in enumerate(batches)
        for name, array in arrays_of(states.values()).items()
    }
    return _file({"batches": len(batches)}, arrays)


def unpacked_states(content: bytes) -> list[dict[str, RangeState]]:
    """States after each batch alone, from the bytes of ``packed_states``."""
    head, arrays = _read(content)
    found: list[dict[str, np.ndarray]] = [{} for _ in range(head["batches"])]
    for key, array in arrays.items():
        number, _, name = key.partition(":")
        found[int(number)][name] = array
    return [states_of(one) for one in found]


def packed_rescaling(rescaling: Rescaling) -> bytes:
    """File of a rescaling; equal ones have equal bytes."""
    typical = [] if rescaling.typical is None else [rescaling.typical]
    head = {
        "granularity": rescaling.granularity.value,
        "weight_range": rescaling.weight_range.value,
        "keeps_steps": rescaling.keeps_steps,
    }
    return _packed([rescaling.spans, rescaling.beyond, *typical], head)


def unpacked_rescaling(content: bytes) -> Rescaling:
    """Rescaling from the bytes of ``packed_rescaling``."""
    head, arrays = _read(content)
    spans, beyond, *typical = _unpacked(head, arrays)
    return Rescaling(
        spans,
        typical[0] if typical else None,
        beyond,
        Granularity(head["granularity"]),
        WeightRange(head["weight_range"]),
        head["keeps_steps"],
    )


def _packed(batches: Sequence[Mapping[str, Extremes]], head: Mapping[str, Any]) -> bytes:
    names = list(batches[0])
    widths = [len(batches[0][name].low) for name in names]
    low = np.stack([np.concatenate([spans[name].low for name in names]) for spans in batches])
    high = np.stack([np.concatenate([spans[name].high for name in names]) for spans in batches])
    return _file({**head, "names": names, "widths": widths}, {"low": low, "high": high})


def _unpacked(
    head: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> list[dict[str, Extremes]]:
    ends = np.cumsum(head["widths"])[:-1]
    found = []
    for low, high in zip(arrays["low"], arrays["high"], strict=True):
        both = zip(np.split(low, ends), np.split(high, ends), strict=True)
        found.append(dict(zip(head["names"], (Extremes(*span) for span in both), strict=True)))
    return found


def _file(head: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    written = np.frombuffer(json.dumps(head).encode(), np.uint8)
    np.savez_compressed(buffer, allow_pickle=False, **{**arrays, "head": written})
    return buffer.getvalue()


def _read(content: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return json.loads(arrays.pop("head").tobytes()), arrays
