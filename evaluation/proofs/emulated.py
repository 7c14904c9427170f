"""Emulated Cortex-M boards on which the C sources run: instructions, stack and bits.

QEMU runs with ``-icount shift=0``: an instruction takes a nanosecond of the emulated time, so
counts repeat exactly. They are instructions, and no cycles of silicon.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from evaluation.proofs.child import Done, run_tool
from evaluation.proofs.tools import Tool
from export.c.names import Prefix

COMPILER = "arm-none-eabi-gcc"
ARM = Tool(
    COMPILER,
    "apt-get install gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm",
    (COMPILER,),
)
QEMU = Tool(
    "qemu-system-arm", "apt-get install qemu-system-arm", ("qemu-system-arm",), optional=True
)
STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
_STUBS = Path(__file__).parent / "stubs" / "cortex_m"
_FLAGS = ("-mthumb", "-mfloat-abi=soft", "-O2", "-ffunction-sections")
_SEMIHOSTING = ("--specs=nano.specs", "--specs=rdimon.specs", "-Wl,--gc-sections")
_MACHINE = (
    "-nographic", "-monitor", "none", "-serial", "none", "-icount", "shift=0",
    "-semihosting-config", "enable=on,target=native",
)  # fmt: skip
_WRAP = 1 << 24
_REPORT = re.compile(
    r"^wrong (\d{1,9}) wraps (\d{1,9}) ticks (-?\d{1,9}) stack (\d{1,9})$", re.MULTILINE
)


@dataclass(frozen=True)
class Board:
    """A board that QEMU emulates.

    Attributes:
        machine: QEMU's name of the board.
        core: name of its processor.
        cpu: name of the processor for gcc.
        regions: linker script with its memory.
        nanoseconds: time between two ticks of SysTick, which are as many instructions.
    """

    machine: str
    core: str
    cpu: str
    regions: str
    nanoseconds: float


BOARDS = (
    Board("mps2-an386", "Cortex-M4", "cortex-m4", "an386.ld", 40.0),
    Board("mps2-an500", "Cortex-M7", "cortex-m7", "an500.ld", 40.0),
    Board("mps3-an547", "Cortex-M55", "cortex-m55", "an547.ld", 31.25),
)
"""Boards on which the sources are run; the first is the one whose instructions are compared."""


@dataclass(frozen=True)
class Sources:
    """Generated sources of a network.

    Attributes:
        folder: folder of the .c and .h files.
        test: folder of the self-test's vectors.
        prefix: prefix of the network.
        vectors: number of vectors that are compiled in.
    """

    folder: Path
    test: Path
    prefix: Prefix
    vectors: int


@dataclass(frozen=True)
class Build:
    """A way to compile the kernels.

    Attributes:
        name: name for the reader.
        flags: more flags of the compiler.
        library: more .c files, of a library whose warnings are not ours.
    """

    name: str
    flags: tuple[str, ...] = ()
    library: tuple[Path, ...] = ()

    @classmethod
    def portable(cls, prefix: Prefix) -> Build:
        """The kernels without Arm's DSP instructions."""
        return cls("portable", (f"-D{prefix.text.upper()}_PORTABLE",))


DSP = Build("DSP")
"""The kernels as the compiler takes them for a processor with DSP instructions."""


@dataclass(frozen=True)
class Image:
    """A compiled network.

    Attributes:
        objects: object files of the network and the library.
        flash_bytes: code and constants.
        buffer_bytes: variables that are not in the arena.
    """

    objects: tuple[Path, ...]
    flash_bytes: int
    buffer_bytes: int


@dataclass(frozen=True)
class Run:
    """A run of the self-test in which every vector gave the bits to expect.

    Attributes:
        instructions: instructions for one vector.
        stack_bytes: largest stack.
    """

    instructions: int
    stack_bytes: int


@dataclass(frozen=True)
class Fault:
    """Why there is no image or no run.

    Attributes:
        reason: what the compiler or the program says.
        missing: whether a tool or memory is lacking, rather than the network at fault.
    """

    reason: str
    missing: bool = False


