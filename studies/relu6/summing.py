"""From the rows of single networks to results over several seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from studies.relu6.bits import ENGINE, FILE
from studies.relu6.half import BinadeRow, HalfRow
from studies.relu6.layers import Ranges
from studies.relu6.measured import MOST_DB, Measured, Subject, contrast, summaries
from studies.relu6.networks import Kind, Variant
from studies.relu6.results import ContrastRow, DropRow, NetworkRow, NoiseRow, Results
from studies.relu6.spiral import SpiralRow
from studies.relu6.statistics import half_width, over_seeds_and_images
from studies.relu6.why import HistogramRow, LayerRow, SpreadRow

SHOWN_SEED = 1
"""Seed of the networks whose single layers are stored."""

BEFORE_ENGINE = "before the engine"
"""Name of the plain files that the engine's files are compared with."""

USUAL = Kind().name
"""Kind that the others are compared with: the paper's."""


@dataclass
class Rows:
    """Rows of single networks, from the steps of the study."""

    cards: dict[Variant, dict[str, Any]] = field(default_factory=dict)
    bits: list[Measured] = field(default_factory=list)
    layers: list[LayerRow] = field(default_factory=list)
    spread: list[SpreadRow] = field(default_factory=list)
    histograms: list[HistogramRow] = field(default_factory=list)
    half: list[HalfRow] = field(default_factory=list)
    binades: list[BinadeRow] = field(default_factory=list)
    calibration: list[Measured] = field(default_factory=list)
    breaking: list[Measured] = field(default_factory=list)
    spirals: list[SpiralRow] = field(default_factory=list)

    def add(self, variant: Variant, card: dict[str, Any]) -> None:
        """Add a network and its card."""
        self.cards[variant] = card

    def take(self, step: str, variant: Variant, rows: Any) -> None:
        """Add the rows of a step for a network."""
        if step == "why":
            self.layers += [LayerRow(**row) for row in rows["layers"]]
            self.spread += [SpreadRow(**row) for row in rows["spread"]]
            if variant.seed == SHOWN_SEED:
                self.histograms += [HistogramRow(**row) for row in rows["histograms"]]
        elif step == "half":
            self.half.append(HalfRow(**rows["half"]))
            self.binades += [BinadeRow(**row) for row in rows["binades"]]
        else:
            getattr(self, step).extend(Measured.from_dict(row) for row in rows)


def results_of(rows: Rows) -> Results:
    """Results from the rows of all networks."""
    return Results(
        networks=tuple(_networks(rows)),
        drops=_drop_rows([*rows.bits, *_before_engine(rows.bits)]),
        contrasts=tuple(_contrasts(rows.bits)),
        noise=tuple(_noise(rows.layers)),
        layers=tuple(row for row in rows.layers if row.seed == SHOWN_SEED),
        spread=tuple(row for row in rows.spread if row.seed == SHOWN_SEED),
        histograms=tuple(rows.histograms),
        half=tuple(rows.half),
        binades=tuple(rows.binades),
        calibration=_drop_rows(rows.calibration),
        breaking=_drop_rows(rows.breaking),
        spiral=tuple(rows.spirals),
    )


def _drop_rows(rows: Iterable[Measured]) -> tuple[DropRow, ...]:
    return tuple(DropRow.of(summary) for summary in summaries(rows))


def _before_engine(rows: list[Measured]) -> Iterator[Measured]:
    """Rows of the plain files of the networks that the engine was measured on."""
    with_engine = {
        (r.subject.kind, r.seed, r.subject.weights) for r in rows if r.subject.what == ENGINE
    }
    for row in rows:
        subject = row.subject
        if (subject.what, subject.runtime) == ("int8", FILE) and (
            (subject.kind, row.seed, subject.weights) in with_engine
        ):
            yield replace(row, subject=replace(subject, what=BEFORE_ENGINE))


def _networks(rows: Rows) -> Iterator[NetworkRow]:
    first = {(row.subject.kind, row.seed): row for row in rows.bits}
    for variant, card in rows.cards.items():
        right = first[variant.kind.name, variant.seed].float_right
        yield NetworkRow(
            variant.kind.name,
            variant.seed,
            float(card["development_top1_percent"]),
            float(right.mean() * 100),
            len(right),
        )


def _contrasts(rows: list[Measured]) -> Iterator[ContrastRow]:
    """Comparisons of every kind with the paper's: in float, and in the drop of every setting."""
    groups: dict[Subject, list[Measured]] = {}
    for row in rows:
        groups.setdefault(row.subject, []).append(row)
    floats = {kind: _first(groups, kind) for kind in _kinds(groups)}
    for kind in (k for k in floats if k != USUAL):
        one, two = _common(floats[kind], floats[USUAL])
        errors = [np.stack([~row.float_right for row in rows]) * 100.0 for rows in (one, two)]
        more = over_seeds_and_images(errors[0] - errors[1])
        subject = Subject(kind)
        yield ContrastRow.of(subject, Subject(USUAL), "float error", more, len(one))
    for subject, group in groups.items():
        if subject.kind == USUAL:
            continue
        for ranges in {subject.ranges: None, **_rivals(subject)}:
            usual = replace(subject, kind=USUAL, ranges=ranges, where="every tensor")
            if usual in groups and subject.where == "every tensor":
                one, two = _common(group, groups[usual])
                what = "drop" if subject.what == "int8" else f"drop, {subject.what}"
                if subject.runtime == "simulated":
                    more = contrast(one, two)
                    yield ContrastRow.of(subject, usual, what, more, len(one))


def _rivals(subject: Subject) -> dict[str, None]:
    """Further methods of ReLU6's ranges to compare with: the fixed ones, for MIN_MAX."""
    return {Ranges.FIXED.value: None} if subject.ranges == Ranges.MIN_MAX.value else {}


def _first(groups: dict[Subject, list[Measured]], kind: str) -> list[Measured]:
    return next(group for subject, group in groups.items() if subject.kind == kind)


def _kinds(groups: dict[Subject, list[Measured]]) -> list[str]:
    return list(dict.fromkeys(subject.kind for subject in groups))


def _common(first: list[Measured], second: list[Measured]) -> tuple[list[Measured], list[Measured]]:
    seeds = [row.seed for row in first if row.seed in {other.seed for other in second}]
    return (
        [row for row in first if row.seed in seeds],
        [row for row in second if row.seed in seeds],
    )


def _noise(rows: list[LayerRow]) -> Iterator[NoiseRow]:
    groups: dict[tuple[str, str, str, int], list[LayerRow]] = {}
    for row in rows:
        groups.setdefault((row.kind, row.role, row.ranges, row.bits), []).append(row)
    for (kind, role, ranges, bits), group in groups.items():
        seeds = sorted({row.seed for row in group})
        own = np.asarray([np.mean([r.own_db for r in group if r.seed == s]) for s in seeds])
        cut = [row.clipping_db for row in group if row.clipping_db < MOST_DB]
        yield NoiseRow(
            kind,
            role,
            ranges,
            bits,
            len(seeds),
            len(group) // len(seeds),
            float(np.exp(np.mean([np.log(row.step) for row in group]))),
            float(np.mean([row.rounding_db for row in group])),
            100.0 * len(cut) / len(group),
            float(np.mean(cut)) if cut else MOST_DB,
            float(own.mean()),
            half_width(own) if len(seeds) > 1 else 0.0,
            float(np.mean([row.through_db for row in group])),
            100.0 * float(np.mean([row.narrow for row in group])),
            float(np.mean([row.lost_bits for row in group])),
        )
