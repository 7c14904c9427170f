"""Claims from the results, in sentences whose figures and words both come from the rows.

``docs/why-relu6.md`` and the page are made of these; nothing in them is written by hand that a
figure decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from studies.relu6.bits import ENGINE
from studies.relu6.layers import BITS
from studies.relu6.lookup import (
    ACTIVATION_KINDS,
    FIXED,
    FUSED,
    MIN_MAX,
    NAMES,
    OTHERS,
    PER_CHANNEL,
    PER_TENSOR,
    PERCENTILE,
    USUAL,
    Lookup,
    dropped,
    listed,
    points,
    sentence,
    verdict,
    within,
)
from studies.relu6.measured import MOST_DB
from studies.relu6.networks import TUNED
from studies.relu6.results import ContrastRow, Results
from studies.relu6.summing import BEFORE_ENGINE

COLLAPSE = 10.0
"""Drop in percentage points from which on it is called a collapse."""

NOTABLE = 1.0
"""Drop in percentage points below which it is called small."""


def size_of(drop: float) -> str:
    """Word for the size of a drop."""
    if drop >= COLLAPSE:
        return "a collapse"
    return "a loss" if drop >= NOTABLE else "a small loss" if drop > 0 else "no loss"


def summary(results: Results) -> str:
    """Answers to the three claims, one paragraph each."""
    look = Lookup(results)
    worst = max(OTHERS, key=lambda kind: look.drop(kind).drop)
    steepest = max(OTHERS, key=lambda kind: look.drop(kind, 4).drop)
    low = look.drop(steepest, 4)
    small = max(look.drop(kind).drop for kind in ACTIVATION_KINDS) < NOTABLE
    first = "every activation here is" if small else "not every activation is"
    robust = (
        f"**Is ReLU6 robust in low precision?** At 8 bits {first}: with weights per channel and "
        f"ranges from smallest to largest value, ReLU6 loses {dropped(look.drop(USUAL))} points "
        f"of top-1 and {NAMES[worst]}, which loses most of the others, "
        f"{dropped(look.drop(worst))}. At 4 bits {verdict_at(look, steepest, 4, MIN_MAX)}. "
        f"{percentile_clause(look, 4)}"
    )
    collapse = (
        f"**Did an unbounded activation make int8 collapse?** {swish_clause(look)} "
        f"At 4 bits {NAMES[steepest]} loses {dropped(low)} points with ranges from smallest to "
        f"largest value, {size_of(low.drop)}. {bad_image_clause(look)}"
    )
    information = (
        f"**Does ReLU on few channels destroy information?** {spiral_clause(results)} "
        f"{ablation_clause(look)}"
    )
    return "\n\n".join([robust, collapse, information])


def bad_image_clause(look: Lookup) -> str:
    """Effect of one calibration image that was not normalized, at 8 bits."""
    rows = {k: look.broken(k, "bad image", 1.0, ranges=MIN_MAX) for k in ACTIVATION_KINDS}
    worst = max(rows, key=lambda kind: rows[kind].drop)
    least = min(rows, key=lambda kind: rows[kind].drop)
    return (
        f"At 8 bits one calibration image whose pixels were not normalized is "
        f"{size_of(rows[worst].drop)} for {NAMES[worst]}, {dropped(rows[worst])} points, and "
        f"{size_of(rows[least].drop)} for {NAMES[least]}, {dropped(rows[least])}."
    )


def verdict_at(look: Lookup, kind: str, bits: int, ranges: str, weights: str = PER_CHANNEL) -> str:
    """Comparison of a kind's drop with ReLU6's in one setting."""
    return verdict(look.contrast(kind, bits, ranges, weights), NAMES[kind], NAMES[USUAL])


def percentile_clause(look: Lookup, bits: int) -> str:
    """Effect of ranges by percentile at the same number of bits."""
    parts = [f"{NAMES[k]} {dropped(look.drop(k, bits, PERCENTILE))}" for k in ACTIVATION_KINDS]
    return f"With ranges by percentile the losses at {bits} bits are {listed(parts)} points."


def swish_clause(look: Lookup) -> str:
    """Swish at 8 bits, in simulation and file, per channel and per tensor."""
    parts = [
        f"{dropped(look.drop('swish', weights=weights))} points with weights {weights}"
        for weights in (PER_CHANNEL, PER_TENSOR)
    ]
    worst = max(look.drop("swish", weights=w).drop for w in (PER_CHANNEL, PER_TENSOR))
    word = "It did here too" if worst >= COLLAPSE else "Not here by itself"
    return f"{word}: at 8 bits swish loses {listed(parts)}."


def spiral_clause(results: Results) -> str:
    """How much of the spiral survives in few and in many dimensions."""
    few, many = results.spiral[0], results.spiral[-1]
    word = "Yes" if few.distinct + few.distinct_half < many.distinct else "Not that it shows"
    return (
        f"{word}: of a spiral in {few.dimensions} dimensions ReLU leaves "
        f"{few.distinct:.0f} % (± {few.distinct_half:.0f}) of the points distinct, in "
        f"{many.dimensions} dimensions {many.distinct:.0f} %."
    )


def ablation_clause(look: Lookup) -> str:
    """Non-linear bottlenecks and the other placement of the shortcuts, in float accuracy."""
    words = []
    for kind, name in (
        ("relu6-non_linear", "a ReLU6 after every bottleneck"),
        ("relu6-expansions", "shortcuts between the expansions"),
    ):
        row = look.contrast(kind, 32, "float", "float", "float error")
        words.append(f"{name} {_cost(row)}")
    return sentence(f"in trained networks, {words[0]}; {words[1]}")


def _cost(row: ContrastRow) -> str:
    """Comparison of a kind's float error with ReLU6's."""
    by = within(abs(row.more), *sorted((abs(row.low), abs(row.high))))
    if row.low > 0:
        return f"costs {by} points of accuracy"
    if row.high < 0:
        return f"gains {by} points of accuracy"
    return f"shows no certain difference: {within(-row.more, -row.high, -row.low)} points"


def accuracy(results: Results) -> str:
    """Float accuracies, and which differ from ReLU6's."""
    look = Lookup(results)
    parts = [
        f"{NAMES[k]} {within(r.float_top1, r.float_top1, r.float_top1).split(' ')[0]} %"
        for k in ACTIVATION_KINDS
        for r in [look.floats(k)]
    ]
    costs = [
        f"{NAMES[k]} instead of ReLU6 "
        f"{_cost(look.contrast(k, 32, 'float', 'float', 'float error'))}"
        for k in OTHERS
    ]
    return f"In float the networks reach {listed(parts)}. {sentence('; '.join(costs))}"


