"""The page of the study: claims from the results, with the figures and tables behind them."""

from __future__ import annotations

from reports.page import Facts, Figure, Page, Part, Prose, Section
from studies.relu6 import charts, claims, tables
from studies.relu6.lookup import ACTIVATION_KINDS, NAMES, Lookup, dropped
from studies.relu6.networks import ALPHA, SIZE, STEM_STRIDE
from studies.relu6.results import TYPES, Results
from studies.relu6.statistics import METHOD
from studies.relu6.train import RECIPE

COMMAND = "edgequant study relu6"

_CAPTIONS = {
    "bits": (
        (
            "Drop of top-1 against bits of activations, weights 8 bits per channel. Left: ranges "
            "from smallest to largest value in calibration; right: the percentile that "
            "calibration finds best at each width."
        ),
        (
            "Lines of the drop in top-1 for four activations from 8 down to 4 bits, with ranges "
            "from smallest to largest value and by percentile."
        ),
    ),
    "spread": (
        (
            "Magnitudes of the non-linear activations in calibration, layer by layer: median "
            "(line), median to 99 % (band), 99.99 % (dashed), largest (dots). Dotted: 6."
        ),
        "Four panels of how far activations reach by layer; the largest values of ReLU6 stop at 6.",
    ),
    "histograms": (
        (
            "Densities of three activations, on a logarithmic scale. Dotted: 6, where ReLU6 piles "
            "up what it clips."
        ),
        "Histograms of the first, a middle and the last activation for four non-linearities.",
    ),
    "noise": (
        (
            "Signal to noise of each non-linear activation at 8 bits: of its own rounding alone "
            "(solid), and in the network with every tensor and weight rounded (dashed)."
        ),
        "Four panels by layer; noise that adds up is larger than each layer's own.",
    ),
    "half": (
        (
            "Left: where the values other than 0 lie. Right: the distance of two neighbouring "
            "numbers in float16, which grows with the magnitude, and in int8, one step for a "
            "tensor (average of each network). Dotted: smallest normal float16 and 65,504."
        ),
        "Values lie between 2 to the -10 and 2 to the 4; float16 steps there are far below int8's.",
    ),
    "calibration": (
        (
            "Drop at 8 bits, weights per channel, against the number of calibration images; three "
            "draws of each size below the largest."
        ),
        "Lines of the drop over the number of calibration images, from none to a thousand.",
    ),
    "breaking": (
        (
            "Drop at 8 bits of networks whose channels were rescaled without a change of the float "
            "function, as they are, with percentile ranges, and equalized. With ReLU6 only linear "
            "bottlenecks can be rescaled so."
        ),
        "The drop grows with the factor, and equalization takes it back.",
    ),
}


def page_of(results: Results, facts: tuple[tuple[str, str], ...] = ()) -> Page:
    """The page.

    Args:
        results: of a whole run.
        facts: versions, machine and whatever else the run knows of itself.
    """
    data = tuple((name, f"{name}.csv") for name in TYPES)
    return Page(
        "Why ReLU6 quantizes well, and where it does not matter",
        lead(results),
        (
            Section("The three claims", (Prose(claims.summary(results)),)),
            Section("Four activations, fewer and fewer bits", _part_one(results)),
            Section("Where the losses come from", _part_two(results)),
            Section("Collapses on purpose, and repairs", _part_three(results)),
            Section("Information and ReLU", _part_four(results)),
            Section("Where ReLU6 costs accuracy or does not help", _part_five(results)),
            Section("Every simulated setting", (tables.ladder(results), tables.breaking(results))),
            Section("How it was measured", (Facts((*_facts(results), *facts)),)),
        ),
        COMMAND,
        (("everything", "relu6.json"), *data),
    )


