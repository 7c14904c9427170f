"""Arm Ethos-U NPUs: an int8 file compiled by Vela for each configuration."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from calibration_data.preprocessing import Preprocessing
from export.bundles import c_decoder
from export.bundles import c_sources as c
from export.bundles.c_inputs import CInput
from export.bundles.microcontroller import contract_texts, outputs_of
from export.bundles.resolver_methods import RESOLVER_METHODS
from export.bundles.target import VECTORS, Budget, BundleRequest, Figures, ShipFile, ShipTarget
from foundation.errors import InvalidInputError
from foundation.foreign import read_object, reading
from network.tflite.reader import DEQUANTIZE, QUANTIZE, read_flat_model
from quantize.recipes import recipe
from quantize.settings import IoType

ROLE = "int8"
VELA = "vela"
REPORT = "performance.json"
_CONFIGURATIONS = "accelerators.json"
ACCELERATORS = (
    "ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256", "ethos-u65-256",
    "ethos-u65-512", "ethos-u85-128", "ethos-u85-256", "ethos-u85-512", "ethos-u85-1024",
    "ethos-u85-2048",
)  # fmt: skip
"""Values of --accelerator-config in Vela 5.2."""
DEFAULT_ACCELERATORS = (
    "ethos-u55-32", "ethos-u55-64", "ethos-u55-128", "ethos-u55-256", "ethos-u65-512",
    "ethos-u85-256",
)  # fmt: skip
_HOW = """\
A compiled file is one custom operator (and what fell back), for TFLite Micro with Arm's Ethos-U
kernel and driver; `model_contract.h` has scales, labels and what to do to a pixel."""
_COLUMNS = {
    "accelerator": "configuration",
    "system": "system",
    "memory_mode": "memory mode",
    "clock_mhz": "clock MHz",
    "cycles": "cycles",
    "inferences_per_second": "inferences/s",
    "sram_bytes": "SRAM bytes",
    "flash_bytes": "flash or DRAM bytes",
    "npu_percent": "on the NPU %",
}


def accelerators(text: str | None) -> tuple[str, ...]:
    """Parse configurations from a text with commas; the default ones when None.

    Raises:
        InvalidInputError: a configuration that Vela does not know.
    """
    names = DEFAULT_ACCELERATORS if text is None else tuple(n.strip() for n in text.split(","))
    if unknown := [name for name in names if name not in ACCELERATORS]:
        raise InvalidInputError(
            f"--accelerators are of {', '.join(ACCELERATORS)}",
            received=unknown[0] or "an empty name",
            remedy="give some of these, with commas",
        )
    return tuple(dict.fromkeys(names))


def model_file(folder: Path) -> Path:
    """Path of the file before compilation, in this target's folder."""
    return next(
        (p for p in sorted(folder.glob("*.tflite")) if not p.stem.endswith("_vela")),
        folder / "model.tflite",
    )


def compiled_name(name: str, accelerator: str) -> str:
    """Name of a compiled file."""
    return f"{name}-int8-{accelerator}_vela.tflite"


def rows_of(figures: Figures) -> list[Mapping[str, Any]]:
    """One row per configuration; none when Vela did not run."""
    return list(figures.get(VELA, {}).get("rows", []))


def table(rows: list[Mapping[str, Any]]) -> str:
    """Markdown table of the rows, and a list of the operators that run on the CPU."""
    keys = list(_COLUMNS)
    numeric = {"cycles", "sram_bytes", "flash_bytes"}
    lines = [
        f"| {' | '.join(_COLUMNS.values())} |",
        f"|{'|'.join('---:' if k in numeric else '---' for k in keys)}|",
    ]
    for row in rows:
        cells = [f"{row[k]:,}" if k in numeric else str(row[k]) for k in keys]
        lines.append(f"| {' | '.join(cells)} |")
    for row in rows:
        lines += [
            f"- {row['accelerator']}: {op['operator']} `{op['tensor']}` on the CPU: {op['reason']}"
            for op in row["fallbacks"]
        ]
    return "\n".join(lines)


def _check(_: Preprocessing) -> None:
    """Accept every contract: the firmware computes with its numbers."""


def _write(request: BundleRequest, folder: Path) -> None:
    shutil.copyfile(request.files[ROLE], folder / _model_name(request))
    for file, text in _texts(request).items():
        (folder / file).write_text(text, encoding="utf-8")
    request.vectors[ROLE].write(folder / VECTORS, ROLE)


def _model_name(request: BundleRequest) -> str:
    return f"{request.name}-int8.tflite"


def _texts(request: BundleRequest) -> dict[str, str]:
    """Content of the sources and of the list of configurations, by file name."""
    return {
        **contract_texts(request),
        _CONFIGURATIONS: json.dumps({"accelerators": list(request.accelerators)}) + "\n",
    }


