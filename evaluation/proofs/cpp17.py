"""A host's and an Arm compiler on the generated sources: C++17, every warning an error.

The sources are those that this version of edgequant generates: ``verify`` hands over a folder that
it has written itself.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from evaluation.proofs.child import Done, run_tool
from evaluation.proofs.proof import (
    Proof,
    ProofRequest,
    ProofResult,
    Verdict,
    failed,
    not_run,
)
from export.bundles.c_sources import RESOLVER_METHODS
from export.bundles.microcontroller import ROLE
from export.bundles.target import VECTORS, read_vectors

_STUBS = Path(__file__).parent / "stubs"
_FLAGS = ("-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-DMODEL_TENSOR_ARENA_SIZE=1048576")
_CORTEX_M = ("-mcpu=cortex-m55", "-mthumb", "-mfloat-abi=hard", "-fno-exceptions", "-fno-rtti")
_MAIN = """\
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "model_arena.h"
#include "model_contract.h"
#include "model_data.h"
#include "model_runner.h"
#include "model_vectors.h"

using namespace NAMESPACE;

static std::int8_t input[kImageSize];

int main() {
  if (reinterpret_cast<std::uintptr_t>(kModelData) % 16 != 0) return 2;
  if (!SetUp()) return 3;
  if (kLabels[kClasses - 1] == nullptr || kModelDataSize == 0) return 4;
  for (int v = 0; v < kVectors; ++v) {
    if (Best(kVectorScores[v]) < 0 || Classify(kVectorPixels[v]) < 0) return 5;
    FillInput(kVectorPixels[v], input);
    if (std::fwrite(input, 1, sizeof input, stdout) != sizeof input) return 6;
  }
  SelfTest();  // links; the stub computes nothing that it could compare
  return 0;
}
"""
_REASONS = {
    2: "the model is not aligned to 16 bytes",
    3: "the model or the registered operators are not as they should be",
    4: "labels or model are empty",
    5: "a test vector gives no class",
    6: "standard output is closed",
}


def on_host(request: ProofRequest) -> ProofResult:
    """Compile, link and run against the stub; ``FillInput`` must give the vectors' inputs."""
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if not compiler:
        return not_run("a C++ compiler", "install g++ or set CXX")
    program = request.scratch / "program"
    done = _compile(request, compiler, ("-o", str(program)), link=True)
    if done.code:
        return failed(f"{Path(compiler).name} refuses the sources: {_first_error(done.log)}")
    produced = request.scratch / "produced.bin"
    started = ["/bin/sh", "-c", 'exec "$1" > "$2"', "sh", str(program), str(produced)]
    ran = run_tool(started, request.scratch)
    if ran.code:
        return failed(f"the program fails: {_REASONS.get(ran.code, f'exit code {ran.code}')}")
    inputs = read_vectors(request.folder / VECTORS, ROLE).inputs.tobytes()
    got = produced.read_bytes()
    if not got or not inputs.startswith(got):
        return failed("FillInput gives other inputs than the test vectors have")
    version = run_tool([compiler, "-dumpfullversion"], request.scratch).log.strip()
    sentence = (
        f"{Path(compiler).name} {version} compiles and links the sources as C++17 with -Wall "
        "-Wextra -Werror; FillInput gives the vectors' inputs"
    )
    return ProofResult(Verdict.PROVEN, sentence, {"version": version})


def on_cortex_m(request: ProofRequest) -> ProofResult:
    """Compile for a Cortex-M55 and say how much flash and RAM the objects take."""
    compiler = shutil.which("arm-none-eabi-g++")
    if not compiler:
        return not_run(
            "arm-none-eabi-g++", "apt-get install gcc-arm-none-eabi libstdc++-arm-none-eabi-newlib"
        )
    done = _compile(request, compiler, _CORTEX_M, link=False)
    if done.code:
        return failed(f"arm-none-eabi-g++ refuses the sources: {_first_error(done.log)}")
    objects = [str(path) for path in sorted(request.scratch.glob("*.o"))]
    sizes = run_tool(["arm-none-eabi-size", "--totals", *objects], request.scratch).log
    text, data, bss = (int(part) for part in sizes.strip().splitlines()[-1].split()[:3])
    version = run_tool([compiler, "-dumpfullversion"], request.scratch).log.strip()
    figures = {"version": version, "flash_bytes": text + data, "ram_bytes": data + bss}
    sentence = (
        f"arm-none-eabi-g++ {version} compiles the sources for Cortex-M55 with every warning an "
        f"error: {text + data:,} bytes of flash, {data + bss:,} of RAM, TFLite Micro not counted"
    )
    return ProofResult(Verdict.PROVEN, sentence, figures)


def _compile(request: ProofRequest, compiler: str, flags: tuple[str, ...], *, link: bool) -> Done:
    methods = "\n".join(f"EDGEQUANT_STUB({name})" for name in sorted(RESOLVER_METHODS.values()))
    (request.scratch / "methods.inc").write_text(f"{methods}\n", encoding="ascii")
    sources = sorted(request.folder.glob("*.cc"))
    if link:
        main = request.scratch / "main.cc"
        main.write_text(_MAIN.replace("NAMESPACE", _namespace(request.folder)), encoding="ascii")
        sources.append(main)
    command = [
        compiler, *_FLAGS, *flags, f"-I{request.folder}", f"-I{request.scratch}", f"-I{_STUBS}",
        *(() if link else ("-c",)), *(str(path) for path in sources),
    ]  # fmt: skip
    return run_tool(command, request.scratch)


def _namespace(folder: Path) -> str:
    lines = (folder / "model_data.h").read_text(encoding="ascii").splitlines()
    line = next(text for text in lines if text.startswith("namespace "))
    return line.split()[1]


def _first_error(log: str) -> str:
    errors = [line for line in log.splitlines() if "error" in line]
    return (errors or log.strip().splitlines() or ["no message"])[0]


PROOFS = (
    Proof("cpp17", "c++", on_host, optional=True),
    Proof("arm-none-eabi", "arm-none-eabi-g++", on_cortex_m, optional=True),
)