def bits(results: Results) -> str:
    """Part 1 in sentences."""
    look = Lookup(results)
    lines = []
    for ranges in (MIN_MAX, PERCENTILE):
        verdicts = [verdict_at(look, kind, 4, ranges) for kind in OTHERS]
        lines.append(f"At 4 bits with {ranges} ranges: {'; '.join(verdicts)}.")
    fixed, measured = look.drop(USUAL, 4, FIXED), look.drop(USUAL, 4, MIN_MAX)
    word = "more" if fixed.drop > measured.drop else "less"
    lines.append(
        f"ReLU6 with its fixed [0, 6] loses {dropped(fixed)} points at 4 bits, {word} than the "
        f"{dropped(measured)} with the range measured in calibration: "
        + (
            "the fixed range is the wider one, and its steps the coarser."
            if fixed.drop > measured.drop
            else "calibration adds nothing to the bound."
        )
        + (
            " The intervals overlap."
            if max(fixed.drop_low, measured.drop_low) <= min(fixed.drop_high, measured.drop_high)
            else ""
        )
    )
    for kind in ("swish", "hard_swish"):
        every, fused = look.drop(kind, 4), look.drop(kind, 4, where=FUSED)
        lines.append(
            f"An int8 file rounds {NAMES[kind]}'s input as a separate tensor"
            f"{' and its sigmoid too' if kind == 'swish' else ''}; if only results were rounded, "
            f"{NAMES[kind]} would lose {dropped(fused)} points at 4 bits instead of "
            f"{dropped(every)}."
        )
    return "\n\n".join(lines)


def files(results: Results) -> str:
    """The simulation beside real files at 8 bits, and the engine."""
    look = Lookup(results)
    differences = {
        (k, w): abs(look.drop(k, weights=w).top1 - look.file(k, w).top1)
        for k in ACTIVATION_KINDS
        for w in (PER_CHANNEL, PER_TENSOR)
    }
    (kind, weights), most = max(differences.items(), key=lambda item: item[1])
    plain = {k: look.file(k, PER_CHANNEL, BEFORE_ENGINE) for k in ACTIVATION_KINDS}
    engine = {k: look.file(k, PER_CHANNEL, ENGINE) for k in ACTIVATION_KINDS}
    gains = [f"{NAMES[k]} {plain[k].sqnr:.1f} to {engine[k].sqnr:.1f} dB" for k in ACTIVATION_KINDS]
    return (
        f"The same integers in real .tflite files, run by LiteRT, give top-1 within "
        f"{points(most)} points of the simulation (the most with {NAMES[kind]}, weights "
        f"{weights}).\n\nThe project's engine, on one seed's networks, takes the "
        f"signal-to-noise ratio of the scores from {listed(gains)}."
    )


