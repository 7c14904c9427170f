"""C++ sources that turn the int8 outputs of a detector into boxes, without a heap.

The arithmetic is that of ``evaluation.decoding``, in float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration_data.anchors import AnchorLevel
from calibration_data.detection import Detector, ScoreEnd
from calibration_data.preprocessing import Preprocessing
from export.bundles.c_outputs import OutputEnd
from export.bundles.c_sources import c_string, header, source
from export.bundles.labels import check_labels
from foundation.errors import UnsupportedError

HEADER, SOURCE = "model_decoder.h", "model_decoder.cc"
_CANDIDATES = 256
"""Scores that are sorted at a time; the result does not depend on it."""
_NEVER = 128
"""Integer above every int8."""


@dataclass(frozen=True)
class Place:
    """Where a level lies in the outputs of the file.

    Attributes:
        level: anchors of the level.
        boxes: number of the output with its boxes.
        box_start: index of its first integer there.
        scores: number of the output with its scores.
        score_start: index of its first integer there.
        least: smallest integer whose probability reaches the threshold; for softmax, -128.
    """

    level: AnchorLevel
    boxes: int
    box_start: int
    scores: int
    score_start: int
    least: int


def decoder_texts(
    name: str, contract: Preprocessing, outputs: Sequence[OutputEnd]
) -> dict[str, str]:
    """Content of ``model_decoder.h`` and ``model_decoder.cc``, by file name; empty if no detector.

    Args:
        name: name of the model.
        contract: contract with the detector and the names of its classes.
        outputs: outputs of the file, in its order.

    Raises:
        UnsupportedError: an output that is missing, or of another size than the anchors say.
        InvalidInputError: names of classes that are no ASCII, or not as many as classes.
    """
    detector = contract.detector
    if detector is None:
        return {}
    width, classes, places = read_outputs(contract, detector, outputs)
    head = _declarations(detector, classes, contract.labels)
    body = [*_tables(detector, places, contract.labels), *_code(detector, width)]
    includes = ["cstdint"]
    return {
        HEADER: header(HEADER, includes, head, name),
        SOURCE: source(HEADER, body, name, ["model_contract.h"]).replace(
            f'#include "{HEADER}"\n', f'#include "{HEADER}"\n\n#include <algorithm>\n'
            "#include <cmath>\n", 1,
        ),
    }  # fmt: skip


def guide(space: str, output: str = "") -> list[str]:
    """Lines of C++ that print what was found, after the network has run.

    Args:
        space: name of the namespace; "" where it is in use.
        output: expression of the integers of output ``i``; "" for the runner's.
    """
    of = f"{space}::" if space else ""
    given = output or f"{of}Output(i)"
    return [
        f"    const std::int8_t* outputs[{of}kOutputCount];",
        f"    for (int i = 0; i < {of}kOutputCount; ++i) outputs[i] = {given};",
        f"    static {of}Detection found[{of}kMostDetections];",
        f"    const int count = {of}Decode(outputs, found);",
        "    for (int i = 0; i < count; ++i) Draw(found[i]);  // yours",
    ]


def read_outputs(
    contract: Preprocessing, detector: Detector, outputs: Sequence[OutputEnd]
) -> tuple[int, int, list[Place]]:
    """Scores of an anchor, classes without the ground, and where each level's numbers lie.

    Raises:
        UnsupportedError: an output that is missing, or of another size than the anchors say.
        InvalidInputError: names of classes that are no ASCII, or not as many as classes.
    """
    width = _score_width(detector, outputs)
    classes = width - detector.ground
    if contract.labels:
        check_labels(contract, classes)
    return width, classes, _places_of(detector, outputs, width)


def _score_width(detector: Detector, outputs: Sequence[OutputEnd]) -> int:
    """Scores of an anchor, the ground's included; raises UnsupportedError on other outputs."""
    sizes = {end.name: end.size for end in outputs}
    if missing := [name for name in detector.names if name not in sizes]:
        raise _misfit(f"outputs {', '.join(sizes)} without {missing[0]}")
    total = sum(sizes[name] for name in detector.scores)
    boxes = sum(sizes[name] for name in detector.boxes)
    width = total // detector.count
    if not width or total != width * detector.count or boxes != 4 * detector.count:
        raise _misfit(f"{boxes} numbers for boxes and {total} for scores")
    return width


def _places_of(detector: Detector, outputs: Sequence[OutputEnd], width: int) -> list[Place]:
    """Where each level lies in the outputs; raises UnsupportedError on one of another size."""
    numbers = {end.name: number for number, end in enumerate(outputs)}
    found = {}
    for names, each in ((detector.boxes, 4), (detector.scores, width)):
        rows, start = [], 0
        for index, level in enumerate(detector.levels):
            alone = len(names) > 1
            number = numbers[names[index] if alone else names[0]]
            size = each * level.count
            if alone and outputs[number].size != size:
                raise _misfit(f"{outputs[number].size} numbers in {outputs[number].name}")
            rows.append((number, 0 if alone else start))
            start += size
        found[names] = rows
    return [
        Place(level, *boxes, *scores, least=_least(detector, outputs[scores[0]]))
        for level, boxes, scores in zip(
            detector.levels, found[detector.boxes], found[detector.scores], strict=True
        )
    ]


