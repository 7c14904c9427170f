"""Proof by Arm's Vela, which compiles the file for every configuration and lists CPU operators."""

from __future__ import annotations

import json
from pathlib import Path

from evaluation.proofs.proof import (
    Proof,
    ProofRequest,
    ProofResult,
    Verdict,
    failed,
    run_worker,
    without,
)
from evaluation.proofs.tools import Tool
from export.bundles.ethos_u import REPORT, VELA, compiled_name, model_file
from foundation.digests import sha256_of

_TOOL = Tool("ethos-u-vela", "pip install 'edgequant[ethos-u]'", distribution="ethos-u-vela")


def run(request: ProofRequest) -> ProofResult:
    """Compile the file, and compare the bytes where the folder has compiled files already.

    The figures have one row per configuration under ``rows``; ``_compiled`` in a row is the path of
    the compiled file in the scratch folder.
    """
    listed = json.loads((request.folder / "accelerators.json").read_text(encoding="utf-8"))
    model = model_file(request.folder)
    values = {
        "model": str(model),
        "output": str(request.scratch),
        "accelerators": listed["accelerators"],
    }
    reply = run_worker("vela_compile", request, values)
    if reply.missing:
        return without(_TOOL)
    if reply.error:
        return failed(reply.error)
    version, rows = reply.values["version"], reply.values["rows"]
    if not rows:
        return failed("accelerators.json names no configuration")
    least = min(row["npu_percent"] for row in rows)
    many = f"{len(rows)} configurations" if len(rows) > 1 else rows[0]["accelerator"]
    sentence = (
        f"Vela {version} compiles {model.name} for {many}, at least {least:g} % of the operators "
        "on the NPU"
    )
    figures = {"version": version, "rows": rows}
    if (request.folder / REPORT).is_file():
        stored = json.loads((request.folder / REPORT).read_text(encoding="utf-8"))
        name = model.stem.removesuffix("-int8")
        others = [
            row["accelerator"]
            for row in rows
            if sha256_of(request.folder / compiled_name(name, row["accelerator"]))
            != sha256_of(_path(row))
        ]
        if others and stored["version"] == version:
            return failed(f"Vela {version} gives other bytes for {', '.join(others)}", **figures)
        sentence += (
            f"; the bundle's files are of Vela {stored['version']}"
            if others
            else ", to the bytes in the bundle"
        )
    return ProofResult(Verdict.PROVEN, sentence, figures)


def _path(row: dict[str, str]) -> Path:
    return Path(row["_compiled"])


PROOFS = (Proof(VELA, VELA, run, tools=(_TOOL,)),)
