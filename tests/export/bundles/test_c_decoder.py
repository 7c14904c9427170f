"""The C++ decoder of a bundle, compiled and run on the raw outputs of an int8 file."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration_data.detection import Detector, ScoreEnd
from evaluation.decoding import Detections, decoded
from export.bundles.c_decoder import HEADER, SOURCE, decoder_texts
from export.bundles.c_outputs import OutputEnd, output_lines
from export.bundles.c_sources import header
from foundation.errors import InvalidInputError, UnsupportedError
from tests.export.detectors import (
    CLASSES,
    CONTRACT,
    DETECTOR,
    assert_same,
    clear,
    with_detector,
)

COMPILER = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
MAIN = """\
#include <cstdio>

#include "model_contract.h"
#include "model_decoder.h"

using namespace net;

static std::int8_t integers[kOutputSize];
static Detection found[kMostDetections];

int main() {
  const std::int8_t* outputs[kOutputCount];
  for (int i = 0, start = 0; i < kOutputCount; start += kOutputs[i++].size) {
    outputs[i] = integers + start;
  }
  while (std::fread(integers, 1, kOutputSize, stdin) == kOutputSize) {
    const std::int32_t count = Decode(outputs, found);
    std::fwrite(&count, sizeof count, 1, stdout);
    std::fwrite(found, sizeof found[0], kMostDetections, stdout);
  }
  return kClassNames[kClasses - 1][0] == 'c' ? 0 : 1;
}
"""

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="needs a C++ compiler")


def ends_of(detector: Detector) -> tuple[OutputEnd, ...]:
    """Outputs of a file, each with a scale of its own, scores before boxes."""
    width, found = CLASSES + detector.ground, []
    for names, each, scale in ((detector.scores, width, 0.06), (detector.boxes, 4, 0.04)):
        for number, name in enumerate(names):
            levels = detector.levels if len(names) == 1 else detector.levels[number : number + 1]
            size = each * sum(level.count for level in levels)
            if detector.end is ScoreEnd.NONE and each == width:
                found.append(OutputEnd(name, (size,), 1 / 256, -128))
            else:
                found.append(OutputEnd(name, (size,), scale * (1 + 0.3 * number), 3 - 5 * number))
    return tuple(found)


def integers_of(ends: tuple[OutputEnd, ...], count: int) -> list[np.ndarray]:
    """Random int8 outputs, bell-shaped around their zero points."""
    rng = np.random.default_rng(11)
    return [
        np.clip(np.round(rng.normal(end.zero_point, 30, (count, end.size))), -128, 127).astype(
            np.int8
        )
        for end in ends
    ]


def compiled(texts: Mapping[str, str], ends: tuple[OutputEnd, ...], folder: Path) -> Path:
    """Program that reads the integers of images and writes their detections."""
    lines = header("model_contract.h", ["cstdint"], output_lines(ends), "net")
    for name, text in {**texts, "model_contract.h": lines, "main.cc": MAIN}.items():
        (folder / name).write_text(text, encoding="ascii")
    program = folder / "program"
    flags = ["-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-fno-exceptions"]
    assert COMPILER is not None
    sources = [str(folder / SOURCE), str(folder / "main.cc")]
    subprocess.run([COMPILER, *flags, f"-I{folder}", "-o", str(program), *sources], check=True)
    return program


def found_by(program: Path, integers: list[np.ndarray], most: int) -> Detections:
    content = np.concatenate(integers, axis=1).tobytes()
    done = subprocess.run([str(program)], input=content, capture_output=True, check=True)
    kind = np.dtype(
        [("count", "<i4"), ("rows", [("box", "<f4", 4), ("score", "<f4"), ("label", "<i4")], most)]
    )
    read = np.frombuffer(done.stdout, kind)
    inside = np.arange(most) < read["count"][:, None]  # what is behind is of images before
    rows = read["rows"]
    return Detections(
        np.where(inside[..., None], rows["box"], 0),
        np.where(inside, rows["score"], 0),
        np.where(inside, rows["label"], 0).astype(np.int64),
        read["count"].astype(np.int64),
    )


DETECTORS = {
    "sigmoid": DETECTOR,
    "softmax": replace(DETECTOR, end=ScoreEnd.SOFTMAX, score_threshold=0.4),
    "probabilities, no ground": replace(
        DETECTOR, end=ScoreEnd.NONE, ground=False, score_threshold=0.2, most=7
    ),
    "one output for all levels": replace(
        DETECTOR, boxes=("boxes",), scores=("scores",), score_threshold=0.8
    ),
}


@needs_compiler
@pytest.mark.parametrize("count", [15, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", DETECTORS)
def test_compiled_detections_are_those_of_the_definition(
    name: str, count: int, tmp_path: Path
) -> None:
    detector = DETECTORS[name]
    ends = ends_of(detector)
    integers = integers_of(ends, count)
    texts = decoder_texts("net", with_detector(detector), ends)
    assert set(texts) == {HEADER, SOURCE}
    assert not any(word in texts[SOURCE] for word in ("malloc", "new ", "vector", "throw"))
    # Fewer candidates at a time, so that there are several rounds.
    texts[SOURCE] = texts[SOURCE].replace("kCandidates = 256", "kCandidates = 32")
    program = compiled(texts, ends, tmp_path)
    raw = {
        end.name: (values.astype(np.float32) - end.zero_point) * np.float32(end.scale)
        for end, values in zip(ends, integers, strict=True)
    }
    wanted = decoded(detector, raw)
    found = found_by(program, integers, detector.most)
    assert wanted.counts.sum() > 3 * count
    sure = clear(detector, raw)
    assert sure.mean() > 0.8
    assert_same(only(found, sure), only(wanted, sure), detector.most)


def only(found: Detections, rows: np.ndarray) -> Detections:
    return Detections(
        found.boxes[rows], found.scores[rows], found.classes[rows], found.counts[rows]
    )


def test_other_outputs_and_names_are_refused() -> None:
    ends = ends_of(DETECTOR)
    with pytest.raises(UnsupportedError, match="without scores_1"):
        decoder_texts("net", CONTRACT, (ends[0], *ends[2:]))
    with pytest.raises(UnsupportedError, match="4 numbers for the box of each anchor"):
        decoder_texts("net", CONTRACT, (replace(ends[0], shape=(99,)), *ends[1:]))
    with pytest.raises(InvalidInputError, match="one label for each of the 3 outputs"):
        decoder_texts("net", replace(CONTRACT, labels=("cup",)), ends)
    assert decoder_texts("net", replace(CONTRACT, detector=None), ends) == {}