def compiled(sources: Sources, build: Build, board: Board, scratch: Path) -> Image | Fault:
    """Object files of a network for a board; warnings of its own files are errors.

    Args:
        sources: generated sources.
        build: how the kernels are compiled.
        board: board whose processor it is compiled for.
        scratch: folder for temporary files of one network, whose weights are compiled once a board.
    """
    compiler = ARM.path()
    if compiler is None:
        return Fault(f"{ARM.name} is not installed: {ARM.remedy}", missing=True)
    folder = scratch / f"{board.machine}-{build.name}"
    folder.mkdir(exist_ok=True)
    made: list[Path] = []
    own = [(path, STRICT) for path in sorted(sources.folder.glob("*.c"))]
    for path, strict in (*own, *((path, ("-w",)) for path in build.library)):
        constant = path.name == sources.prefix.file("weights.c")  # which no build changes
        target = (scratch / board.machine if constant else folder / path.stem).with_suffix(".o")
        made.append(target)
        if constant and target.exists():
            continue
        flags = (*strict, f"-mcpu={board.cpu}", *_FLAGS, *build.flags, f"-I{sources.folder}")
        done = run_tool([compiler, *flags, "-c", "-o", str(target), str(path)], scratch)
        if done.code:
            return Fault(f"{COMPILER} refuses the sources: {first_error(done)}")
    sizes = run_tool(["arm-none-eabi-size", "--totals", *map(str, made)], scratch).log
    text, data, zeroed = (int(part) for part in sizes.strip().splitlines()[-1].split()[:3])
    return Image(tuple(made), text + data, data + zeroed)


def emulated(sources: Sources, image: Image, board: Board, scratch: Path) -> Run | Fault:
    """Run the self-test of an image on a board.

    Args:
        sources: sources that the image was compiled from.
        image: what ``compiled`` made for this board.
        board: board to emulate.
        scratch: folder for temporary files.
    """
    compiler, machine = ARM.path(), QEMU.path()
    if compiler is None or machine is None:
        return Fault("qemu-system-arm is not installed", missing=True)
    prefix, main = sources.prefix, scratch / "main.c"
    main.write_text(prefix.applied((_STUBS / "main.c").read_text(encoding="ascii")), "ascii")
    program = scratch / "image.elf"
    scripts = [str(_STUBS / name) for name in (board.regions, "sections.ld")]
    done = run_tool(
        [
            compiler, "-std=c99", f"-mcpu={board.cpu}", *_FLAGS, *_SEMIHOSTING,
            *(part for script in scripts for part in ("-T", script)),
            f"-I{sources.folder}", f"-I{sources.test}", "-o", str(program), str(main),
            str(sources.test / prefix.file("vectors.c")), *map(str, image.objects),
        ],
        scratch,
    )  # fmt: skip
    if done.code:
        return _link_fault(done)
    ran = run_tool([machine, "-M", board.machine, *_MACHINE, "-kernel", str(program)], scratch)
    report = _REPORT.search(ran.log)
    if report is None or int(report[1]):
        return Fault(f"the self-test fails on the emulated {board.machine}: {ran.last_line}")
    ticks = int(report[2]) * _WRAP + int(report[3])
    return Run(int(ticks * board.nanoseconds) // max(sources.vectors, 1), int(report[4]))


def _link_fault(done: Done) -> Fault:
    if "overflowed" in done.log or "will not fit" in done.log:
        return Fault("the network is larger than the emulated board", missing=True)
    if any(word in done.log for word in (".specs", "cannot find")):
        return Fault("libnewlib-arm-none-eabi is not installed", missing=True)
    return Fault(f"the self-test does not link: {first_error(done)}")


def first_error(done: Done) -> str:
    """First line of a compiler's output that names an error."""
    errors = [line for line in done.log.splitlines() if "error" in line]
    return (errors or done.log.strip().splitlines() or ["no message"])[0]
