"""This product, by its command: int8 at each level of optimization, and its other recipes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
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
SHARES = {"int4, 0.7 of int8": 0.7}
"""Largest size of tflite-int4 as a share of tflite-int8's, by the name of the setting."""
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
    """One run of ``edgequant quantize`` for all files of a setting, after one that tells a size."""
    folder = Path(job.output) / "command"
    if (share := SHARES.get(job.setting)) is not None:
        whole = _command(job, ("tflite-int8",), folder)["tflite-int8"].stat().st_size
        limit = ["--max-size", str(int(share * whole))]
        made = _command(job, OTHERS["int4"], folder, limit)
    elif job.setting in OTHERS:
        made = _command(job, OTHERS[job.setting], folder)
    else:
        names = RECIPES if job.per_channel else tuple(f"{name}-per-tensor" for name in RECIPES)
        level = [] if _optimize() is None else ["--optimize", job.setting]
        made = _command(job, names, folder, level)
    for path in made.values():
        shutil.move(path, job.result(path.suffix))


def _command(
    job: Job, recipes: tuple[str, ...], folder: Path, options: Sequence[str] = ()
) -> dict[str, Path]:
    """Files of one run of the command, by recipe."""
    from edgequant.cli.main import main

    try:
        main(
            ["quantize", *job.options, "--recipe", ",".join(recipes), *options,
             "--calibration", job.calibration, "--output", str(folder)]
        )  # fmt: skip
    except SystemExit as stop:
        if stop.code not in (None, 0, os.EX_OK):
            print(f"edgequant quantize exited with {stop.code}", file=sys.stderr)
            raise
    made = {}
    for name in recipes:  # one recipe has no folder of its own
        (made[name],) = folder.rglob(f"*-{name}.{name.partition('-')[0]}")
    return made


PEER = Peer(
    name="Edgequant",
    distributions=("edgequant", "tensorflow", "onnx"),
    source=Source.KERAS,
    imports=("tensorflow", "keras", "onnx", "onnxruntime", "ai_edge_litert.interpreter"),
    settings=(
        *(Setting(level, f"--optimize {level}") for level in levels()),
        *(Setting(name, f"--recipe {','.join(r)}", (PER_CHANNEL,)) for name, r in OTHERS.items()),
        *(
            Setting(name, f"tflite-int4, --max-size of {part} of int8's bytes", (PER_CHANNEL,))
            for name, part in SHARES.items()
        ),
    ),
    quantize=quantize,
    of_product=True,
)
