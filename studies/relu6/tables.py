"""The tables of the page and of the docs."""

from __future__ import annotations

from collections.abc import Iterable

from reports.page import Cell, Column, Kind, Table
from studies.relu6.bits import ENGINE
from studies.relu6.grid import INT8_BITS
from studies.relu6.layers import BITS, Role
from studies.relu6.lookup import (
    ACTIVATION_KINDS,
    EVERY_KIND,
    FIXED,
    MIN_MAX,
    NAMES,
    PER_CHANNEL,
    PER_TENSOR,
    PERCENTILE,
    USUAL,
    Lookup,
    dropped,
    points,
    within,
)
from studies.relu6.results import DropRow, Results

Rows = tuple[tuple[Cell | str, ...], ...]


def networks(results: Results) -> Table:
    """Float accuracies of every kind."""
    rows: list[tuple[Cell | str, ...]] = []
    for kind in EVERY_KIND:
        of_kind = [row for row in results.networks if row.kind == kind]
        first = Lookup(results).floats(kind)
        development = sum(row.development for row in of_kind) / len(of_kind)
        rows.append(
            (
                NAMES[kind],
                Cell(str(len(of_kind)), len(of_kind)),
                Cell(f"{development:.2f}", development),
                Cell(f"{first.float_top1:.2f}", first.float_top1),
                Cell(", ".join(f"{row.test:.2f}" for row in of_kind), first.float_top1),
            )
        )
    columns = (
        Column("network"),
        Column("seeds", Kind.NUMBER),
        Column(
            "development, %", Kind.NUMBER, "mean top-1 on the held-out end of the training split"
        ),
        Column("test, %", Kind.NUMBER, "mean top-1"),
        Column("each seed, %", Kind.NUMBER),
    )
    return Table("Float accuracy. Nothing was chosen by the test images.", columns, tuple(rows))


def ladder(results: Results) -> Table:
    """Every drop of part 1 that is simulated."""
    rows: Rows = tuple(
        (
            NAMES[row.kind],
            row.weights,
            row.ranges,
            row.where,
            Cell(str(row.bits), row.bits),
            *_drop_cells(row),
        )
        for row in results.drops
        if row.what == "int8" and row.runtime == "simulated"
    )
    columns = (
        Column("network"),
        Column("weights"),
        Column("ranges"),
        Column("rounded", note="fused: all but the inputs of swish and hard swish"),
        Column("bits", Kind.NUMBER, "bits of activations; weights have 8"),
        *_DROP_COLUMNS,
    )
    return Table("Every simulated setting. Intervals: 95 %.", columns, rows)


def files(results: Results) -> Table:
    """Real files and their simulation."""
    look = Lookup(results)
    rows: list[tuple[Cell | str, ...]] = []
    for kind in ACTIVATION_KINDS:
        for weights in (PER_CHANNEL, PER_TENSOR):
            real, simulated = look.file(kind, weights), look.drop(kind, weights=weights)
            rows.append(
                (
                    NAMES[kind],
                    f"int8, {weights}",
                    Cell(f"{simulated.top1:.2f}", simulated.top1),
                    *_file_cells(real),
                )
            )
        rows.append(
            (
                NAMES[kind],
                "int8, this engine",
                Cell("-"),
                *_file_cells(look.file(kind, PER_CHANNEL, ENGINE)),
            )
        )
        simulated = look.drop(kind, 16, "float16", "float16", what="float16")
        rows.append(
            (
                NAMES[kind],
                "float16",
                Cell(f"{simulated.top1:.2f}", simulated.top1),
                *_file_cells(look.file(kind, "float16", "float16")),
            )
        )
    columns = (
        Column("network"),
        Column("file"),
        Column("simulated, %", Kind.NUMBER, "top-1"),
        Column("file, %", Kind.NUMBER, "top-1"),
        Column("drop, points", Kind.NUMBER),
        Column("interval", Kind.NUMBER),
        Column(
            "agreement, %",
            Kind.NUMBER,
            "images with the same answer of float and quantized network",
        ),
        Column("SQNR, dB", Kind.NUMBER, "SQNR of the scores"),
    )
    caption = (
        "Real .tflite files in LiteRT with XNNPACK. This project's engine was measured on one "
        "seed, with an interval over images only."
    )
    return Table(caption, columns, tuple(rows))


