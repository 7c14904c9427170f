"""Patches: the integers of whole images, less memory, and what they compute twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.c.blocks import Block, Tiles, joined, multiply_adds, ring_bytes
from export.c.layout import Layout
from export.c.patches import MOST_EXTRA, Patches, scheduled
from export.c.program import Program, layout_of, program_of
from export.c.schedule import Schedule, plan_of
from export.tflite.target import TARGET
from foundation.errors import InvalidInputError
from network.graph import Op
from network.oracle.model import IntegerModel
from network.oracle.reader import read_integers
from quantize.recipes import recipe
from quantize.settings import IoType
from tests.export.c.chains import chains
from tests.export.c.compiled import SANITIZED, expected_of, needs_compiler, run, write_all
from tests.export.tflite import tflite_cases

FITS = Patches.of("at most 1 bytes")
"""As many patches as lower the arena."""


def cut(network: IntegerModel, rng: np.random.Generator) -> Program | None:
    """The network with a random chain in random patches; None where it has no chain."""
    layout = layout_of(network)
    first = int(rng.integers(0, max(len(layout.ops) - 2, 1)))
    for last in range(len(layout.ops), first + 1, -1):
        chain = joined(layout, [Block((op,)) for op in layout.ops[first:last]])
        if chain is None or chain.name in layout.means:  # a mean is of all rows
            continue
        _, height, width, _ = layout.shapes[chain.name]
        tiles = Tiles(int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1)))
        single = [Block((op,)) for op in layout.ops]
        blocks = [*single[:first], replace(chain, tiles=tiles), *single[last:]]
        buffers = layout.buffers()
        planned = Schedule(layout, tuple(blocks), plan_of(layout, blocks, buffers), buffers)
        return replace(program_of(network, by_rows=False), schedule=planned)
    return None


def faults(count: int, seed: int, folder: Path, *flags: str) -> list[str]:
    """What is wrong with so many random networks by patches, against the integer interpreter."""
    found, rng, number = [], np.random.default_rng(seed), 0
    for network in chains(seed):
        program = cut(network, rng)
        if program is None:
            continue
        image = rng.integers(-128, 128, network.tensors[network.input].shape).astype(np.int8)
        wanted = network.activations(image)[network.output].reshape(1, -1)
        sources = write_all(program, folder / str(number), image[None], wanted)
        if fault := run(sources, *flags):
            block = next(block for block in program.schedule.blocks if block.tiles)
            found.append(f"network {number}: {block.tiles} {network.ops}: {fault[:600]}")
        number += 1
        if number == count:
            return found
    return found


@needs_compiler
def test_patches_give_the_integers_of_the_interpreter(tmp_path: Path) -> None:
    assert faults(1, 11, tmp_path, "-O0") == []


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("seed", range(4))
def test_many_random_chains_by_patches(seed: int, tmp_path: Path) -> None:
    assert faults(25, 100 + seed, tmp_path, "-O0", *SANITIZED) == []


@pytest.mark.slow
@needs_compiler
def test_a_network_by_patches_gives_the_bits_of_the_reference_kernels(
    short_model: Any, tmp_path: Path
) -> None:
    path = tmp_path / "short.tflite"
    TARGET.write(
        tflite_cases.request(short_model, recipe("tflite-int8").with_io(IoType.INT8)), path
    )
    cuts = (cut(read_integers(path), np.random.default_rng(seed)) for seed in range(20))
    program = next(program for program in cuts if program is not None)
    assert any(block.tiles for block in program.schedule.blocks)
    sources = write_all(program, tmp_path / "c", *expected_of(path, 3))
    assert run(sources, "-O1", *SANITIZED) == ""


def stem(side: int = 16) -> Layout:
    """A wide stem as MobileNetV2 has it: 3x3, depthwise, 1x1 wide, depthwise of stride 2, 1x1."""
    options = {"padding": 0, "dilationHFactor": 1, "dilationWFactor": 1}
    shapes: dict[str, tuple[int, ...]] = {"image": (1, side, side, 3)}
    ops, source = [], "image"
    for number, (kind, taps, stride, channels) in enumerate(
        [
            ("CONV_2D", 3, 2, 16),
            ("DEPTHWISE_CONV_2D", 3, 1, 16),
            ("CONV_2D", 1, 1, 48),
            ("DEPTHWISE_CONV_2D", 3, 2, 48),
            ("CONV_2D", 1, 1, 8),
        ]
    ):
        name, depth = f"t{number}", shapes[source][3]
        side //= stride
        deep = kind.startswith("DEPTH")
        shapes[f"w{number}"] = (1, taps, taps, channels) if deep else (channels, taps, taps, depth)
        shapes[name] = (1, side, side, channels)
        strides = {"strideH": stride, "strideW": stride}
        ops.append(Op(kind, (source, f"w{number}"), (name,), options | strides))
        source = name
    stored = frozenset(name for name in shapes if name.startswith("w"))
    return Layout(tuple(ops), shapes, stored, ("image",), (source,))


def work(found: Schedule) -> int:
    return sum(multiply_adds(found.layout, block) for block in found.blocks)


def test_patches_are_cut_as_far_as_a_budget_needs_them() -> None:
    layout = stem()
    whole = scheduled(layout)
    least = scheduled(layout, FITS)
    assert least.plan.arena < whole.plan.arena
    assert scheduled(layout, Patches.of("none")) == whole
    assert scheduled(layout, Patches(0, whole.plan.arena)) == whole
    budget = (least.plan.arena + whole.plan.arena) // 2
    within = scheduled(layout, Patches(0, budget))
    assert within.plan.arena <= budget
    assert work(whole) < work(within) < work(least)


@pytest.mark.slow
def test_patches_of_auto_cost_a_tenth_at_most() -> None:
    layout = stem(32)
    whole, moderate = scheduled(layout), scheduled(layout, Patches.of("auto"))
    assert moderate.plan.arena < whole.plan.arena
    assert work(whole) < work(moderate) <= (1 + MOST_EXTRA) * work(whole)


def test_a_number_of_patches_is_that_of_rows_and_columns() -> None:
    found = scheduled(stem(), Patches.of("4"))
    tiles = [block.tiles for block in found.blocks if block.tiles]
    assert tiles == [Tiles(1, 1)]
    assert found.plan.steps[-1].kind.endswith("by patches")


def test_what_patches_compute_twice_is_counted() -> None:
    layout = stem(8)
    chain = joined(layout, [Block((op,)) for op in layout.ops])
    assert chain is not None
    # 2 x 2 results in patches of one: of 4 x 4, the depthwise windows of both begin at 0 and 2.
    tiled = replace(chain, tiles=Tiles(1, 1))
    rows = [3, 2]  # of the wide tensor, of which the row 2 is computed twice
    wide = sum(rows) ** 2 * 16 * 48
    narrow = 2 * 2 * (9 * 48 + 48 * 8)
    stem_depthwise = 25 * 9 * 16
    stem_rows = 4 + 3  # rows 0 to 3, and 1 to 3
    assert multiply_adds(layout, tiled) == wide + narrow + stem_depthwise + stem_rows**2 * 27 * 16
    assert ring_bytes(layout, tiled) < ring_bytes(layout, chain)


@pytest.mark.parametrize("text", ["none", "auto", "3", "at most 176128 bytes"])
def test_patches_are_written_as_they_are_read(text: str) -> None:
    assert Patches.of(text).text == text


@pytest.mark.parametrize("text", ["", "1", "17", "0", "-2", "2x2", "at most 0 bytes", "²", "autos"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="--patches takes none, auto, or a number"):
        Patches.of(text)
