"""The C99 decoder of a bundle, compiled and run on the raw outputs of an int8 file."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from evaluation.decoding import decoded
from export.bundles.c99_decoder import HEADER, SOURCE, c99_decoder
from export.bundles.c_outputs import OutputEnd
from export.c.names import Prefix
from foundation.errors import InvalidInputError, UnsupportedError
from tests.export.bundles.test_c_decoder import DETECTORS, ends_of, found_by, integers_of, only
from tests.export.c.compiled import COMPILER, SANITIZED, STRICT, needs_compiler
from tests.export.detectors import CONTRACT, DETECTOR, assert_same, clear, with_detector

MAIN = """\
#include <stdio.h>
#include "car_decoder.h"
static int8_t out[SIZE];
static car_detection found[CAR_MOST_DETECTIONS];
int main(void) {
  while (fread(out, 1, sizeof out, stdin) == sizeof out) {
    const int32_t count = car_decode(out, found);
    fwrite(&count, sizeof count, 1, stdout);
    fwrite(found, sizeof found[0], CAR_MOST_DETECTIONS, stdout);
  }
  return car_class_names[CAR_CLASSES - 1][0] == 'c' ? 0 : 1;
}
"""


def compiled(texts: dict[str, str], ends: tuple[OutputEnd, ...], folder: Path, *flags: str) -> Path:
    """Program that reads the integers of images and writes their detections; without libm."""
    size = sum(end.size for end in ends)
    files = {f"car_{name}": Prefix("car").applied(text) for name, text in texts.items()}
    for name, text in {**files, "main.c": MAIN.replace("SIZE", str(size))}.items():
        (folder / name).write_text(text, encoding="ascii")
    program = folder / "program"
    sources = [str(folder / name) for name in ("car_decoder.c", "main.c")]
    command = [str(COMPILER), *STRICT, "-O1", *flags, f"-I{folder}", "-o", str(program)]
    subprocess.run([*command, *sources], check=True)
    return program


@needs_compiler
@pytest.mark.parametrize(
    ("count", "flags"),
    [(15, ()), (200, SANITIZED)],
    ids=["a few", "many, with sanitizers"],
)
@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.slow
def test_detections_are_those_of_the_definition(
    name: str, count: int, flags: tuple[str, ...], tmp_path: Path
) -> None:
    detector = DETECTORS[name]
    ends = ends_of(detector)
    integers = integers_of(ends, count)
    texts = c99_decoder("net", with_detector(detector), ends)
    assert set(texts) == {HEADER, SOURCE}
    # Fewer candidates at a time, so that there are several rounds.
    texts[SOURCE] = texts[SOURCE].replace("CANDIDATES 256", "CANDIDATES 32")
    program = compiled(texts, ends, tmp_path, *flags)
    raw = {
        end.name: (values.astype(np.float32) - end.zero_point) * np.float32(end.scale)
        for end, values in zip(ends, integers, strict=True)
    }
    wanted = decoded(detector, raw)
    found = found_by(program, integers, detector.most)
    sure = clear(detector, raw)
    assert sure.mean() > 0.8
    assert_same(only(found, sure), only(wanted, sure), detector.most)


def test_a_box_without_end_has_a_literal() -> None:
    ends = tuple(replace(end, scale=30.0) for end in ends_of(DETECTOR))
    assert "HUGE_VALF," in c99_decoder("net", CONTRACT, ends)[SOURCE]


def test_other_outputs_and_names_are_refused() -> None:
    ends = ends_of(DETECTOR)
    with pytest.raises(UnsupportedError, match="without scores_1"):
        c99_decoder("net", CONTRACT, (ends[0], *ends[2:]))
    with pytest.raises(InvalidInputError, match="one label for each of the 3 outputs"):
        c99_decoder("net", replace(CONTRACT, labels=("cup",)), ends)
    assert c99_decoder("net", replace(CONTRACT, detector=None), ends) == {}