def _file_cells(row: DropRow) -> tuple[Cell, ...]:
    return (
        Cell(f"{row.top1:.2f}", row.top1),
        *_drop_cells(row)[:2],
        Cell(f"{row.agreement:.2f}", row.agreement),
        Cell(f"{row.sqnr:.1f}", row.sqnr),
    )


_DROP_COLUMNS = (
    Column("drop, points", Kind.NUMBER, "float top-1 minus quantized top-1"),
    Column("interval", Kind.NUMBER),
    Column("SQNR, dB", Kind.NUMBER, "SQNR of the scores"),
)


def _drop_cells(row: DropRow) -> tuple[Cell, ...]:
    return (
        Cell(points(row.drop), row.drop),
        Cell(f"{points(row.drop_low)} to {points(row.drop_high)}", row.drop_low),
        Cell(f"{row.sqnr:.1f}", row.sqnr),
    )


def noise(results: Results) -> Table:
    """Losses by role."""
    rows: Rows = tuple(
        (
            NAMES[row.kind],
            row.role,
            row.ranges,
            Cell(str(row.bits), row.bits),
            Cell(f"{row.step:.4g}", row.step),
            Cell(f"{row.rounding_db:.1f}", row.rounding_db),
            Cell(f"{row.clipping_db:.1f}" if row.clipped_layers else "none", row.clipping_db),
            Cell(f"{row.own_db:.1f} ± {row.own_half:.1f}", row.own_db),
            Cell(f"{row.through_db:.1f}", row.through_db),
            Cell(f"{row.lost_bits:.2f}", row.lost_bits),
            Cell(f"{row.narrow:.0f}", row.narrow),
        )
        for row in results.noise
        if row.role in (Role.ACTIVATED, Role.LINEAR, Role.BEFORE)
    )
    columns = (
        Column("network"),
        Column("tensors"),
        Column("ranges"),
        Column("bits", Kind.NUMBER),
        Column("step", Kind.NUMBER, "geometric mean of the steps"),
        Column("rounding, dB", Kind.NUMBER, "signal-to-noise ratio of rounding"),
        Column(
            "clipping, dB",
            Kind.NUMBER,
            "signal-to-noise ratio of clipping, where anything is clipped",
        ),
        Column("own, dB", Kind.NUMBER, "signal-to-noise ratio with only this tensor rounded"),
        Column("all, dB", Kind.NUMBER, "signal-to-noise ratio with every tensor rounded"),
        Column("bits unused", Kind.NUMBER, "bits that the median channel leaves unused"),
        Column("narrow, %", Kind.NUMBER, "channels that use less than a quarter of the range"),
    )
    return Table("Losses of the activations, averaged over layers and seeds.", columns, rows)


def half(results: Results) -> Table:
    """float16 by kind and seed."""
    rows: Rows = tuple(
        (
            NAMES[row.kind],
            Cell(str(row.seed), row.seed),
            Cell(f"{row.largest:.1f}", row.largest),
            Cell(f"{row.headroom:,.0f}", row.headroom),
            Cell(f"{100 * row.subnormal:.3f}", row.subnormal),
            Cell(f"{row.half_db:.1f}", row.half_db),
            Cell(f"{row.int8_db:.1f}", row.int8_db),
        )
        for row in results.half
    )
    columns = (
        Column("network"),
        Column("seed", Kind.NUMBER),
        Column("largest", Kind.NUMBER, "largest magnitude of a non-linear activation"),
        Column("headroom", Kind.NUMBER, "65,504 divided by the largest magnitude"),
        Column("subnormal, %", Kind.NUMBER, "values other than 0 below 2 to the -14"),
        Column("float16, dB", Kind.NUMBER, "signal-to-noise ratio of rounding"),
        Column("int8, dB", Kind.NUMBER, "signal-to-noise ratio of rounding"),
    )
    return Table("Non-linear activations in float16 and int8.", columns, rows)