def _report_texts(figures: Figures) -> dict[str, str]:
    """Vela's figures as JSON and as CSV, by file name; empty when Vela did not run."""
    rows = rows_of(figures)
    if not rows:
        return {}
    values = {
        "version": figures[VELA]["version"],
        "rows": [{k: v for k, v in row.items() if not k.startswith("_")} for row in rows],
    }
    text = io.StringIO()
    writer = csv.DictWriter(text, list(_COLUMNS), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return {
        REPORT: json.dumps(values, indent=2) + "\n",
        "performance.csv": text.getvalue(),
    }


def _finish(request: BundleRequest, folder: Path, figures: Figures) -> None:
    for row in rows_of(figures):
        shutil.move(row["_compiled"], folder / compiled_name(request.name, row["accelerator"]))
    for file, text in _report_texts(figures).items():
        (folder / file).write_text(text, encoding="utf-8")


def _data(request: BundleRequest, figures: Figures) -> tuple[str, ...]:
    """Names of model and compiled files; refuses figures of a configuration that Vela lacks."""
    names = [row["accelerator"] for row in rows_of(figures)]
    if names:
        accelerators(",".join(map(str, names)))
    return (_model_name(request), *(compiled_name(request.name, name) for name in names))


def _rebuild(request: BundleRequest, folder: Path, figures: Figures) -> dict[str, bytes]:
    path = folder / _CONFIGURATIONS
    rule, remedy = "a bundle lists the configurations of Ethos-U", "make the bundle again"
    values = read_object(path, rule, remedy)
    with reading(path, rule, remedy):
        names = accelerators(",".join(values["accelerators"]))
        rows = [row["accelerator"] for row in rows_of(figures)]
        if len(set(names)) != len(names) or (rows and rows != list(names)):
            raise ValueError("other configurations than those with figures")
    texts = {**_texts(replace(request, accelerators=names)), **_report_texts(figures)}
    return {name: text.encode() for name, text in texts.items()}


def _budgets(_folder: Path, figures: Figures) -> tuple[Budget, ...]:
    rows = rows_of(figures)
    if not rows:
        return (Budget("ethos-u", None, None),)
    return tuple(
        Budget(str(row["accelerator"]), row["flash_bytes"], row["sram_bytes"]) for row in rows
    )


def _guide(request: BundleRequest, _folder: Path, figures: Figures) -> str:
    rows = rows_of(figures)
    if not rows:
        return (
            "Vela was not there, so nothing is compiled yet: `pip install ethos-u-vela`, then "
            f"`vela {request.name}-int8.tflite --accelerator-config ethos-u55-128`."
            + "".join(f"\n\n{line}" for line in _float_lines(request))
        )
    name = compiled_name(request.name, str(rows[0]["accelerator"]))
    several = outputs_of(read_flat_model(request.files[ROLE]).subgraphs[0], request.contract)
    return "\n".join(
        [
            f"Estimates of Vela {figures[VELA]['version']}, not measurements on silicon:",
            "",
            table(rows),
            *_float_lines(request),
            "",
            _HOW,
            "",
            "```cpp",
            f'#include "model_contract.h"  // FillInput, {"kOutputs" if several else "Best"}',
            *(['#include "model_decoder.h"'] if request.contract.detector else []),
            f"using namespace {c.identifier(request.name)};",
            f"// model_data: the bytes of {name}, alignas(16); arena: alignas(16)",
            f"tflite::MicroMutableOpResolver<{1 + len(_cpu_operators(rows[0]))}> resolver;",
            "resolver.AddEthosU();",
            *(f"resolver.{method}();" for method in _cpu_operators(rows[0])),
            "tflite::MicroInterpreter interpreter(tflite::GetModel(model_data), resolver,",
            "                                     arena, sizeof(arena));",
            "if (interpreter.AllocateTensors() != kTfLiteOk) return 1;",
            f"FillInput({CInput(request.contract).buffer}, interpreter.input(0)->data.int8);",
            "if (interpreter.Invoke() != kTfLiteOk) return 1;",
            *_reading(request.contract, several=bool(several)),
            "```",
        ]
    )


def _reading(contract: Preprocessing, *, several: bool) -> list[str]:
    """Lines of C++ that read the outputs, for the guide."""
    if contract.detector is not None:
        lines = c_decoder.guide("", "interpreter.output(i)->data.int8")
        return [line.removeprefix("    ") for line in lines]
    if several:
        return ["Use(kOutputs[0], interpreter.output(0)->data.int8);  // yours; and the others"]
    return ["const int best = Best(interpreter.output(0)->data.int8);"]


def _float_lines(request: BundleRequest) -> list[str]:
    """Sentence about operators in float32, which no configuration computes; none without any."""
    graph = read_flat_model(request.files[ROLE]).subgraphs[0]
    kinds = Counter(
        operator.name
        for operator in graph.operators
        if operator.name not in (QUANTIZE, DEQUANTIZE)
        if graph.compute(operator) not in ("int8", "int16", "int32")
    )
    named = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return [f"In float32, so on the CPU whatever the configuration: {named}."] if kinds else []


def _cpu_operators(row: Mapping[str, Any]) -> list[str]:
    names = {op["operator"] for op in row["fallbacks"]}
    return sorted(RESOLVER_METHODS.get(name, f"Add{name.title()}") for name in names)


BUNDLE = ShipTarget(
    name="ethos-u",
    title="Arm Ethos-U (Vela)",
    extra="ethos-u",
    files=(ShipFile(ROLE, recipe("tflite-int8").with_io(IoType.INT8), "litert-reference"),),
    check=_check,
    write=_write,
    finish=_finish,
    guide=_guide,
    data=_data,
    rebuild=_rebuild,
    measurements=(VELA,),
    proofs=("litert", VELA),
    budgets=_budgets,
    any_outputs=True,
)
