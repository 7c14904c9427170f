"""C99 that turns the int8 map of a segmenter into the class of each pixel of the input.

The map is enlarged as ``evaluation.masks`` does, bilinear, and the largest score wins; of equal
ones the lowest class. All scores have one scale, so exact integers decide.
"""

from __future__ import annotations

from collections.abc import Sequence

from calibration_data.preprocessing import Preprocessing
from calibration_data.segmentation import Segmenter, Upsampling
from calibration_data.task import Task
from export.bundles.c_outputs import OutputEnd
from export.bundles.labels import check_labels
from export.c.sources import c_text, comment, guarded

HEADER, SOURCE = "mask.h", "mask.c"
"""Names of the files, which a prefix completes."""
_MOST_CLASSES = 255
_MOST = 2**31


def c99_mask(title: str, contract: Preprocessing, outputs: Sequence[OutputEnd]) -> dict[str, str]:
    """Header and source of ``net_mask`` by ``HEADER`` and ``SOURCE``; empty if no segmenter.

    It is empty too for outputs that are not one map of scores of 2 to 255 classes.

    Args:
        title: name of the network, for comments.
        contract: contract with the size of the input and the names of the classes.
        outputs: outputs of the file, in the order in which ``net_run`` writes them.

    Raises:
        InvalidInputError: names of classes that are no ASCII, or not as many as classes.
    """
    shapes = [end.shape for end in outputs]
    if contract.tasks.only.known is not Task.SEGMENTATION or len(shapes) != 1:
        return {}
    if len(shapes[0]) != 3 or not 2 <= shapes[0][2] <= _MOST_CLASSES:
        return {}
    rows, columns, classes = shapes[0]
    if contract.labels:
        check_labels(contract, classes)
    height, width = contract.size
    corners = (contract.segmenter or Segmenter()).upsampling is Upsampling.ALIGN_CORNERS
    parts = [max(side - 1, 1) if corners else 2 * side for side in (height, width)]
    names = "extern const char *const net_class_names[NET_CLASSES];"
    first = f"/* {comment(title)}: classes of pixels from the map of net_run. */"
    lines = [
        f"#define NET_CLASSES {classes}",
        f"#define NET_MASK_HEIGHT {height}",
        f"#define NET_MASK_WIDTH {width}",
        *([names] if contract.labels else []),
        "",
        f"/* Class of each pixel of the input: the map [{rows}][{columns}][{classes}] in `out`,",
        " * enlarged, to mask[NET_MASK_HEIGHT][NET_MASK_WIDTH]. */",
        "void net_mask(const int8_t *out, uint8_t *mask);",
        "",
    ]
    head = [first, *guarded("NET_MASK_H", lines), ""]
    wide = 256 * parts[0] * parts[1] >= _MOST
    settings = [
        f"#define ROWS {rows}",
        f"#define COLUMNS {columns}",
        f"#define PARTS_Y {parts[0]} /* parts of the distance of two rows of the map */",
        f"#define PARTS_X {parts[1]}",
        f"typedef {'int64_t' if wide else 'int32_t'} score;",
        "",
    ]
    labels = [f"    {c_text(label)}," for label in contract.labels]
    named = ["const char *const net_class_names[NET_CLASSES] = {", *labels, "};", ""]
    code = _CODE.replace("PLACE", _CORNERS if corners else _HALVES)
    body = [first, '#include "net_mask.h"', "", *(named if labels else []), *settings, code]
    return {HEADER: "\n".join(head), SOURCE: "\n".join(body)}


_CORNERS = "index * (size - 1)"
_HALVES = "(2 * index + 1) * size - wanted"
_CODE = """\
/* Two neighbours of the map, and the parts of the way from the first to the second. */
typedef struct {
  int32_t low, high, share;
} between;

static between placed(int32_t index, int32_t size, int32_t wanted, int32_t parts) {
  const int32_t place = PLACE;
  between found = {0, 0, 0};
  (void)wanted;
  if (place <= 0) return found;
  found.low = place / parts;
  if (found.low >= size - 1) {
    found.low = found.high = size - 1;
    return found;
  }
  found.high = found.low + 1;
  found.share = place % parts;
  return found;
}

void net_mask(const int8_t *out, uint8_t *mask) {
  for (int32_t y = 0; y < NET_MASK_HEIGHT; ++y) {
    const between rows = placed(y, ROWS, NET_MASK_HEIGHT, PARTS_Y);
    const int8_t *above = out + rows.low * COLUMNS * NET_CLASSES;
    const int8_t *below = out + rows.high * COLUMNS * NET_CLASSES;
    for (int32_t x = 0; x < NET_MASK_WIDTH; ++x) {
      const between columns = placed(x, COLUMNS, NET_MASK_WIDTH, PARTS_X);
      const int32_t left = columns.low * NET_CLASSES, right = columns.high * NET_CLASSES;
      score most = 0;
      int32_t best = -1;
      for (int32_t c = 0; c < NET_CLASSES; ++c) {
        const score near = above[left + c] * (PARTS_X - columns.share) +
                           above[right + c] * columns.share;
        const score far = below[left + c] * (PARTS_X - columns.share) +
                          below[right + c] * columns.share;
        const score value = near * (PARTS_Y - rows.share) + far * rows.share;
        if (best < 0 || value > most) {
          most = value;
          best = c;
        }
      }
      *mask++ = (uint8_t)best;
    }
  }
}
"""
