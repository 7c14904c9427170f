"""Limits that a bundle must keep: flash, SRAM and the share on the NPU."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from export.bundles.c import CORTEX_M
from foundation.errors import EdgequantError, GateFailedError, InvalidInputError

_UNITS = {"": 1, "k": 1024, "m": 1024**2}
_LARGEST = 2**40
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([km]?)(?:i?b)?", re.IGNORECASE)


Advise = Callable[[str, int, int], str]
"""(``sram``, ``flash`` or ``instructions``, what is taken, the limit) -> what to do, in words."""


def _plain_advice(_part: str, _measured: int, _limit: int) -> str:
    return "choose a smaller network (--alpha, --size) or a larger chip"


def size_in_bytes(option: str, text: str | None) -> int | None:
    """Number of bytes from ``256K``, ``1M`` or ``300000``; K is 1024, as in linkers.

    Raises:
        InvalidInputError: the text is not a size, or is out of range.
    """
    if text is None:
        return None
    match = _SIZE.fullmatch(text.strip())
    size = float(match[1]) * _UNITS[match[2].lower()] if match else 0.0
    if not 1 <= size <= _LARGEST:
        raise InvalidInputError(
            f"{option} takes a size of at least one byte and at most 1048576M, such as 256K or 1M",
            received=text or "an empty text",
            remedy="write a number, with K or M behind it",
        )
    return int(size)


@dataclass(frozen=True)
class Gates:
    """Limits of a bundle; None for no limit.

    Attributes:
        min_npu: smallest percentage of operators on the NPU, for every configuration.
        max_flash: largest flash in bytes, for every target with a figure of it.
        max_sram: largest SRAM in bytes, for every target with a figure of it.
        max_instructions: most instructions an image on the emulated Cortex-M4, for C sources.
    """

    min_npu: float | None = None
    max_flash: int | None = None
    max_sram: int | None = None
    max_instructions: int | None = None


def check_applicable(gates: Gates, targets: tuple[str, ...]) -> None:
    """Refuse a limit that no target has a figure for, before any work.

    Raises:
        InvalidInputError: names the option.
    """
    for option, value, holders in (
        ("--max-flash", gates.max_flash, ("microcontroller", "ethos-u", "c")),
        ("--max-sram", gates.max_sram, ("microcontroller", "ethos-u", "c")),
        ("--min-npu", gates.min_npu, ("ethos-u",)),
        ("--max-instructions", gates.max_instructions, ("c",)),
    ):
        if value is not None and not set(holders) & set(targets):
            raise InvalidInputError(
                f"{option} is a limit of {' and '.join(holders)}",
                received=f"--for {','.join(targets)}",
                remedy=f"add {holders[0]} to --for, or remove {option}",
            )


def check_gates(
    gates: Gates, folder: Path, manifest: dict[str, Any], advise: Advise = _plain_advice
) -> None:
    """Check the proofs and limits of a written bundle, which stays as it is.

    Args:
        gates: limits.
        folder: folder of the bundle.
        manifest: contents of its bundle.json.
        advise: says what to do about C sources beyond a limit.

    Raises:
        GateFailedError: a proof failed, a limit is exceeded, or the figure of a limit could not be
            measured.
    """
    targets = manifest["targets"]
    for name, values in targets.items():
        for proof in values["proofs"]:
            if proof["verdict"] == "failed":
                raise GateFailedError(
                    "every proof of a bundle holds in the platforms' runtimes",
                    received=f"{name}: {proof['sentence']}",
                    remedy=f"do not ship {folder}; compare the versions of the runtimes",
                )
    budgets = [budget for values in targets.values() for budget in values["budgets"]]
    _check_budget("flash", gates.max_flash, budgets, advise)
    _check_budget("sram", gates.max_sram, budgets, advise)
    if gates.min_npu is not None:
        _check_npu(gates.min_npu, targets)
    if gates.max_instructions is not None:
        _check_instructions(gates.max_instructions, targets, advise)


def outcomes(
    gates: Gates, manifest: dict[str, Any], advise: Advise = _plain_advice
) -> list[tuple[str, str]]:
    """Each limit that was set, as an option, with ``kept`` or the sentence of its failure."""
    targets = manifest["targets"]
    budgets = [budget for values in targets.values() for budget in values["budgets"]]
    checks: list[tuple[str, float | None, Callable[[], None]]] = [
        (
            "--max-flash",
            gates.max_flash,
            lambda: _check_budget("flash", gates.max_flash, budgets, advise),
        ),
        (
            "--max-sram",
            gates.max_sram,
            lambda: _check_budget("sram", gates.max_sram, budgets, advise),
        ),
        ("--min-npu", gates.min_npu, lambda: _check_npu(gates.min_npu or 0, targets)),
        (
            "--max-instructions",
            gates.max_instructions,
            lambda: _check_instructions(gates.max_instructions or 0, targets, advise),
        ),
    ]
    rows = []
    for option, value, check in checks:
        if value is None:
            continue
        try:
            check()
        except GateFailedError as error:
            rows.append((f"{option} {value:,}", str(error)))
        else:
            rows.append((f"{option} {value:,}", "kept"))
    return rows


def _check_budget(
    part: str, limit: int | None, budgets: list[dict[str, Any]], advise: Advise
) -> None:
    if limit is None:
        return
    for budget in budgets:
        if budget[part] is None:
            raise _unmeasured(f"--max-{part}", budget["what"])
        if budget[part] > limit:
            raise GateFailedError(
                f"{budget['what']} takes at most {limit:,} bytes of {part} (--max-{part})",
                received=f"{budget[part]:,}",
                remedy=(advise if budget["what"] == "c" else _plain_advice)(
                    part, budget[part], limit
                ),
            )


def _check_npu(least: float, targets: dict[str, Any]) -> None:
    proofs = [p for p in targets.get("ethos-u", {}).get("proofs", []) if p["name"] == "vela"]
    rows = [row for proof in proofs for row in proof["figures"].get("rows", [])]
    if not rows:
        raise _unmeasured("--min-npu", "ethos-u")
    for row in rows:
        if row["npu_percent"] < least:
            left = "; ".join(f"{o['operator']}: {o['reason']}" for o in row["fallbacks"])
            raise GateFailedError(
                f"at least {least:g} % of the operators run on {row['accelerator']} (--min-npu)",
                received=f"{row['npu_percent']:g} %"
                + (f", on the CPU {left.rstrip('.')}" if left else ""),
                remedy="replace these layers, or lower the limit",
            )


def _check_instructions(most: int, targets: dict[str, Any], advise: Advise) -> None:
    proofs = [p for p in targets.get("c", {}).get("proofs", []) if p["name"] == CORTEX_M]
    counts = [p["figures"].get("instructions") for p in proofs]
    if not counts or counts[0] is None:
        raise GateFailedError(
            "--max-instructions needs a count of an emulated Cortex-M4",
            received="c not counted, since tools are missing or the network is too large for them",
            remedy="apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
        )
    if counts[0] > most:
        raise GateFailedError(
            f"c takes at most {most:,} instructions an image (--max-instructions)",
            received=f"{counts[0]:,}",
            remedy=advise("instructions", counts[0], most),
        )


def _unmeasured(option: str, what: str) -> EdgequantError:
    if what == "c":
        return GateFailedError(
            f"{option} needs a measurement",
            received="c not measured, since no compiler for Arm is installed",
            remedy="apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi",
        )
    extra = "ethos-u" if "ethos" in what else "micro"
    return GateFailedError(
        f"{option} needs a measurement",
        received=f"{what} not measured, since its runtime is missing",
        remedy=f"pip install 'edgequant[{extra}]', or give --runtime",
    )