def half(results: Results) -> str:
    """float16 in sentences."""
    look = Lookup(results)
    drops = [
        f"{NAMES[k]} {dropped(look.drop(k, 16, 'float16', 'float16', what='float16'))}"
        for k in ACTIVATION_KINDS
    ]
    rooms = []
    by_kind = [[row for row in results.half if row.kind == k] for k in ACTIVATION_KINDS]
    for kind, rows in zip(ACTIVATION_KINDS, by_kind, strict=True):
        largest = max(row.largest for row in rows)
        below = 100 * max(row.subnormal for row in rows)
        rooms.append(f"{NAMES[kind]} {largest:.1f} ({below:.2f} % subnormal)")
    half_db = [sum(row.half_db for row in rows) / len(rows) for rows in by_kind]
    int8_db = [sum(row.int8_db for row in rows) / len(rows) for rows in by_kind]
    overflow = any(row.overflow > 0 for row in results.half)
    return (
        f"With weights and activations in float16 the drops are {listed(drops)} points. The "
        f"largest activations are {listed(rooms)}: "
        f"{'some pass' if overflow else 'none comes near'} 65,504. Rounding to float16 leaves "
        f"{min(half_db):.0f} to {max(half_db):.0f} dB of the activations, int8 "
        f"{min(int8_db):.0f} to {max(int8_db):.0f} dB."
    )


def why(results: Results) -> str:
    """Range, step and noise of the non-linear activations."""
    look = Lookup(results)
    rows = {k: look.noise(k, "activated") for k in ACTIVATION_KINDS}
    steps = [f"{NAMES[k]} {row.step:.4f}" for k, row in rows.items()]
    noise = [f"{NAMES[k]} {row.own_db:.1f} ± {row.own_half:.1f} dB" for k, row in rows.items()]
    through = [f"{NAMES[k]} {row.through_db:.1f} dB" for k, row in rows.items()]
    cut = [
        f"{NAMES[k]} {row.clipping_db:.0f} against {row.rounding_db:.0f} dB"
        for k in ACTIVATION_KINDS
        for row in [look.noise(k, "activated", PERCENTILE)]
        if row.clipping_db < MOST_DB
    ]
    lost = [f"{NAMES[k]} {row.lost_bits:.1f}" for k, row in rows.items()]
    clipping = (
        f" Percentile ranges trade rounding for clipping: the signal-to-noise ratios of clipping "
        f"and of rounding are {listed(cut)}."
        if cut
        else ""
    )
    return (
        f"With ranges from smallest to largest value the step of the non-linear activations is "
        f"on average {listed(steps)}, and the signal-to-noise ratio of a tensor that alone is "
        f"rounded is {listed(noise)}; in the quantized network, where the noise of all layers adds "
        f"up, it is {listed(through)}.{clipping}\n\nA range belongs to a whole tensor, and its "
        f"widest channel determines it: the median channel leaves {listed(lost)} of the 8 bits "
        f"unused."
    )


def calibration(results: Results) -> str:
    """Drop against the number of calibration images."""
    look = Lookup(results)
    lines = []
    for images in (0, 1):
        parts = [f"{NAMES[k]} {dropped(look.calibrated(k, images))}" for k in ACTIVATION_KINDS]
        parts.append(f"ReLU6 with [0, 6] {dropped(look.calibrated(USUAL, images, FIXED))}")
        source = "ranges from the batch norms alone" if images == 0 else "one calibration image"
        lines.append(f"With {source} the drops at 8 bits are {listed(parts)} points.")
    one, fixed = look.calibrated(USUAL, 1), look.calibrated(USUAL, 1, FIXED)
    saved = one.drop - fixed.drop
    lines.append(
        f"The fixed range takes {points(saved)} points off what ReLU6 loses with one image"
        if saved > 0
        else f"The fixed range saves nothing with one image ({points(saved)} points)"
    )
    lines[-1] += "; its linear bottlenecks and sums need images, or batch norms, all the same."
    return " ".join(lines)


