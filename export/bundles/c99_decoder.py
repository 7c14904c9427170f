"""C99 that turns the int8 outputs of a detector into boxes, without a heap and without libm.

The arithmetic is that of ``evaluation.decoding``, in float32. An output has 256 integers, so its
exponentials and probabilities are tables.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from calibration_data.detection import Detector, ScoreEnd
from calibration_data.preprocessing import Preprocessing
from export.bundles.c_decoder import Place, float_literal, read_outputs
from export.bundles.c_outputs import OutputEnd
from export.c.sources import c_text, comment, guarded

HEADER, SOURCE = "decoder.h", "decoder.c"
"""Names of the files, which a prefix completes."""
_CANDIDATES = 256
"""Scores that are sorted at a time; the result does not depend on it."""
_A_LINE = 4


def c99_decoder(
    title: str, contract: Preprocessing, outputs: Sequence[OutputEnd]
) -> dict[str, str]:
    """Header and source of ``net_decode`` by ``HEADER`` and ``SOURCE``; empty if no detector.

    Args:
        title: name of the network, for comments.
        contract: contract with the detector and the names of its classes.
        outputs: outputs of the file, in the order in which ``net_run`` writes them.

    Raises:
        UnsupportedError: an output that is missing, or of another size than the anchors say.
        InvalidInputError: names of classes that are no ASCII, or not as many as classes.
    """
    detector = contract.detector
    if detector is None:
        return {}
    width, classes, places = read_outputs(contract, detector, outputs)
    first = f"/* {comment(title)}: boxes from the outputs of net_run. */"
    head = [first, *_declarations(detector, classes, contract.labels)]
    tables = _Tables(detector, outputs)
    levels = [tables.level(place) for place in places]
    body = [first, *_INCLUDES, *_names(contract.labels), *tables.lines, *_levels(detector, levels)]
    code = _CODE.replace("COLLECT", _SOFTMAX if detector.end is ScoreEnd.SOFTMAX else _TABLED)
    settings = [
        f"#define LEVELS {len(levels)}",
        f"#define WIDTH {width} /* scores of an anchor */",
        f"#define GROUND {int(detector.ground)} /* of which so many come before the classes' */",
        f"#define CANDIDATES {_CANDIDATES}",
    ]
    return {
        HEADER: "\n".join([*head, ""]),
        SOURCE: "\n".join([*body, *settings, "", code]),
    }


def _declarations(detector: Detector, classes: int, labels: Sequence[str]) -> list[str]:
    names = "extern const char *const net_class_names[NET_CLASSES];"
    lines = [
        "/* What was found: edges relative to the input, from 0 to 1 inside it. */",
        "typedef struct {",
        "  float top, left, bottom, right, score;",
        "  int32_t label;",
        "} net_detection;",
        "",
        f"#define NET_CLASSES {classes}",
        f"#define NET_ANCHORS {detector.count}",
        f"#define NET_MOST_DETECTIONS {detector.most}",
        f"#define NET_SCORE_THRESHOLD {float_literal(detector.score_threshold)}",
        f"#define NET_IOU_THRESHOLD {float_literal(detector.iou_threshold)}",
        *([names] if labels else []),
        "",
        "/* Boxes after non-maximum suppression class by class, the surest first: `out` as net_run",
        " * wrote it, `found` with room for NET_MOST_DETECTIONS. Returns how many were found. Has",
        f" * {8 * _CANDIDATES:,} bytes of static memory, so one call runs at a time. */",
        "int32_t net_decode(const int8_t *out, net_detection *found);",
        "",
    ]
    return guarded("NET_DECODER_H", lines)


def _names(labels: Sequence[str]) -> list[str]:
    if not labels:
        return []
    rows = [f"    {c_text(label)}," for label in labels]
    return ["const char *const net_class_names[NET_CLASSES] = {", *rows, "};", ""]


class _Tables:
    """Tables of 256 numbers, equal ones once, and the levels that point at them.

    Args:
        detector: detector.
        outputs: outputs in the order of the file.
    """

    def __init__(self, detector: Detector, outputs: Sequence[OutputEnd]) -> None:
        self._detector, self._outputs = detector, outputs
        self._starts = np.cumsum([0, *(end.size for end in outputs)]).tolist()
        self._symbols: dict[bytes, str] = {}
        self.lines: list[str] = []

    def level(self, place: Place) -> list[str]:
        """Initializer of a level, value by value, without its shapes."""
        boxes, scores = self._outputs[place.boxes], self._outputs[place.scores]
        real = _real(boxes)
        height, width = (np.float32(factor) for factor in self._detector.coding.factors[2:])
        with np.errstate(over="ignore"):
            tables = [self._chances(scores), np.exp(real / height), np.exp(real / width)]
        return [
            str(self._starts[place.boxes] + place.box_start),
            str(self._starts[place.scores] + place.score_start),
            str(place.least),
            str(boxes.zero_point),
            float_literal(boxes.scale),
            *(self._symbol(table) for table in tables),
        ]

    def _chances(self, end: OutputEnd) -> np.ndarray:
        """Probability of each integer; of a softmax the exponential of each distance from 0."""
        if self._detector.end is ScoreEnd.SOFTMAX:
            steps: np.ndarray = -np.arange(256, dtype=np.float32) * np.float32(end.scale)
            fallen: np.ndarray = np.exp(steps)
            return fallen
        real = _real(end)
        if self._detector.end is not ScoreEnd.SIGMOID:
            return real
        chances: np.ndarray = 1 / (1 + np.exp(-real))
        return chances

    def _symbol(self, table: np.ndarray) -> str:
        key = table.astype(np.float32).tobytes()
        if key not in self._symbols:
            symbol = self._symbols[key] = f"table_{len(self._symbols)}"
            texts = [_literal(float(value)) for value in table.astype(np.float32)]
            rows = [
                "    " + " ".join(f"{text}," for text in texts[start : start + _A_LINE])
                for start in range(0, len(texts), _A_LINE)
            ]
            self.lines += [f"static const float {symbol}[256] = {{", *rows, "};"]
        return self._symbols[key]


def _real(end: OutputEnd) -> np.ndarray:
    """The real number of each integer from -128 on, float32 ``[256]``."""
    steps = (np.arange(-128, 128) - end.zero_point).astype(np.float32)
    real: np.ndarray = steps * np.float32(end.scale)
    return real


def _literal(value: float) -> str:
    return "HUGE_VALF" if np.isinf(value) else float_literal(value)


def _levels(detector: Detector, ends: Sequence[Sequence[str]]) -> list[str]:
    """Definition of the levels, their anchors and the factors of the centres."""
    shapes: list[tuple[float, float]] = []
    rows, anchor = [], 0
    for level, end in zip(detector.levels, ends, strict=True):
        values = (level.rows, level.columns, len(level.shapes), len(shapes), anchor)
        rows.append(f"    {{{', '.join([*map(str, values), *end])}}},")
        shapes += level.shapes
        anchor += level.count
    factors = ", ".join(float_literal(value) for value in detector.coding.factors[:2])
    return [
        "",
        *_LEVEL.splitlines(),
        "static const level levels[] = {",
        *rows,
        "};",
        "/* Height and width relative to the input. */",
        "static const float shapes[][2] = {",
        *(f"    {{{float_literal(height)}, {float_literal(width)}}}," for height, width in shapes),
        "};",
        f"static const float factors[2] = {{{factors}}};",
        "",
    ]


_INCLUDES = ['#include "net_decoder.h"', "", "#include <math.h>", ""]
_LEVEL = """\
/* Anchors of one feature map: the same shapes around the centre of each cell. */
typedef struct {
  int32_t rows, columns, shapes, first_shape, first_anchor;
  int32_t boxes, scores; /* first integers of the map in `out` */
  int32_t least;         /* smallest integer of a score that can be a detection */
  int32_t box_zero;
  float box_scale;
  const float *chances, *heights, *widths; /* by the integer of an output, from -128 on */
} level;"""
_TABLED = """\
        for (int32_t label = 0; label < NET_CLASSES; ++label) {
          const int32_t integer = scores[label + GROUND];
          if (integer < map->least) continue;
          const candidate one = {map->chances[integer + 128], anchor * NET_CLASSES + label};
          count = consider(one, last, count);
        }"""
_SOFTMAX = """\
        int32_t largest = scores[0];
        float sum = 0.0f;
        for (int32_t i = 1; i < WIDTH; ++i) {
          if (scores[i] > largest) largest = scores[i];
        }
        for (int32_t i = 0; i < WIDTH; ++i) sum += map->chances[largest - scores[i]];
        for (int32_t label = 0; label < NET_CLASSES; ++label) {
          const float score = map->chances[largest - scores[label + GROUND]] / sum;
          if (score < NET_SCORE_THRESHOLD) continue;
          const candidate one = {score, anchor * NET_CLASSES + label};
          count = consider(one, last, count);
        }"""
_CODE = """\
typedef struct {
  float score;
  int32_t place; /* anchor * NET_CLASSES + label */
} candidate;
static candidate candidates[CANDIDATES]; /* in order */

