"""Fault: some operators of an integer file compute in float."""

from __future__ import annotations

from evaluation.lint.check import LintCheck, Outcome, State, clean, found
from evaluation.lint.subject import Subject

FLOAT_ENDS = (
    "QUANTIZE", "DEQUANTIZE", "QuantizeLinear", "DequantizeLinear", "Transpose", "Reshape",
    "Flatten", "Squeeze",
)  # fmt: skip
"""Operators that convert between floats and integers, or only move values."""


def run(subject: Subject) -> Outcome:
    """Count the operators that compute in float among those that compute."""
    if subject.inspection is None:
        return Outcome(State.NOT_MEASURED, "a Keras model computes in float throughout")
    computing = [o for o in subject.inspection.operators if o.name not in FLOAT_ENDS]
    floats = [o for o in computing if o.compute.startswith("float")]
    integers = sum(o.count for o in computing if o.compute.startswith(("int", "uint")))
    total = sum(o.count for o in computing)
    count = sum(o.count for o in floats)
    figures = {"float_operators": count, "integer_operators": integers, "operators": total}
    sentence = f"{count} of {total} operators compute in float"
    if not count or not any(t.scale for t in subject.inspection.tensors) or not integers:
        return clean(sentence, **figures)
    names = ", ".join(f"{o.count} {o.name}" for o in floats[:5])
    remedy = "replace them by operators that the format has in int8, or quantize them"
    return found(f"{sentence}: {names}", remedy, **figures)


CHECK = LintCheck(
    "silent-float", "float operators in an integer file", run, needs_images=False, order=40
)
