"""Every registered operator has its form in every room; an empty cell is named."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from evaluation.parity.integer_steps import STEP_KINDS
from export.bundles.resolver_methods import RESOLVER_METHODS
from export.c.program import LOWERINGS
from export.onnx.operators import WRITERS as ONNX_WRITERS
from network.operators import TRAITS, OperatorTraits, OpKind, ResultScale, traits_of
from network.oracle.model import KERNELS as INTEGER_KERNELS
from network.run_tensorflow import KERNELS as FLOAT_KERNELS

ROOMS: dict[str, Collection[str]] = {
    "float": FLOAT_KERNELS,
    "TFLite": [kind for kind, row in TRAITS.items() if row.int8_version is not None],
    "ONNX": ONNX_WRITERS,
    "oracle": INTEGER_KERNELS,
    "parity": STEP_KINDS,
    "TFLite Micro": RESOLVER_METHODS,
    "C": LOWERINGS,
}
"""Kinds that each room supports."""


def needs(kind: OpKind, room: str) -> bool:
    """Whether a room must support a kind: parity compares operators that compute in integers."""
    if room == "TFLite Micro":
        return kind not in _NOT_IN_MICRO
    if room != "parity":
        return True
    row = traits_of(kind)
    # Moved integers are those of an operator before; ONNX Runtime's softmax stays in float.
    return kind is not OpKind.SOFTMAX and (not row.moves or kind in _COMPARED_MOVES)


_COMPARED_MOVES = (OpKind.MAX_POOL, OpKind.CONCATENATION, OpKind.MAXIMUM, OpKind.MINIMUM)
_NOT_IN_MICRO = (OpKind.GELU, OpKind.RELU_N1_TO_1, OpKind.RELU_0_TO_1)
"""Kinds without a kernel in TFLite Micro, which a bundle for microcontrollers names and refuses."""


def test_every_kind_has_a_row() -> None:
    assert set(TRAITS) == set(OpKind)


@pytest.mark.parametrize("room", ROOMS)
def test_no_cell_is_empty(room: str) -> None:
    empty = [kind.value for kind in OpKind if needs(kind, room) and kind not in ROOMS[room]]
    assert not empty, f"{room} lacks {', '.join(empty)}"


def test_kinds_have_the_names_of_the_schema() -> None:
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    assert all(hasattr(BuiltinOperator, kind.value) for kind in OpKind)


def test_an_unknown_kind_has_a_row_without_integers() -> None:
    row = traits_of("COS")
    assert (row.int8_version, row.int16_version, row.weighted, row.tied) == (None,) * 2 + (
        False,
    ) * 2


def test_fixed_parameters_go_with_a_fixed_result() -> None:
    with pytest.raises(ValueError, match="fixed parameters"):
        OperatorTraits(OpKind.MUL, fixed=(1.0, 0))
    with pytest.raises(ValueError, match="fixed parameters"):
        OperatorTraits(OpKind.MUL, result=ResultScale.FIXED)


def test_what_moves_integers_has_the_parameters_of_its_input() -> None:
    """An operator with two scales would round."""
    assert [kind for kind, row in TRAITS.items() if row.moves and not row.tied] == []
