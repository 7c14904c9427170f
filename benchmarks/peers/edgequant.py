"""This product, by its command: int8 at each level of optimization, and its other recipes."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.accuracy.peer import PER_CHANNEL, Job, Peer, Setting, Source

RECIPES = ("tflite-int8", "onnx-int8")
OTHERS = {
    "float16": ("tflite-float16", "onnx-float16"),
    "dynamic": ("tflite-dynamic", "onnx-dynamic"),
    "int16x8": ("tflite-int16x8",),
    "int4": ("tflite-int4",),
}
"""Recipes by the name of their setting; they have no weights per tensor."""
_CONVERTER = "converter"


def levels() -> tuple[str, ...]:
    """Names for ``--optimize``, the default one first; ``converter`` alone without that option."""
    option = _optimize()
    choices = () if option is None else tuple(str(c) for c in option.type.choices)
    if not choices:
        return (_CONVERTER,)
    default = (option.default,) if option.default in choices else ()
    return (*default, *(c for c in choices if c not in default and c != "qat"))


def _optimize() -> Any:
    import edgequant.cli.main

    parameters = edgequant.cli.main.cli.commands["quantize"].params
    return next((p for p in parameters if p.name == "optimize"), None)


def quantize(job: Job) -> None:
    """One run of ``edgequant quantize`` for all files of a setting."""
    from edgequant.cli.main import main

    int8 = RECIPES if job.per_channel else tuple(f"{name}-per-tensor" for name in RECIPES)
    recipes = OTHERS.get(job.setting, int8)
    effort = _optimize() is not None and job.setting not in OTHERS
    level = ["--optimize", job.setting] if effort else []
    folder = Path(job.output) / "command"
    try:
        main(
            ["quantize", *job.options, "--recipe", ",".join(recipes), *level,
             "--calibration", job.calibration, "--output", str(folder)]
        )  # fmt: skip
    except SystemExit as stop:
        if stop.code not in (None, 0, os.EX_OK):
            print(f"edgequant quantize exited with {stop.code}", file=sys.stderr)
            raise
    for name in recipes:
        suffix = f".{name.partition('-')[0]}"
        (written,) = folder.rglob(f"*{suffix}")  # one recipe has no folder of its own
        shutil.move(written, job.result(suffix))


PEER = Peer(
    name="Edgequant",
    distributions=("edgequant", "tensorflow", "onnx"),
    source=Source.KERAS,
    imports=("tensorflow", "keras", "onnx", "onnxruntime", "ai_edge_litert.interpreter"),
    settings=(
        *(Setting(level, f"--optimize {level}") for level in levels()),
        *(Setting(name, f"--recipe {','.join(r)}", (PER_CHANNEL,)) for name, r in OTHERS.items()),
    ),
    quantize=quantize,
    of_product=True,
)
