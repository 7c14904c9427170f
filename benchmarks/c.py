"""The C sources beside TFLite Micro and LiteRT's reference kernels: memory, instructions, time.

``python -m benchmarks.c --cmsis-nn DIR --tflite-micro PYTHON`` (``make bench-c``). Memory and
instructions are of emulated boards and repeat exactly. Times are of this machine, processor time of
one thread, each the least of several rounds in which all take turns: compare them, and not with
another run. Networks other than the shipped one have random weights; TensorFlow's converter chose
the integers of all, calibrated on noise.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgequant.process  # noqa: F401 - pins our top-level packages
from benchmarks.record import Figure, report
from evaluation.proofs.child import run_tool
from evaluation.proofs.cmsis_nn import Library
from evaluation.proofs.emulated import (
    ARM,
    BOARDS,
    DSP,
    Board,
    Build,
    Fault,
    Image,
    Run,
    Sources,
    compiled,
    emulated,
)
from evaluation.proofs.proof import ProofRequest, run_worker
from export.c.names import Prefix
from export.c.program import Program, read_program
from export.c.sources import c_sources
from export.c.testing import test_sources
from export.target import ExportRequest, random_inputs
from export.tflite.target import TARGET
from foundation.errors import InvalidInputError
from models.spec import ModelSpec, model_spec
from models.weights.named import build_with_weights
from quantize.recipes import recipe
from quantize.settings import IoType

if TYPE_CHECKING:
    import numpy as np

ROUNDS = 5
_SECONDS_A_ROUND = 0.3
_MOST_RUNS = 100
_HOST = ("-std=c99", "-O2")
_CLOCK = """\
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "net.h"

static uint8_t arena[NET_ARENA_BYTES];
static int8_t out[NET_OUTPUT_BYTES];

