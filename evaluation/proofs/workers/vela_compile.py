"""Script for an interpreter with ethos-u-vela: compiles a file for each configuration."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_COUNT = re.compile(r"^(CPU|NPU) operators = (\d+)", re.MULTILINE)
_FALLBACK = re.compile(
    r"^Warning[^\n]*?operator: (\w+), ofm: '([^']*)'\nReason: (.*?)(?=\n\n|\nWarning|\Z)",
    re.MULTILINE | re.DOTALL,
)
_KIB = 1024


def main() -> None:
    """``python vela_compile.py REQUEST REPLY``."""
    request_file, reply_file = Path(sys.argv[1]), Path(sys.argv[2])
    request = json.loads(request_file.read_text(encoding="utf-8"))
    try:
        installed = version("ethos-u-vela")
    except PackageNotFoundError:
        reply: dict[str, Any] = {"missing": "ethos-u-vela"}
    else:
        try:
            rows = [compile_for(request, name) for name in request["accelerators"]]
            reply = {"version": installed, "rows": rows}
        except RuntimeError as error:
            reply = {"error": str(error)}
    reply_file.write_text(json.dumps(reply), encoding="utf-8")


def compile_for(request: dict[str, Any], accelerator: str) -> dict[str, Any]:
    """Compile for one configuration; return a row of the table, with the file as ``_compiled``."""
    output = Path(request["output"]) / accelerator
    command = [
        sys.executable, "-I", "-m", "ethosu.vela", request["model"],
        "--accelerator-config", accelerator, "--output-dir", str(output), "--show-cpu-operations",
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    log = f"{done.stdout}\n{done.stderr}"
    summaries = sorted(output.glob("*_summary_*.csv"))
    compiled = sorted(output.glob("*_vela.tflite"))
    if done.returncode or not summaries or not compiled:
        last = log.strip().splitlines()[-1:] or ["no message"]
        raise RuntimeError(f"vela for {accelerator}: {last[0]}")
    with summaries[0].open(newline="", encoding="utf-8") as handle:
        summary = next(csv.DictReader(handle))
    return {"accelerator": accelerator, "_compiled": str(compiled[0]), **figures(summary, log)}


def figures(summary: dict[str, str], log: str) -> dict[str, Any]:
    """Figures from Vela's CSV and its log."""
    counts = {unit: int(count) for unit, count in _COUNT.findall(log)}
    npu, cpu = counts.get("NPU", 0), counts.get("CPU", 0)
    off_chip = ("off_chip_flash_memory_used", "on_chip_flash_memory_used", "dram_memory_used")
    return {
        "system": summary["system_config"],
        "memory_mode": summary["memory_mode"],
        "clock_mhz": round(float(summary["core_clock"]) / 1e6),
        "cycles": round(float(summary["cycles_total"])),
        "inferences_per_second": round(float(summary["inferences_per_second"]), 1),
        "sram_bytes": round(float(summary["sram_memory_used"]) * _KIB),
        "flash_bytes": round(sum(float(summary[key]) for key in off_chip) * _KIB),
        "npu_operators": npu,
        "cpu_operators": cpu,
        "npu_percent": round(100 * npu / max(npu + cpu, 1), 1),
        "fallbacks": [
            {"operator": operator, "tensor": tensor, "reason": one_line(reason)}
            for operator, tensor, reason in _FALLBACK.findall(log)
        ],
    }


def one_line(reason: str) -> str:
    """Join Vela's reason, a list over several lines, for use in a sentence."""
    parts = [line.strip().lstrip("- ").rstrip(".;") for line in reason.splitlines()]
    return "; ".join(part for part in parts if part).replace(":;", ":")


if __name__ == "__main__":
    main()