static int before(candidate a, candidate b) {
  return a.score > b.score || (a.score == b.score && a.place < b.place);
}

/* Keeps a candidate that comes after the last of the round before, if it is among the first. */
static int32_t consider(candidate one, candidate last, int32_t count) {
  if (!before(last, one)) return count;
  if (count == CANDIDATES) {
    if (!before(one, candidates[CANDIDATES - 1])) return count;
    --count;
  }
  int32_t i = count;
  for (; i > 0 && before(one, candidates[i - 1]); --i) candidates[i] = candidates[i - 1];
  candidates[i] = one;
  return count + 1;
}

/* The first candidates after the last of the round before, in order; returns how many. */
static int32_t collect(const int8_t *out, candidate last) {
  int32_t count = 0;
  for (int32_t number = 0; number < LEVELS; ++number) {
    const level *map = &levels[number];
    const int8_t *scores = out + map->scores;
    int32_t anchor = map->first_anchor;
    for (int32_t cell = 0; cell < map->rows * map->columns; ++cell) {
      for (int32_t shape = 0; shape < map->shapes; ++shape, ++anchor, scores += WIDTH) {
COLLECT
      }
    }
  }
  return count;
}

static net_detection box_of(const int8_t *out, candidate one) {
  const int32_t anchor = one.place / NET_CLASSES;
  int32_t number = LEVELS - 1;
  while (anchor < levels[number].first_anchor) --number;
  const level *map = &levels[number];
  const int32_t inside = anchor - map->first_anchor, cell = inside / map->shapes;
  const float *sides = shapes[map->first_shape + inside % map->shapes];
  const int8_t *code = out + map->boxes + 4 * inside;
  float moved[2];
  for (int32_t i = 0; i < 2; ++i) {
    moved[i] = map->box_scale * (float)(code[i] - map->box_zero) / factors[i];
  }
  const float y = ((float)(cell / map->columns) + 0.5f) / (float)map->rows;
  const float x = ((float)(cell % map->columns) + 0.5f) / (float)map->columns;
  const float centre_y = moved[0] * sides[0] + y, centre_x = moved[1] * sides[1] + x;
  const float half_height = map->heights[code[2] + 128] * sides[0] / 2.0f;
  const float half_width = map->widths[code[3] + 128] * sides[1] / 2.0f;
  const net_detection found = {centre_y - half_height, centre_x - half_width,
                               centre_y + half_height, centre_x + half_width,
                               one.score,              one.place % NET_CLASSES};
  return found;
}