def _least(detector: Detector, end: OutputEnd) -> int:
    """Smallest integer of a score output that can be a detection."""
    if detector.end is ScoreEnd.SOFTMAX:
        return -128
    values = (np.arange(-128, 128) - end.zero_point).astype(np.float32) * np.float32(end.scale)
    if detector.end is ScoreEnd.SIGMOID:
        with np.errstate(over="ignore"):
            values = 1 / (1 + np.exp(-values))
    reached = np.flatnonzero(values >= np.float32(detector.score_threshold))
    return int(reached[0]) - 128 if len(reached) else _NEVER


def _declarations(detector: Detector, classes: int, labels: Sequence[str]) -> list[str]:
    """Lines of ``model_decoder.h``."""
    return [
        "// What was found: edges relative to the input, from 0 to 1 inside it.",
        "struct Detection {",
        "  float top;",
        "  float left;",
        "  float bottom;",
        "  float right;",
        "  float score;",
        "  int label;",
        "};",
        f"inline constexpr int kClasses = {classes};",
        f"inline constexpr int kAnchors = {detector.count};",
        f"inline constexpr int kMostDetections = {detector.most};",
        f"inline constexpr float kScoreThreshold = {float_literal(detector.score_threshold)};",
        f"inline constexpr float kIouThreshold = {float_literal(detector.iou_threshold)};",
        *(["extern const char* const kClassNames[kClasses];"] if labels else []),
        "",
        "// Boxes, after non-maximum suppression class by class, the surest first.",
        "// outputs[i] are the integers of kOutputs[i]; found has room for kMostDetections.",
        f"// Returns how many were found. Has {8 * _CANDIDATES:,} bytes of static memory, so one",
        "// call runs at a time.",
        "int Decode(const std::int8_t* const* outputs, Detection* found);",
    ]


def _tables(detector: Detector, places: Sequence[Place], labels: Sequence[str]) -> list[str]:
    """Lines of constants: class names, shapes of anchors and levels."""
    lines = ["const char* const kClassNames[kClasses] = {"] if labels else []
    lines += [f"    {c_string(label)}," for label in labels]
    lines += ["};", ""] if labels else []
    lines += [
        "namespace {",
        "",
        "// Anchors of one feature map: the same shapes around the centre of each cell.",
        "struct Level {",
        "  int rows;",
        "  int columns;",
        "  int shapes;",
        "  int first_shape;  // in kShapes",
        "  int first_anchor;",
        "  int boxes;  // number of the output, and of its first integer there",
        "  int box_start;",
        "  int scores;",
        "  int score_start;",
        "  int least;  // smallest integer of a score that can be a detection",
        "};",
        f"constexpr int kLevels = {len(places)};",
    ]
    shapes: list[tuple[float, float]] = []
    rows, anchor = [], 0
    for place in places:
        level = place.level
        values = (
            level.rows, level.columns, len(level.shapes), len(shapes), anchor,
            place.boxes, place.box_start, place.scores, place.score_start, place.least,
        )  # fmt: skip
        rows.append(f"    {{{', '.join(map(str, values))}}},")
        shapes += level.shapes
        anchor += level.count
    lines += ["constexpr Level kLevel[kLevels] = {", *rows, "};"]
    lines += ["// Height and width relative to the input.", "constexpr float kShapes[][2] = {"]
    lines += [
        f"    {{{float_literal(height)}, {float_literal(width)}}}," for height, width in shapes
    ]
    factors = ", ".join(float_literal(value) for value in detector.coding.factors)
    return [*lines, "};", f"constexpr float kFactors[4] = {{{factors}}};"]


def _code(detector: Detector, width: int) -> list[str]:
    """Lines of the functions."""
    text = _COMMON.replace("CANDIDATES", str(_CANDIDATES)).replace("WIDTH", str(width))
    text = text.replace("GROUND", str(int(detector.ground)))
    text = text.replace("COLLECT", _COLLECT[detector.end])
    return text.splitlines()


def float_literal(value: float) -> str:
    """Literal of a float32."""
    return f"{float(np.float32(value))!r}f"


_SIGMOID = """\
        for (int label = 0; label < kClasses; ++label) {
          const int integer = scores[label + kGround];
          if (integer < level.least) continue;
          Consider({PROBABILITY, anchor * kClasses + label}, last, count);
        }"""
