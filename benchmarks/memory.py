"""Wall time and peak memory of the commands for a detector and for a segmenter's large maps.

The detector is the shipped one, quantized and measured as ``make tflite-int8
MODEL=ssdlite_fashion`` does it. The segmenter, which needs weights and photos, is DeepLabv3 on
MobileNetV2 with its map enlarged to 513x513x21, in float32 and int8, measured on more and more
photos: what is kept of a photo is counts, so that the memory does not grow with their number.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import edgequant  # noqa: F401 - pins our top-level packages
from benchmarks.costs import Cost, cost_of_edgequant
from benchmarks.record import Figure, report
from calibration_data.datasets.base import open_dataset
from foundation.threads import cores
from models.spec import model_spec

DETECTOR, SEGMENTER = "ssdlite_fashion", "deeplab_v3_mobilenet_v2"
SCENES = "fashion_scenes:test"
_LARGEST_MAP = 513


@dataclass(frozen=True)
class Segmenter:
    """Weights and photos of the segmenter.

    Attributes:
        weights: name or file of the weights.
        calibration: DATA to calibrate on.
        data: DATA of photos with masks of Pascal VOC's classes.
    """

    weights: str
    calibration: str
    data: str


def run(segmenter: Segmenter | None = None) -> list[Figure]:
    """Measure the detector, and the segmenter if it is given; the subject is what was run.

    Raises:
        InvalidInputError: a command failed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        detector = cost_of_edgequant(
            "quantize", "--model", DETECTOR, "--recipe", "tflite-int8", "--data", SCENES,
            "--output", str(folder / "detector"),
        )  # fmt: skip
        subject = f"{DETECTOR}: quantize and measure on {SCENES}"
        figures = _figures(subject, len(open_dataset(SCENES)), detector)
        if segmenter is not None:
            figures += _segmenter_figures(segmenter, folder)
    return figures


def _segmenter_figures(segmenter: Segmenter, folder: Path) -> list[Figure]:
    figures = []
    model, output = _enlarged(segmenter.weights, folder), folder / "segmenter"
    cost_of_edgequant(
        "quantize", "--model", str(model), "--recipe", "tflite-float32,tflite-int8",
        "--optimize", "fast", "--calibration", segmenter.calibration, "--samples", "16",
        "--output", str(output),
    )  # fmt: skip
    (exact,), (int8,) = output.rglob("*float32.tflite"), output.rglob("*int8.tflite")
    photos = len(open_dataset(segmenter.data))
    for count in sorted({-(-photos // 4), -(-photos // 2), photos}):
        taken = cost_of_edgequant(
            "evaluate", str(int8), "--reference", str(exact), "--data", segmenter.data,
            "--limit", str(count), "--no-latency",
        )  # fmt: skip
        figures += _figures(f"{SEGMENTER}, map of 513x513x21: measure {count} photos", count, taken)
    return figures


def _figures(subject: str, n: int, taken: Cost) -> list[Figure]:
    return [
        Figure(subject, "wall time", taken.seconds, "s", n, cores()),
        Figure(subject, "peak memory", taken.peak_bytes / 1e6, "MB", n, cores()),
    ]


def _enlarged(weights: str, folder: Path) -> Path:
    """Segmenter whose map has the size of its input, with its contract beside it."""
    import keras

    from models.weights.named import build_with_weights

    spec = model_spec(SEGMENTER)
    network = build_with_weights(spec, weights)
    whole = keras.layers.Resizing(_LARGEST_MAP, _LARGEST_MAP)(network.output)  # [b, 513, 513, 21]
    path = folder / "enlarged.keras"
    keras.Model(network.input, whole).save(path)
    values = spec.preprocessing.to_dict()
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    lines = [f"{k} = {json.dumps(v)}" for k, v in values.items() if k not in tables]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{k} = {json.dumps(v)}" for k, v in table.items())]
    path.with_suffix(".toml").write_text("\n".join(lines), encoding="utf-8")
    return path


def _main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("--weights", help="weights of the segmenter, such as a published .tflite")
    parser.add_argument("--calibration", help="photos to calibrate it on")
    parser.add_argument("--data", help="photos with masks of Pascal VOC's classes")
    options = parser.parse_args(arguments)
    given = options.weights, options.calibration, options.data
    if None in given and any(given):
        parser.error("--weights, --calibration and --data go together")
    report("memory", run(Segmenter(*given) if all(given) else None))


if __name__ == "__main__":
    _main(sys.argv[1:])
