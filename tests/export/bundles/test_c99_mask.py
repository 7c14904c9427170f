"""The C99 of a segmenter's mask, compiled and run on random maps."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.segmentation import Segmenter, Upsampling
from calibration_data.task import OutputTask, Task, Tasks
from evaluation.mask_rows import grid_of
from export.bundles.c99_mask import HEADER, SOURCE, c99_mask
from export.bundles.c_outputs import OutputEnd
from export.c.names import Prefix
from foundation.errors import InvalidInputError
from tests.export.c.compiled import COMPILER, SANITIZED, STRICT, needs_compiler

CONTRACT = Preprocessing(
    size=(18, 13),
    crop=Crop.STRETCH,
    segmenter=Segmenter(),
    labels=("ground", "cup", "cat"),
    tasks=Tasks(OutputTask(Task.SEGMENTATION)),
)
END = OutputEnd("map", (5, 4, 3), 0.1, 7)
MAIN = """\
#include <stdio.h>
#include "car_mask.h"
static int8_t out[SIZE];
static uint8_t mask[CAR_MASK_HEIGHT * CAR_MASK_WIDTH];
int main(void) {
  while (fread(out, 1, sizeof out, stdin) == sizeof out) {
    car_mask(out, mask);
    fwrite(mask, 1, sizeof mask, stdout);
  }
  return car_class_names[CAR_CLASSES - 1][0] == 'c' ? 0 : 1;
}
"""


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("upsampling", list(Upsampling))
@pytest.mark.parametrize("size", [(5, 4), (18, 13), (1, 1)], ids=["as large", "odd", "one place"])
def test_masks_are_those_of_the_definition(
    upsampling: Upsampling, size: tuple[int, int], tmp_path: Path
) -> None:
    contract = replace(CONTRACT, segmenter=Segmenter(upsampling=upsampling))
    contract = replace(contract, size=(5, 4)) if size == (5, 4) else contract
    end = replace(END, shape=(1, 1, 3)) if size == (1, 1) else END
    texts = c99_mask("net", contract, [end])
    for name, text in texts.items():
        (tmp_path / f"car_{name}").write_text(Prefix("car").applied(text), encoding="ascii")
    (tmp_path / "main.c").write_text(MAIN.replace("SIZE", str(end.size)))
    program, sources = tmp_path / "program", [tmp_path / "car_mask.c", tmp_path / "main.c"]
    command = [str(COMPILER), *STRICT, "-O1", *SANITIZED, f"-I{tmp_path}", "-o", str(program)]
    subprocess.run([*command, *map(str, sources)], check=True)
    maps = np.random.default_rng(2).integers(-128, 128, (20, *end.shape)).astype(np.int8)
    done = subprocess.run([str(program)], input=maps.tobytes(), capture_output=True, check=True)
    found = np.frombuffer(done.stdout, np.uint8).reshape(20, *contract.size)
    grid = grid_of(contract, contract.size, end.shape[:2])
    for values, mask in zip(maps, found, strict=True):
        # With every score raised by a little, and lowered, the winner is the same unless it is one
        # of two that are as good as equal: there rounding decides in float32.
        wide = values.astype(np.float32)
        sure = np.ones(mask.shape, bool)
        for label in range(3):
            raised = wide + 1e-3 * (np.arange(3) == label)
            sure &= grid.best(raised) == grid.best(wide)
        assert sure.mean() > 0.9
        assert np.array_equal(mask[sure], grid.best(wide)[sure])


def test_only_a_map_of_classes_has_a_mask() -> None:
    assert set(c99_mask("net", CONTRACT, [END])) == {HEADER, SOURCE}
    assert c99_mask("net", replace(CONTRACT, tasks=Tasks()), [END]) == {}
    assert c99_mask("net", CONTRACT, [END, END]) == {}
    assert c99_mask("net", CONTRACT, [replace(END, shape=(5, 4, 1))]) == {}
    with pytest.raises(InvalidInputError, match="one label for each of the 3 outputs"):
        c99_mask("net", replace(CONTRACT, labels=("cup",)), [END])
