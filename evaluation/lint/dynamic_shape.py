"""Fault: sizes known only at run time, which delegates and accelerators refuse."""

from __future__ import annotations

from evaluation.lint.check import LintCheck, Outcome, clean, found
from evaluation.lint.subject import Subject

_AXES = ("batch", "height", "width", "channels")
_SHAPING = ("SHAPE", "PACK", "STRIDED_SLICE", "Shape", "Gather", "Concat", "Unsqueeze", "Slice")
"""Operators that compute sizes in a file with SHAPE or Shape."""


def run(subject: Subject) -> Outcome:
    """Look for free axes of the input, and for operators that compute sizes at run time.

    A free batch alone is not a fault: LiteRT and ONNX Runtime fix it when they load the file.
    """
    shape = subject.shape
    names = _axes(shape)
    free = [name for name, size in zip(names, shape, strict=False) if size is None]
    operators = () if subject.inspection is None else subject.inspection.operators
    shaping = {o.name: o.count for o in operators if o.name in _SHAPING}
    shape_operators = shaping.get("SHAPE", 0) + shaping.get("Shape", 0)
    figures = {"free_axes": len(free), "shape_operators": shape_operators}
    sentence = f"input {[size if size is not None else 'free' for size in shape]}"
    if shape_operators:
        listed = ", ".join(f"{count} {name}" for name, count in shaping.items())
        sentence += f"; sizes are computed at run time by {listed}"
    if not shape_operators and set(free) <= {"batch"}:
        return clean(sentence, **figures)
    return found(sentence, "export the network with one fixed input shape", **figures)


def _axes(shape: tuple[int | None, ...]) -> tuple[str, ...]:
    """Names of the axes of an input."""
    if len(shape) != 4:
        return ("batch", *(f"axis {number}" for number in range(1, len(shape))))
    return _AXES if shape[1] != 3 else ("batch", "channels", *_AXES[1:3])


CHECK = LintCheck(
    "dynamic-shape", "sizes that are known at run time only", run, needs_images=False, order=41
)