def breaking(results: Results) -> str:
    """Collapses made on purpose, and their repairs."""
    look = Lookup(results)
    strongest = max(
        (row for row in results.breaking if row.what == "outlier, all free" and row.bits == 8),
        key=lambda row: row.strength,
    ).strength
    lines = []
    for kind, scope in (("relu", "all free"), ("relu6", "linear")):
        what = f"outlier, {scope}"
        for weights in (PER_CHANNEL, PER_TENSOR):
            broken = look.broken(kind, what, strongest, weights=weights)
            fixed = look.broken(kind, what, strongest, weights=weights, repair="equalization")
            lines.append(
                f"{NAMES[kind]}, weights {weights}: {size_of(broken.drop)}, "
                f"{dropped(broken)} points; after equalization {dropped(fixed)}"
            )
    head = (
        f"One channel of every activation that may be rescaled, times {strongest:g} (with ReLU6 "
        f"only the linear ones may), leaves the float network as it was. int8 is not:"
    )
    bad = [
        f"{NAMES[k]} {dropped(look.broken(k, 'bad image', 1.0, ranges=MIN_MAX))}, "
        f"capped at 6 {dropped(look.broken(k, 'bad image', 1.0, repair='cap at 6'))}"
        for k in ACTIVATION_KINDS
    ]
    tail = (
        f"One calibration image whose pixels were not normalized makes heavy tails of another "
        f"kind. The drops: {'; '.join(bad)} points."
    )
    if look.broken(USUAL, "bad image", 1.0, ranges=MIN_MAX).drop < NOTABLE:
        tail += " Behind the first ReLU6 nothing of that image is above 6."
    return "\n".join([head, "", *(f"- {line}" for line in lines), "", tail, "", _tuned(look)])


def _tuned(look: Lookup) -> str:
    """Repair by an epoch of training with ReLU6 instead of another activation."""
    parts = []
    for tuned in TUNED:
        kind, began = tuned.name, tuned.before.name
        bad = look.broken(kind, "bad image", 1.0, ranges=MIN_MAX)
        parts.append(
            f"The networks that were trained with {NAMES[began]}, after one more epoch with ReLU6 "
            f"in its place: with that image they lose {dropped(bad)} points; at 4 bits, with "
            f"min-max ranges, {dropped(look.drop(kind, 4))} where they lost "
            f"{dropped(look.drop(began, 4))}. Their float accuracy went from "
            f"{look.floats(began).float_top1:.2f} to {look.floats(kind).float_top1:.2f} %."
        )
    return "\n".join(parts)


def costs(results: Results) -> str:
    """All comparisons in which ReLU6 costs accuracy or does not help."""
    look = Lookup(results)
    lines = []
    for kind in OTHERS:
        row = look.contrast(kind, 32, "float", "float", "float error")
        if row.high < 0:
            lines.append(f"in float, {NAMES[kind]} {_cost(row)} over ReLU6")
    undecided = 0
    compared = 0
    for ranges in (MIN_MAX, f"{MIN_MAX}/{FIXED}", PERCENTILE):
        for weights in (PER_CHANNEL, PER_TENSOR):
            for width in BITS:
                for kind in OTHERS:
                    row = look.contrast(kind, width, ranges, weights)
                    compared += 1
                    undecided += row.low <= 0 <= row.high
                    if row.high < 0:
                        lines.append(
                            f"{width} bits, weights {weights}, {_ranges(ranges)}: "
                            f"{verdict(row, NAMES[kind], NAMES[USUAL])}"
                        )
    ahead = compared - undecided - sum("loses" in line for line in lines)
    head = (
        f"Of {compared} comparisons of a drop with ReLU6's, {ahead} say that ReLU6 loses less, "
        f"{undecided} are undecided at 95 %, and {compared - ahead - undecided} say that it loses "
        "more."
    )
    return "\n".join([head, "", *(f"- {line}" for line in lines)])


def _ranges(ranges: str) -> str:
    if "/" in ranges:
        return "smallest-to-largest ranges against ReLU6's fixed [0, 6]"
    return f"{ranges} ranges"


PARTS: Mapping[str, Callable[[Results], str]] = {
    "summary": summary,
    "accuracy": accuracy,
    "bits": bits,
    "files": files,
    "half": half,
    "why": why,
    "calibration": calibration,
    "breaking": breaking,
    "costs": costs,
}
"""Functions that write the paragraphs, by the names in the docs."""
