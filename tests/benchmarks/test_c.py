"""The benchmark of the C sources, on a small network, without what it compares with."""

from __future__ import annotations

import shutil

import pytest

from benchmarks.c import Peers, Subject, run
from evaluation.proofs.emulated import BOARDS, COMPILER

TOOLS = (COMPILER, "qemu-system-arm", "gcc")


@pytest.mark.slow
@pytest.mark.skipif(
    not all(map(shutil.which, TOOLS)), reason=f"{', '.join(TOOLS)} are not all installed"
)
def test_memory_instructions_and_time_are_measured() -> None:
    subject = Subject("small", "mobilenet_v2_small", 0.35, 32)
    figures = {f.quantity: f for f in run(Peers(None, None), (subject,))}
    assert set(figures) == {
        "arena", "arena layer by layer", "RAM", "flash",
        *(f"{board.core} {build}" for board in BOARDS for build in ("DSP", "portable")),
        "time C", "time LiteRT's reference", "LiteRT's reference: C",
    }  # fmt: skip
    assert figures["arena"].value < figures["arena layer by layer"].value
    assert figures["arena"].value < figures["RAM"].value
    assert figures["Cortex-M4 DSP"].value < figures["Cortex-M4 portable"].value
    assert isinstance(figures["flash"].value, int)