int main(int argc, char **argv) {
  const int runs = argc > 1 ? atoi(argv[1]) : 1;
  const int8_t *in = (const int8_t *)arena + NET_INPUT_OFFSET;
  net_run(in, out, arena);
  const clock_t start = clock();
  for (int i = 0; i < runs; ++i) net_run(in, out, arena);
  printf("%.9f\\n", (double)(clock() - start) / CLOCKS_PER_SEC / runs);
  return 0;
}
"""


@dataclass(frozen=True)
class Subject:
    """Network to measure.

    Attributes:
        name: name for the reader.
        model: registered model.
        alpha: multiplier of its widths.
        size: height and width of its images.
        weights: weights to load.
    """

    name: str
    model: str
    alpha: float
    size: int
    weights: str = "random"

    @property
    def spec(self) -> ModelSpec:
        """The model in this width and size."""
        return replace(model_spec(self.model), alpha=self.alpha).resized(self.size)


SUBJECTS = (
    Subject("shipped MobileNetV2 0.35/32", "mobilenet_v2_small", 0.35, 32, "fashion_mnist"),
    Subject("MobileNetV1 0.25/96", "mobilenet_v1", 0.25, 96),
    Subject("MobileNetV2 0.3/64", "mobilenet_v2", 0.3, 64),
    Subject("MobileNetV2 0.35/96", "mobilenet_v2", 0.35, 96),
    Subject("MobileNetV2 0.35/128", "mobilenet_v2", 0.35, 128),
    Subject("MobileNetV2 1.0/224", "mobilenet_v2", 1.0, 224),
)


@dataclass(frozen=True)
class Peers:
    """What the sources are compared with.

    Attributes:
        library: CMSIS-NN; None where it is not installed.
        micro: interpreter with tflite-micro; None where there is none.
    """

    library: Library | None
    micro: Path | None


def run(peers: Peers | None = None, subjects: tuple[Subject, ...] = SUBJECTS) -> list[Figure]:
    """Measure; the subject is the network, the quantity says what ran where.

    Args:
        peers: what to compare with; what ``make ship-runtimes`` installed without it.
        subjects: networks to measure.

    Raises:
        InvalidInputError: a tool is missing, or a network does not run.
    """
    peers = installed() if peers is None else peers
    figures: list[Figure] = []
    for subject in subjects:
        with tempfile.TemporaryDirectory() as name:
            figures += _measured(subject, peers, Path(name))
    return figures


def installed() -> Peers:
    """Libraries that ``make ship-runtimes`` put beside the project."""
    home = Path(__file__).resolve().parents[1]
    place = ".venv-ship-cmsis-nn/lib/python*/site-packages/bakenn/backend/cmsis_nn/vendor"
    folder = next(home.glob(place), None)
    micro = home / ".venv-ship-micro/bin/python"
    return Peers(Library.open(folder) if folder else None, micro if micro.exists() else None)


def _measured(subject: Subject, peers: Peers, folder: Path) -> list[Figure]:
    model = folder / "network.tflite"
    _write_network(subject, model)
    program = read_program(model)
    inputs, outputs = _vector(model)
    sources = _write_sources(program, subject.name, folder / "c", inputs, outputs)
    return [
        *_board_figures(subject, program, model, sources, peers, folder),
        *_micro_memory(subject, model, peers, folder),
        *_time_figures(subject, model, sources, peers, folder),
    ]


def _write_network(subject: Subject, path: Path) -> None:
    """Int8 file of a network; random weights get batch norms that keep the activations alive."""
    spec = subject.spec
    model = build_with_weights(spec, subject.weights)
    noise = random_inputs(spec.preprocessing, 8, seed=0)
    if subject.weights == "random":
        for layer in model.layers:
            if type(layer).__name__ == "BatchNormalization":
                layer.momentum = 0.0
        model(noise, training=True)
    wanted = recipe("tflite-int8").with_io(IoType.INT8)

    def batches() -> Iterator[np.ndarray]:
        yield noise

    TARGET.write(ExportRequest(model, wanted, spec.preprocessing, batches), path)


def _reference(model: Path) -> Any:
    """LiteRT's interpreter with reference kernels and one thread."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = OpResolverType.BUILTIN_REF
    interpreter = Interpreter(str(model), experimental_op_resolver_type=resolver, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def _vector(model: Path) -> tuple[np.ndarray, np.ndarray]:
    """A random input, and its outputs by LiteRT's reference kernels."""
    import numpy as np

    interpreter = _reference(model)
    source = interpreter.get_input_details()[0]
    image = np.random.default_rng(0).integers(-128, 128, source["shape"]).astype(np.int8)
    interpreter.set_tensor(source["index"], image)
    interpreter.invoke()
    outputs = [interpreter.get_tensor(d["index"]).ravel() for d in interpreter.get_output_details()]
    return image, np.concatenate(outputs)[None]


def _write_sources(
    program: Program, title: str, folder: Path, inputs: np.ndarray, outputs: np.ndarray
) -> Sources:
    test, prefix = folder / "test", Prefix()
    test.mkdir(parents=True)
    for name, text in c_sources(program, prefix, title).items():
        (folder / name).write_text(text, encoding="ascii")
    for name, text in test_sources(prefix, inputs, outputs).items():
        (test / name).write_text(text, encoding="ascii")
    return Sources(folder, test, prefix, len(inputs))


def _board_figures(
    subject: Subject,
    program: Program,
    model: Path,
    sources: Sources,
    peers: Peers,
    scratch: Path,
) -> list[Figure]:
    """Memory, and instructions of every build on every board."""
    builds = [DSP, Build.portable(sources.prefix)]
    if peers.library is not None:
        builds.append(peers.library.build(sources.prefix))
    counts: list[Figure] = []
    rams: dict[str, int] = {}
    flash = 0
    for board in BOARDS:
        for build in builds:
            image, ran = _ran(sources, build, board, scratch)
            quantity = f"{board.core} {build.name}"
            counts.append(Figure(subject.name, quantity, ran.instructions, "instructions", 1, 1))
            ram = program.arena + image.buffer_bytes + ran.stack_bytes
            rams[build.name] = max(ram, rams.get(build.name, 0))
            if not flash:
                flash = image.flash_bytes
    layers = read_program(model, by_rows=False).arena
    sizes = {
        "arena": program.arena,
        "arena layer by layer": layers,
        "RAM": rams[DSP.name],
        **({"RAM with CMSIS-NN": rams["CMSIS-NN"]} if "CMSIS-NN" in rams else {}),
        "flash": flash,
    }
    return [*(Figure(subject.name, name, n, "B", 1, 1) for name, n in sizes.items()), *counts]


def _ran(sources: Sources, build: Build, board: Board, scratch: Path) -> tuple[Image, Run]:
    image = compiled(sources, build, board, scratch)
    if isinstance(image, Fault):
        raise _unmeasured(image)
    ran = emulated(sources, image, board, scratch)
    if isinstance(ran, Fault):
        raise _unmeasured(ran)
    return image, ran


def _unmeasured(fault: Fault) -> InvalidInputError:
    return InvalidInputError(
        "the C sources are compiled and run on emulated boards",
        received=fault.reason,
        remedy=ARM.remedy,
    )


def _micro(task: str, model: Path, peers: Peers, scratch: Path, **more: Any) -> dict[str, Any]:
    """Reply of TFLite Micro's interpreter in a process of its own."""
    values = {"task": task, "model": str(model), **more}
    reply = run_worker("tflite_micro_run", ProofRequest(scratch, scratch, peers.micro), values)
    if reply.missing or reply.error:
        raise InvalidInputError(
            "TFLite Micro runs the same file",
            received=reply.missing or reply.error or "",
            remedy="make ship-runtimes",
        )
    return dict(reply.values)


def _micro_memory(subject: Subject, model: Path, peers: Peers, scratch: Path) -> list[Figure]:
    """TFLite Micro's arena: activations are the head, and all the least with which it runs."""
    if peers.micro is None:
        return []
    reply = _micro("arena", model, peers, scratch)
    names = {"TFLite Micro's head": "head_bytes", "TFLite Micro's arena": "arena_bytes"}
    return [Figure(subject.name, name, reply[key], "B", 1, 1) for name, key in names.items()]


def _time_figures(
    subject: Subject, model: Path, sources: Sources, peers: Peers, scratch: Path
) -> list[Figure]:
    """Least processor time of an inference, in rounds in which all take turns."""
    engines = {"C": _host_clock(sources, scratch), "LiteRT's reference": _reference_clock(model)}
    if peers.micro is not None:
        engines["TFLite Micro"] = lambda runs: float(
            _micro("time", model, peers, scratch, runs=runs)["seconds"]
        )
    runs = {
        name: max(1, min(_MOST_RUNS, int(_SECONDS_A_ROUND / max(clock(1), 1e-6))))
        for name, clock in engines.items()
    }
    least = dict.fromkeys(engines, float("inf"))
    for _ in range(ROUNDS):
        for name, clock in engines.items():
            least[name] = min(least[name], clock(runs[name]))
    times = [
        Figure(subject.name, f"time {name}", 1000 * seconds, "ms", runs[name] * ROUNDS, 1)
        for name, seconds in least.items()
    ]
    ratios = [
        Figure(subject.name, f"{name}: C", seconds / least["C"], "x", runs[name] * ROUNDS, 1)
        for name, seconds in least.items()
        if name != "C"
    ]
    return [*times, *ratios]


def _host_clock(sources: Sources, scratch: Path) -> Callable[[int], float]:
    """Seconds of a run of the portable kernels, compiled for this machine."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise _unmeasured(Fault("no C compiler is installed"))
    main, program = scratch / "clock.c", scratch / "clock"
    main.write_text(_CLOCK, encoding="ascii")
    own = [str(path) for path in (*sorted(sources.folder.glob("*.c")), main)]
    done = run_tool([compiler, *_HOST, f"-I{sources.folder}", "-o", str(program), *own], scratch)
    if done.code:
        raise _unmeasured(Fault(done.last_line))
    return lambda runs: float(run_tool([str(program), str(runs)], scratch).last_line)


def _reference_clock(model: Path) -> Callable[[int], float]:
    """Seconds of a run of LiteRT's reference kernels."""
    interpreter = _reference(model)
    interpreter.invoke()

    def clock(runs: int) -> float:
        start = time.process_time()
        for _ in range(runs):
            interpreter.invoke()
        return (time.process_time() - start) / runs

    return clock


def _main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.c")
    parser.add_argument("--cmsis-nn", type=Path, help="folder with CMSIS-NN's sources")
    parser.add_argument("--tflite-micro", type=Path, help="interpreter with tflite-micro")
    options = parser.parse_args(arguments)
    found = installed()
    library = Library.open(options.cmsis_nn) if options.cmsis_nn else found.library
    report("c", run(Peers(library, options.tflite_micro or found.micro)))


if __name__ == "__main__":
    _main(sys.argv[1:])