def collapses(results: Results) -> Table:
    """Strongest collapse of each kind at 8 bits, and its repairs."""
    strongest: dict[tuple[str, str], float] = {}
    for row in results.breaking:
        if row.bits == INT8_BITS:
            key = (row.kind, row.what)
            strongest[key] = max(row.strength, strongest.get(key, 0.0))
    return _broken(
        "The strongest change of each kind, at 8 bits; the float network is the same.",
        (
            row
            for row in results.breaking
            if row.bits == INT8_BITS and row.strength == strongest[row.kind, row.what]
        ),
    )


def breaking(results: Results) -> Table:
    """Every collapse and repair."""
    return _broken("Networks broken on purpose; the float network is the same.", results.breaking)


def _broken(caption: str, drops: Iterable[DropRow]) -> Table:
    rows: Rows = tuple(
        (
            NAMES[row.kind],
            row.what,
            Cell(f"{row.strength:g}", row.strength),
            row.weights,
            row.ranges,
            Cell(str(row.bits), row.bits),
            row.repair,
            Cell(f"{row.top1:.2f}", row.top1),
            *_drop_cells(row)[:2],
        )
        for row in drops
    )
    columns = (
        Column("network"),
        Column("change"),
        Column("strength", Kind.NUMBER, "factor, or powers of two; 1 for a bad image"),
        Column("weights"),
        Column("ranges"),
        Column("bits", Kind.NUMBER),
        Column("repair"),
        Column("top-1, %", Kind.NUMBER),
        Column("drop, points", Kind.NUMBER),
        Column("interval", Kind.NUMBER),
    )
    return Table(caption, columns, rows)


def spiral(results: Results) -> Table:
    """What survives of the spiral after ReLU."""
    rows: Rows = tuple(
        (
            Cell(str(row.dimensions), row.dimensions),
            Cell(f"{row.error:.3f} ± {row.error_half:.3f}", row.error),
            Cell(f"{row.distinct:.1f} ± {row.distinct_half:.1f}", row.distinct),
            Cell(f"{row.recovered:.1f} ± {row.recovered_half:.1f}", row.recovered),
        )
        for row in results.spiral
    )
    columns = (
        Column("dimensions", Kind.NUMBER),
        Column("error after the way back", Kind.NUMBER, "relative, by the pseudo-inverse"),
        Column("points still distinct, %", Kind.NUMBER),
        Column("nearest neighbours preserved, %", Kind.NUMBER),
    )
    first = results.spiral[0]
    caption = f"{first.points} points, {first.seeds} random matrices per row; intervals: 95 %."
    return Table(caption, columns, rows)


def drops_markdown(results: Results) -> list[tuple[str, ...]]:
    """Rows of the docs' table of drops, its head first."""
    look = Lookup(results)
    head = ("activation", "weights", "ranges", *(f"{width} bits" for width in BITS))
    rows: list[tuple[str, ...]] = [head]
    for kind, weights, ranges in _settings():
        cells = (dropped(look.drop(kind, width, ranges, weights)) for width in BITS)
        rows.append((NAMES[kind], weights, ranges, *cells))
    return rows


def _settings() -> Iterable[tuple[str, str, str]]:
    for weights in (PER_CHANNEL, PER_TENSOR):
        for ranges in (MIN_MAX, PERCENTILE, FIXED):
            for kind in ACTIVATION_KINDS if ranges != FIXED else (USUAL,):
                yield kind, weights, ranges


def floats_markdown(results: Results) -> list[tuple[str, ...]]:
    """Rows of the docs' table of float accuracies, its head first."""
    rows: list[tuple[str, ...]] = [("network", "seeds", "top-1, %")]
    for kind in EVERY_KIND:
        row = Lookup(results).floats(kind)
        seeds = sum(network.kind == kind for network in results.networks)
        floats = _float_interval(results, kind)
        rows.append((NAMES[kind], str(seeds), floats or f"{row.float_top1:.2f}"))
    return rows


def _float_interval(results: Results, kind: str) -> str:
    tops = [row.test for row in results.networks if row.kind == kind]
    mean = sum(tops) / len(tops)
    return within(mean, min(tops), max(tops))


def spiral_markdown(results: Results) -> list[tuple[str, ...]]:
    """Rows of the docs' table of the spiral, its head first."""
    table = spiral(results)
    head = tuple(column.title for column in table.columns)
    return [
        head,
        *(tuple(c.text if isinstance(c, Cell) else c for c in row) for row in table.rows),
    ]
