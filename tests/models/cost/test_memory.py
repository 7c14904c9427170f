"""Peak memory over execution orders, compared with the enumeration of all orders."""

from __future__ import annotations

from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.cost import memory
from models.cost.graph import LayerGraph, Operator, Role, fused
from models.cost.memory import peak_memory


def graph(*operators: tuple[tuple[int, ...], int], sizes: list[int], outputs: tuple[int, ...]):
    """Graph of operators (inputs, output) with input tensor 0; ``sizes`` has all tensors."""
    return LayerGraph(
        tuple(
            Operator(f"op{i}", "Op", Role.OTHER, inputs, (output,))
            for i, (inputs, output) in enumerate(operators)
        ),
        tuple((size,) for size in sizes),
        (0,),
        outputs,
    )


@st.composite
def graphs(draw: st.DrawFn) -> LayerGraph:
    count = draw(st.integers(1, 6))
    operators = []
    for i in range(count):
        inputs = draw(st.lists(st.integers(0, i), min_size=1, max_size=3, unique=True))
        operators.append((tuple(inputs), i + 1))
    sizes = draw(st.lists(st.integers(1, 9), min_size=count + 1, max_size=count + 1))
    asked = draw(st.sets(st.integers(1, count), min_size=1))
    return graph(*operators, sizes=sizes, outputs=tuple(sorted(asked)))


def peak_of(graph: LayerGraph, order: tuple[int, ...]) -> int | None:
    """Peak of an order by definition, tensor by tensor; None if an input is missing."""
    made, ran, peak = set(graph.inputs), set(), 0
    for position in order:
        operator = graph.operators[position]
        if not set(operator.inputs) <= made:
            return None
        needed = {
            t
            for t in made
            if t in graph.outputs
            or any(t in o.inputs for i, o in enumerate(graph.operators) if i not in ran)
        }
        peak = max(peak, sum(graph.elements(t) for t in needed | set(operator.outputs)))
        made |= set(operator.outputs)
        ran.add(position)
    return peak


@given(graphs())
def test_it_is_the_least_over_all_orders(graph: LayerGraph) -> None:
    peaks = [peak_of(graph, order) for order in permutations(range(len(graph.operators)))]
    found = peak_memory(graph)
    assert found.exact
    assert found.elements == min(peak for peak in peaks if peak is not None)
    assert found.elements == peak_of(graph, found.order)
    assert max(found.live) == found.elements


@given(st.lists(st.integers(1, 9), min_size=2, max_size=8))
def test_a_chain_takes_its_largest_pair_of_neighbours(sizes: list[int]) -> None:
    chain = graph(
        *(((i,), i + 1) for i in range(len(sizes) - 1)), sizes=sizes, outputs=(len(sizes) - 1,)
    )
    pairs = [a + b for a, b in pairwise(sizes)]
    assert peak_memory(chain).elements == max(pairs)


def test_the_order_matters_and_the_better_one_is_found() -> None:
    """Two branches that swell and shrink: the one that shrinks more goes first."""
    swelling = graph(
        ((0,), 1), ((1,), 2), ((0,), 3), ((3,), 4), ((2, 4), 5),
        sizes=[1, 10, 5, 12, 1, 1], outputs=(5,),
    )  # fmt: skip
    assert peak_of(swelling, (0, 1, 2, 3, 4)) == 18
    assert peak_memory(swelling).elements == 16
    assert peak_memory(swelling).order == (2, 3, 0, 1, 4)


def test_a_shortcut_lives_as_long_as_it_is_needed() -> None:
    block = graph(((0,), 1), ((1,), 2), ((2,), 3), ((0, 3), 4), sizes=[2, 8, 8, 2, 2], outputs=(4,))
    assert peak_memory(block).elements == 2 + 8 + 8


def test_a_graph_that_is_too_wide_keeps_its_order_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fan = graph(
        *(((0,), i) for i in range(1, 9)), (tuple(range(1, 9)), 9), sizes=[1] * 10, outputs=(9,)
    )
    assert peak_memory(fan).exact
    monkeypatch.setattr(memory, "MOST_CUTS", 10)
    found = peak_memory(fan)
    assert not found.exact
    assert found.order == tuple(range(9))
    assert found.elements == peak_of(fan, found.order)


def test_fusing_stops_at_tensors_that_others_read() -> None:
    def operators(role: Role) -> tuple[Operator, ...]:
        return (
            Operator("conv", "Conv2D", Role.KERNEL, (0,), (1,), params=5, layers=("conv",)),
            Operator("next", "X", role, (1,), (2,), params=3, norm_params=3, layers=("next",)),
        )

    tensors = ((1,), (1,), (1,))
    whole = fused(LayerGraph(operators(Role.NORM), tensors, (0,), (2,)))
    assert [o.layers for o in whole.operators] == [("conv", "next")]
    assert (whole.operators[0].params, whole.operators[0].norm_params) == (8, 3)
    assert whole.operators[0].outputs == (2,)
    for graph in (
        LayerGraph(operators(Role.NORM), tensors, (0,), (1, 2)),
        LayerGraph(operators(Role.OTHER), tensors, (0,), (2,)),
    ):
        assert len(fused(graph).operators) == 2


def test_no_norm_goes_in_front_of_a_rectifier() -> None:
    roles = (Role.KERNEL, Role.RECTIFIER, Role.NORM, Role.RECTIFIER)
    graph = LayerGraph(
        tuple(Operator(str(i), "X", role, (i,), (i + 1,)) for i, role in enumerate(roles)),
        ((1,),) * 5,
        (0,),
        (4,),
    )
    assert [o.name for o in fused(graph).operators] == ["0", "2"]