_COLLECT = {
    ScoreEnd.SIGMOID: _SIGMOID.replace(
        "PROBABILITY", "1.0f / (1.0f + std::exp(-Real(level.scores, integer)))"
    ),
    ScoreEnd.NONE: _SIGMOID.replace("PROBABILITY", "Real(level.scores, integer)"),
    ScoreEnd.SOFTMAX: """\
        int largest = scores[0];
        for (int i = 1; i < kWidth; ++i) largest = std::max<int>(largest, scores[i]);
        const float top = Real(level.scores, largest);
        float sum = 0.0f;
        for (int i = 0; i < kWidth; ++i) sum += std::exp(Real(level.scores, scores[i]) - top);
        for (int label = 0; label < kClasses; ++label) {
          const float real = Real(level.scores, scores[label + kGround]);
          const float score = std::exp(real - top) / sum;
          if (score < kScoreThreshold) continue;
          Consider({score, anchor * kClasses + label}, last, count);
        }""",
}
_COMMON = """\
constexpr int kWidth = WIDTH;    // scores of an anchor
constexpr int kGround = GROUND;  // of which this many come before those of the classes
constexpr int kCandidates = CANDIDATES;

struct Candidate {
  float score;
  int place;  // anchor * kClasses + label
};
Candidate candidates[kCandidates];  // a heap, whose root comes last

bool Before(const Candidate& a, const Candidate& b) {
  return a.score > b.score || (a.score == b.score && a.place < b.place);
}

float Real(int output, int integer) {
  return kOutputs[output].scale * static_cast<float>(integer - kOutputs[output].zero_point);
}

// Keeps a candidate that comes after the last of the round before, if it is among the first.
void Consider(const Candidate& one, const Candidate& last, int& count) {
  if (!Before(last, one)) return;
  if (count == kCandidates) {
    if (!Before(one, candidates[0])) return;
    std::pop_heap(candidates, candidates + count, Before);
    --count;
  }
  candidates[count++] = one;
  std::push_heap(candidates, candidates + count, Before);
}

// The first candidates after the last of the round before, in order; returns how many.
int Collect(const std::int8_t* const* outputs, const Candidate& last) {
  int count = 0;
  for (const Level& level : kLevel) {
    const std::int8_t* scores = outputs[level.scores] + level.score_start;
    int anchor = level.first_anchor;
    for (int cell = 0; cell < level.rows * level.columns; ++cell) {
      for (int shape = 0; shape < level.shapes; ++shape, ++anchor, scores += kWidth) {
COLLECT
      }
    }
  }
  std::sort_heap(candidates, candidates + count, Before);
  return count;
}

Detection BoxOf(const std::int8_t* const* outputs, const Candidate& one) {
  const int anchor = one.place / kClasses;
  int number = kLevels - 1;
  while (anchor < kLevel[number].first_anchor) --number;
  const Level& level = kLevel[number];
  const int inside = anchor - level.first_anchor, cell = inside / level.shapes;
  const float* sides = kShapes[level.first_shape + inside % level.shapes];
  const std::int8_t* integers = outputs[level.boxes] + level.box_start + 4 * inside;
  float code[4];
  for (int i = 0; i < 4; ++i) code[i] = Real(level.boxes, integers[i]) / kFactors[i];
  const int row = cell / level.columns, column = cell % level.columns;
  const float y = (static_cast<float>(row) + 0.5f) / static_cast<float>(level.rows);
  const float x = (static_cast<float>(column) + 0.5f) / static_cast<float>(level.columns);
  const float centre_y = code[0] * sides[0] + y, centre_x = code[1] * sides[1] + x;
  const float half_height = std::exp(code[2]) * sides[0] / 2.0f;
  const float half_width = std::exp(code[3]) * sides[1] / 2.0f;
  return {centre_y - half_height, centre_x - half_width, centre_y + half_height,
          centre_x + half_width,  one.score,             one.place % kClasses};
}

// Intersection over union; 0 for boxes without area.
float Overlap(const Detection& a, const Detection& b) {
  const float height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  const float width = std::min(a.right, b.right) - std::max(a.left, b.left);
  if (!(height > 0.0f && width > 0.0f)) return 0.0f;
  const float inner = height * width;
  const float both = (a.bottom - a.top) * (a.right - a.left) +
                     (b.bottom - b.top) * (b.right - b.left) - inner;
  return both > 0.0f ? inner / both : 0.0f;
}

}  // namespace

int Decode(const std::int8_t* const* outputs, Detection* found) {
  int count = 0;
  Candidate last = {HUGE_VALF, -1};
  while (true) {
    const int collected = Collect(outputs, last);
    for (int i = 0; i < collected; ++i) {
      const Detection one = BoxOf(outputs, candidates[i]);
      const bool dropped = std::any_of(found, found + count, [&one](const Detection& other) {
        return other.label == one.label && Overlap(other, one) > kIouThreshold;
      });
      if (dropped) continue;
      found[count++] = one;
      if (count == kMostDetections) return count;
    }
    if (collected < kCandidates) return count;
    last = candidates[collected - 1];
  }
}"""


def _misfit(received: str) -> UnsupportedError:
    return UnsupportedError(
        "the outputs of a detector have 4 numbers for the box of each anchor, and as many scores "
        "for each as for the others",
        received=received,
        remedy="give the anchors and names of this model in [detection] of the contract",
    )
