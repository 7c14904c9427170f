"""Program of an int8 .tflite: its operators as kernel calls, in a schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from export.c.calls import KernelCall, Lowering, Site
from export.c.layout import ALIASES, Layout, is_image_mean
from export.c.patches import NONE, Patches, scheduled
from export.c.schedule import Schedule, layer_by_layer
from foundation.errors import UnsupportedError
from foundation.foreign import reading
from foundation.tables import joined
from network.graph import Op
from network.operators import OpKind
from network.oracle.model import IntegerModel
from network.oracle.reader import read_integers
from network.tflite.reader import read_flat_model

LOWERINGS: Mapping[str, Lowering] = joined(f"{__package__}.lowering", "LOWERINGS")
"""What is called for each kind of operator."""


@dataclass(frozen=True)
class Program:
    """A network as calls of kernels.

    Attributes:
        network: operators and tensors of the file.
        schedule: blocks in order, and the places of the tensors in the arena.
        calls: calls of each operator, by the operator's name.
    """

    network: IntegerModel = field(repr=False)
    schedule: Schedule
    calls: Mapping[str, tuple[KernelCall, ...]] = field(repr=False)

    @property
    def arena(self) -> int:
        """Bytes of the arena: input, outputs and everything between."""
        return self.schedule.plan.arena

    def offset(self, tensor: str) -> int:
        """First byte of an activation in the arena."""
        return self.schedule.plan.places[self.schedule.buffers[tensor]].offset


def lacking(kinds: set[str]) -> tuple[str, ...]:
    """Kinds of operators that no C kernel computes, in alphabetical order."""
    return tuple(sorted(kinds - set(map(str, LOWERINGS))))


def require_kernels(kinds: set[str], name: str) -> None:
    """Refuse a network with operators that no C kernel computes.

    Args:
        kinds: kinds of its operators, by TFLite's names.
        name: name of the network or the file.

    Raises:
        UnsupportedError: names all of them.
    """
    if unknown := lacking(kinds):
        raise UnsupportedError(
            "C sources hold operators that have an int8 kernel in C",
            received=f"{name} with {', '.join(unknown)}",
            remedy="replace these layers, or ship for microcontroller",
        )


def read_program(path: Path, *, by_rows: bool = True, patches: Patches = NONE) -> Program:
    """Program of an int8 file.

    Args:
        path: .tflite with int8 input and outputs.
        by_rows: whether chains of operators may run by rows where that lowers the arena.
        patches: patches that such chains may be cut into.

    Raises:
        InvalidInputError: no such file, or a damaged one.
        UnsupportedError: operators or types without a C kernel; names them.
    """
    graphs = read_flat_model(path).subgraphs
    require_kernels({op.name for op in graphs[0].operators}, path.name)
    network = read_integers(path)
    with reading(path, "a network has operators that fit together", "write it again"):
        return program_of(network, by_rows=by_rows, patches=patches)


def program_of(network: IntegerModel, *, by_rows: bool = True, patches: Patches = NONE) -> Program:
    """Program of a network of integers; raises the errors of ``read_program``."""
    calls = {op.name: _calls(Site(op, network.tensors)) for op in network.ops}
    layout = layout_of(network)
    planned = scheduled(layout, patches) if by_rows else layer_by_layer(layout)
    return Program(network, planned, calls)


def _calls(site: Site) -> tuple[KernelCall, ...]:
    site.require_int8()
    if site.op.kind in ALIASES and site.input().value is not None:
        raise site.refused("a stored input")
    return LOWERINGS[site.op.kind](site)


def layout_of(network: IntegerModel) -> Layout:
    """Operators and sizes of an int8 network."""
    return Layout(
        network.ops,
        {name: tensor.shape for name, tensor in network.tensors.items()},
        frozenset(n for n, tensor in network.tensors.items() if tensor.value is not None),
        (network.input,),
        network.outputs,
        frozenset(op.name for op in network.ops if _is_mean(op, network)),
    )


def _is_mean(op: Op, network: IntegerModel) -> bool:
    """Whether an operator is a mean over rows and columns."""
    axes = network.tensors[op.inputs[1]].value if op.kind == OpKind.MEAN else None
    return axes is not None and is_image_mean(axes, network.tensors[op.inputs[0]].shape)
