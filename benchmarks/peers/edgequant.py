"""This product, by its command, at each level of optimization that it has."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.accuracy.peer import Job, Peer, Setting, Source

RECIPES = ("tflite-int8", "onnx-int8")
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
    """One run of ``edgequant quantize`` for the .tflite and the .onnx."""
    from edgequant.cli.main import main

    recipes = RECIPES if job.per_channel else tuple(f"{name}-per-tensor" for name in RECIPES)
    level = [] if _optimize() is None else ["--optimize", job.setting]
    folder = Path(job.output) / "command"
    try:
        main(
            ["quantize", "--model", job.model, "--recipe", ",".join(recipes), *level,
             "--calibration", job.calibration, "--output", str(folder)]
        )  # fmt: skip
    except SystemExit as stop:
        if stop.code not in (None, 0, os.EX_OK):
            print(f"edgequant quantize exited with {stop.code}", file=sys.stderr)
            raise
    for suffix in (".tflite", ".onnx"):
        (written,) = folder.glob(f"*/*{suffix}")
        shutil.move(written, job.result(suffix))


PEER = Peer(
    name="Edgequant",
    distributions=("edgequant", "tensorflow", "onnx"),
    source=Source.KERAS,
    imports=("tensorflow", "keras", "onnx", "onnxruntime", "ai_edge_litert.interpreter"),
    settings=tuple(Setting(level, f"--optimize {level}") for level in levels()),
    quantize=quantize,
    of_product=True,
)
