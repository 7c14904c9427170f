"""Proof of the C sources with Arm's CMSIS-NN in the place of our convolutions, on emulated boards.

CMSIS-NN's sources are a folder that the user names; a bundle holds none of them, and the library is
compiled for the proof alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.proofs.cortex_m import sources_of
from evaluation.proofs.emulated import ARM, BOARDS, QEMU, Build, Fault, Run, compiled, emulated
from evaluation.proofs.proof import Proof, ProofRequest, ProofResult, Verdict, failed, not_run
from export.bundles.c import CMSIS_NN
from export.c.names import Prefix
from foundation.errors import InvalidInputError
from foundation.foreign import reading

_HEADER, _CORE = "Include/arm_nnfunctions.h", "Include/cmsis_compiler.h"
_NEEDED = "Source/ConvolutionFunctions/arm_convolve_s8.c"
_FOLDERS = ("ConvolutionFunctions", "NNSupportFunctions")
"""Folders of ``Source`` with what convolutions need."""
_RULE = "--cmsis-nn takes a folder with CMSIS-NN's sources, itself or one level below"
_REMEDY = f"name the folder that has {_HEADER} and {_NEEDED}"


@dataclass(frozen=True)
class Library:
    """Sources of CMSIS-NN.

    Attributes:
        includes: folders with its headers and those of CMSIS Core.
        sources: .c files.
    """

    includes: tuple[Path, ...]
    sources: tuple[Path, ...]

    @classmethod
    def open(cls, folder: Path) -> Library:
        """Library in a folder: ``Include`` and ``Source``, there or in a folder of it.

        CMSIS Core, which version 4.0 includes, may lie in another folder beside it.

        Raises:
            InvalidInputError: no such sources.
        """
        with reading(folder, _RULE, _REMEDY):
            places = [folder, *sorted(p for p in folder.iterdir() if p.is_dir())]
            found = [p for p in places if (p / _HEADER).is_file() and (p / _NEEDED).is_file()]
            if not found:
                raise InvalidInputError(_RULE, received=str(folder), remedy=_REMEDY)
            core = [p for p in places if p != found[0] and (p / _CORE).is_file()]
            parts = [found[0] / "Source" / name for name in _FOLDERS]
            return cls(
                tuple((p / "Include").absolute() for p in (found[0], *core)),
                tuple(path.absolute() for part in parts for path in sorted(part.glob("*.c"))),
            )

    def build(self, prefix: Prefix) -> Build:
        """Build of a network in which the library computes the convolutions."""
        headers = tuple(part for path in self.includes for part in ("-isystem", str(path)))
        macro = f"-D{prefix.text.upper()}_CMSIS_NN"
        return Build("CMSIS-NN", (macro, *headers), self.sources)


def run(request: ProofRequest) -> ProofResult:
    """Run the compiled-in vectors on three emulated cores, with CMSIS-NN's convolutions."""
    if request.runtime is None:
        return not_run("CMSIS-NN", "give --cmsis-nn DIR")
    sources = sources_of(request)
    if not (request.folder / sources.prefix.file("cmsis_nn.c")).is_file():
        return ProofResult(Verdict.NOT_RUN, "the network has no convolution")
    build = Library.open(request.runtime).build(sources.prefix)
    runs: list[Run] = []
    buffers: list[int] = []
    for board in BOARDS:
        image = compiled(sources, build, board, request.scratch)
        if isinstance(image, Fault):
            return _stopped(image)
        found = emulated(sources, image, board, request.scratch)
        if isinstance(found, Fault):
            return _stopped(found)
        runs.append(found)
        buffers.append(image.buffer_bytes)
    figures: dict[str, Any] = {
        "instructions_cmsis_nn": runs[0].instructions,
        "buffer_bytes": buffers[0],
        "stack_bytes": max(run.stack_bytes for run in runs),
    }
    sentence = (
        f"with CMSIS-NN's convolutions the compiled-in vectors give the same bits in QEMU's "
        f"{', '.join(board.machine for board in BOARDS)}, with {runs[0].instructions:,} "
        f"instructions an image on the {BOARDS[0].core} and a buffer of {buffers[0]:,} bytes"
    )
    return ProofResult(Verdict.PROVEN, sentence, figures)


def _stopped(fault: Fault) -> ProofResult:
    return ProofResult(Verdict.NOT_RUN, fault.reason) if fault.missing else failed(fault.reason)


PROOFS = (Proof(CMSIS_NN, CMSIS_NN, run, optional=True, tools=(ARM, QEMU)),)