/* Whether two boxes overlap by more than the threshold; boxes without area never do. */
static int overlap(const net_detection *a, const net_detection *b) {
  const float top = a->top > b->top ? a->top : b->top;
  const float left = a->left > b->left ? a->left : b->left;
  const float height = (a->bottom < b->bottom ? a->bottom : b->bottom) - top;
  const float width = (a->right < b->right ? a->right : b->right) - left;
  if (!(height > 0.0f && width > 0.0f)) return 0;
  const float inner = height * width;
  const float both = (a->bottom - a->top) * (a->right - a->left) +
                     (b->bottom - b->top) * (b->right - b->left) - inner;
  return both > 0.0f && inner / both > NET_IOU_THRESHOLD;
}

int32_t net_decode(const int8_t *out, net_detection *found) {
  int32_t count = 0;
  candidate last = {HUGE_VALF, -1};
  for (;;) {
    const int32_t collected = collect(out, last);
    for (int32_t i = 0; i < collected; ++i) {
      const net_detection one = box_of(out, candidates[i]);
      int32_t other = 0;
      while (other < count &&
             !(found[other].label == one.label && overlap(&found[other], &one))) {
        ++other;
      }
      if (other < count) continue;
      found[count++] = one;
      if (count == NET_MOST_DETECTIONS) return count;
    }
    if (collected < CANDIDATES) return count;
    last = candidates[CANDIDATES - 1];
  }
}
"""
