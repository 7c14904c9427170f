"""Comparison of the scales, zero points and integers in a .tflite and an .onnx."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.parity.integer_steps import Step, StepKind, tflite_steps
from evaluation.parity.onnx_steps import onnx_steps
from network.affine import QuantParams


@dataclass(frozen=True)
class Difference:
    """A difference between the two files.

    Attributes:
        step: name of the result in the .tflite.
        part: ``result``, ``weight``, ``bias`` or ``graph``.
        detail: both values, that of the .tflite first.
    """

    step: str
    part: str
    detail: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"step": self.step, "part": self.part, "detail": self.detail}


@dataclass(frozen=True)
class Pair:
    """The same step in both files.

    Attributes:
        tflite: step of the .tflite.
        onnx: step of the .onnx.
    """

    tflite: Step
    onnx: Step


@dataclass(frozen=True)
class IntegerParity:
    """Result of the comparison of two files.

    Attributes:
        pairs: matched steps, in the order of the .tflite.
        tensors: number of compared results, weights and biases.
        integers: number of compared integers in weights and biases.
        differences: all differences; empty where both files have the same integers.
    """

    pairs: tuple[Pair, ...]
    tensors: int
    integers: int
    differences: tuple[Difference, ...]

    @property
    def same(self) -> bool:
        """Whether both files have the same integers."""
        return not self.differences


def compare_files(tflite: Path, onnx: Path) -> IntegerParity:
    """Compare two int8 files, tensor by tensor.

    Steps of a kind are matched by name where both files have the same names, and by their order
    where they do not.

    Args:
        tflite: path of an int8 .tflite.
        onnx: path of an int8 .onnx in QDQ form.

    Raises:
        InvalidInputError: a file that cannot be read.
        UnsupportedError: a file that is not int8.
    """
    pairs, missing = _matched(tflite_steps(tflite), onnx_steps(onnx))
    differences = [*missing, *(difference for pair in pairs for difference in _differences(pair))]
    stored = [a for pair in pairs for a in (pair.tflite.weight, pair.tflite.bias) if a is not None]
    return IntegerParity(
        tuple(pairs), len(pairs) + len(stored), sum(a.size for a in stored), tuple(differences)
    )


def _matched(
    first: tuple[Step, ...], second: tuple[Step, ...]
) -> tuple[list[Pair], list[Difference]]:
    """Pairs in the order of the first file, and a difference for each kind with other counts."""
    numbered_pairs: list[tuple[int, Pair]] = []
    missing = []
    for kind in StepKind:
        numbered = [(number, step) for number, step in enumerate(first) if step.kind is kind]
        left = [step for _, step in numbered]
        right = [step for step in second if step.kind is kind]
        if len(left) != len(right):
            detail = f"{len(left)} against {len(right)} steps of the kind {kind.value}"
            missing.append(Difference("", "graph", detail))
            continue
        names = {step.name: step for step in right}
        if len(names) == len(right) and Counter(names) == Counter(step.name for step in left):
            right = [names[step.name] for step in left]
        numbered_pairs += [
            (number, Pair(a, b)) for (number, a), b in zip(numbered, right, strict=True)
        ]
    numbered_pairs.sort(key=lambda entry: entry[0])
    return [pair for _, pair in numbered_pairs], missing


def _differences(pair: Pair) -> Iterator[Difference]:
    a, b = pair.tflite, pair.onnx
    details = [("result", detail) for detail in _params_differ(a.result, b.result)]
    details += [("weight", d) for d in _params_differ(a.weight_params, b.weight_params)]
    details += [("weight", detail) for detail in _integers_differ(a.weight, b.weight)]
    details += [("bias", d) for d in _scales_differ(a.bias_params, b.bias_params)]
    details += [("bias", detail) for detail in _integers_differ(a.bias, b.bias)]
    for part, detail in details:
        yield Difference(a.name, part, detail)


def _params_differ(a: QuantParams | None, b: QuantParams | None) -> Iterator[str]:
    yield from _scales_differ(a, b)
    if a is not None and b is not None and a.zero_point != b.zero_point:
        yield f"zero point {a.zero_point[0]} against {b.zero_point[0]}"


def _scales_differ(a: QuantParams | None, b: QuantParams | None) -> Iterator[str]:
    if a is None or b is None:
        if a is not b:
            words = ["no integers" if params is None else "integers" for params in (a, b)]
            yield " against ".join(words)
        return
    if len(a.scale) != len(b.scale):
        yield f"{len(a.scale)} against {len(b.scale)} scales"
        return
    differ = [i for i, (x, y) in enumerate(zip(a.scale, b.scale, strict=True)) if x != y]
    if differ:
        x, y = a.scale[differ[0]], b.scale[differ[0]]
        yield f"{len(differ)} of {len(a.scale)} scales, first {x:.9g} against {y:.9g}"


def _integers_differ(a: np.ndarray | None, b: np.ndarray | None) -> Iterator[str]:
    if a is None or b is None:
        return  # none in both files, or one in float, which is a difference of the parameters
    if a.shape != b.shape:
        yield f"shape {list(a.shape)} against {list(b.shape)}"
    elif not np.array_equal(a, b):
        steps = np.abs(a - b)
        yield f"{np.count_nonzero(steps)} of {a.size} integers, by up to {steps.max()}"