def lead(results: Results) -> str:
    """The finding in two sentences."""
    look = Lookup(results)
    eight = max(ACTIVATION_KINDS, key=lambda kind: look.drop(kind).drop)
    four = min(ACTIVATION_KINDS, key=lambda kind: look.drop(kind, 4).drop)
    most = max(ACTIVATION_KINDS, key=lambda kind: look.drop(kind, 4).drop)
    return (
        f"At 8 bits no activation loses more than {dropped(look.drop(eight))} points of top-1 "
        f"({NAMES[eight]}). At 4 bits {NAMES[four]} loses least, {dropped(look.drop(four, 4))} "
        f"points, and {NAMES[most]} most, {dropped(look.drop(most, 4))}. "
        f"{claims.bad_image_clause(look)}"
    )


def _figure(name: str, results: Results) -> Figure:
    caption, alt = _CAPTIONS[name]
    return Figure(caption, alt, charts.CHARTS[name](results))


def _part_one(results: Results) -> tuple[Part, ...]:
    return (
        Prose(
            "Six kinds of one network, trained by one recipe on the same images from the same "
            "seeds. Activations are quantized in simulation to 8 and fewer bits, weights to 8, "
            "all by plain rounding to nearest, so that nothing repairs what the activation does; "
            "image and scores keep 8 bits."
        ),
        tables.networks(results),
        Prose(claims.accuracy(results)),
        _figure("bits", results),
        Prose(claims.bits(results)),
        Prose(claims.files(results)),
        tables.files(results),
    )


def _part_two(results: Results) -> tuple[Part, ...]:
    return (
        Prose(
            "A tensor of int8 has one step. A wide range makes it coarse for every value "
            "(rounding noise); a narrow one cuts large values off (clipping noise). No value "
            "suffers both, so the squares of the two add up exactly."
        ),
        _figure("spread", results),
        _figure("histograms", results),
        Prose(claims.why(results)),
        _figure("noise", results),
        tables.noise(results),
        Prose(
            "**float16** has a step that grows with the magnitude, so a few large values do not "
            "make the others coarse; what can go wrong is overflow and, near 0, subnormals. "
            + claims.half(results)
        ),
        _figure("half", results),
        tables.half(results),
        Prose("**Calibration.** " + claims.calibration(results)),
        _figure("calibration", results),
    )


def _part_three(results: Results) -> tuple[Part, ...]:
    return (
        Prose(
            "A channel can be widened and the weights that read it narrowed by the same power of "
            "two: float does not change, but the channel's range becomes that of its tensor."
        ),
        Prose(claims.breaking(results)),
        _figure("breaking", results),
        tables.collapses(results),
    )


def _part_four(results: Results) -> tuple[Part, ...]:
    return (
        Prose(
            "A spiral in the plane is embedded in n dimensions by a random matrix, goes through "
            "ReLU, and comes back by the pseudo-inverse (Sandler et al. 2018, figure 1). "
            + claims.spiral_clause(results)
        ),
        Figure(
            "The spiral, and what comes back from ReLU in n dimensions (one matrix each).",
            "In two and three dimensions the spiral folds onto lines; in 30 its shape stays.",
            charts.spirals(),
        ),
        tables.spiral(results),
        Prose(claims.ablation_clause(Lookup(results))),
    )


def _part_five(results: Results) -> tuple[Part, ...]:
    return (Prose(claims.costs(results)),)


def _facts(results: Results) -> tuple[tuple[str, str], ...]:
    first = results.drops[0]
    seeds = sorted({row.seed for row in results.networks})
    return (
        (
            "network",
            (
                f"MobileNetV2, width {ALPHA}, {SIZE} x {SIZE} pixels, stem of stride "
                f"{STEM_STRIDE}, 10 classes"
            ),
        ),
        (
            "training",
            (
                f"55,000 images of Fashion-MNIST's training split, {RECIPE.epochs} epochs, batch "
                f"{RECIPE.batch_size}; 5,000 more kept for development; seeds "
                f"{', '.join(map(str, seeds))}"
            ),
        ),
        ("measured on", f"n = {first.n:,} of Fashion-MNIST's 10,000 test images"),
        ("calibration", "1,000 training images, from which every choice is made"),
        ("intervals", METHOD),
        (
            "arithmetic",
            (
                "float simulation of rounded weights and activations; at 8 bits also real files in "
                "LiteRT"
            ),
        ),
    )
