"""Bundle of portable C: the network itself, without an interpreter and without malloc."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from calibration_data.preprocessing import Preprocessing
from export.bundles.c99_decoder import HEADER, c99_decoder
from export.bundles.c99_mask import HEADER as MASK_HEADER
from export.bundles.c99_mask import c99_mask
from export.bundles.c_outputs import OutputEnd
from export.bundles.target import (
    VECTORS,
    Budget,
    BundleRequest,
    Figures,
    ShipFile,
    ShipTarget,
    is_classifier,
)
from export.c.contract import contract_lines
from export.c.names import Prefix
from export.c.packages import packages
from export.c.patches import NONE, Patches
from export.c.program import Program, read_program, require_kernels
from export.c.sources import Extra, c_sources
from export.c.testing import test_sources
from foundation.errors import InvalidInputError
from foundation.foreign import read_bytes, read_object
from network.graph import Graph
from quantize.recipes import recipe
from quantize.settings import IoType

ROLE = "int8"
TEST = "test"
"""Name of the folder with the self-test."""
CORTEX_M = "cortex-m"
"""Name of the proof that compiles for Cortex-M and runs there."""
CMSIS_NN = "cmsis-nn"
"""Name of the proof with CMSIS-NN's convolutions, and of the library among the runtimes."""
_C_VECTORS = 2
"""Number of test vectors in the C sources; vectors/ has all of them."""
_KERNELS = "_kernels.h"
_PLAN = "memory.json"
_MOST_HEADER = 1 << 20
_HEADER_RULE, _AGAIN = "the header of the C sources states the arena", "make the bundle again"
_PATCHES = "/* Stages run patch by patch, as asked for: "


def prefix_in(folder: Path) -> Prefix:
    """Prefix of the sources in this target's folder, from the names of the files.

    Raises:
        InvalidInputError: no sources there, or of several networks.
    """
    found = [path.name.removesuffix(_KERNELS) for path in folder.glob(f"*{_KERNELS}")]
    if len(found) != 1:
        raise InvalidInputError(
            f"a folder of C sources has one file PREFIX{_KERNELS}",
            received=f"{len(found)} of them",
            remedy="make the bundle again",
        )
    return Prefix(found[0])


def arena_in(folder: Path) -> int:
    """Bytes of the arena, as the header in this target's folder says."""
    prefix = prefix_in(folder)
    macro = f"{prefix.text.upper()}_ARENA_BYTES"
    found = re.search(rf"^#define {macro} (\d{{1,12}})$", _header_in(folder), re.MULTILINE)
    if found is None:
        raise InvalidInputError(_HEADER_RULE, received=prefix.file(".h"), remedy=_AGAIN)
    return int(found[1])


def patches_in(folder: Path) -> Patches:
    """Patches that the sources in this target's folder were asked for with."""
    pattern = rf"^{re.escape(_PATCHES)}([a-z0-9 ]{{1,40}})\.$"
    found = re.search(pattern, _header_in(folder), re.MULTILINE)
    return NONE if found is None else Patches.of(found[1])


def memory_in(folder: Path) -> dict[str, Any] | None:
    """Memory plan in this target's folder, as ``Schedule.to_dict`` has it; None without one."""
    path = folder / prefix_in(folder).file(_PLAN)
    return read_object(path, "a memory plan is JSON", _AGAIN) if path.is_file() else None


def _header_in(folder: Path) -> str:
    path = folder / prefix_in(folder).file(".h")
    return read_bytes(path, _HEADER_RULE, _AGAIN)[:_MOST_HEADER].decode("ascii", "replace")


def _check(_: Preprocessing) -> None:
    """Accept every contract: the application computes with its numbers."""


def _check_graph(graph: Graph, name: str) -> None:
    """Name the operators that no C kernel computes."""
    require_kernels({str(op.kind) for op in graph.ops}, name)


def _files(request: BundleRequest, prefix: Prefix, patches: Patches) -> dict[str, bytes]:
    """Content of every file but the model and the vectors, by its path in the folder."""
    program = read_program(request.files[ROLE], patches=patches)
    vectors = request.vectors[ROLE]
    tests = test_sources(prefix, vectors.inputs[:_C_VECTORS], vectors.outputs[:_C_VECTORS])
    params = program.network.tensors[program.network.input].params
    assert params is not None
    extra = contract_lines(request.contract, params, labelled=_labelled(request, program))
    sources = c_sources(program, prefix, request.name, _with_patches(extra, program, patches))
    for name, text in _decoder(request, program).items():
        sources[prefix.file(name)] = prefix.applied(text)
    texts = {
        **sources,
        **{f"{TEST}/{name}": text for name, text in tests.items()},
        prefix.file(_PLAN): json.dumps(program.schedule.to_dict(), indent=1) + "\n",
    }
    return {
        **{name: text.encode("ascii") for name, text in texts.items()},
        **packages(prefix, program.arena, sources, tests),
    }


def _with_patches(extra: Extra, program: Program, patches: Patches) -> Extra:
    """Header with a line about the patches, from which ``patches_in`` reads what was asked for."""
    schedule = program.schedule
    if not schedule.patched:
        return extra
    share = 100 * schedule.twice / schedule.multiply_adds
    lines = [
        f"{_PATCHES}{patches.text}.",
        f" * {schedule.twice:,} multiply-adds are done twice, {share:.1f} % more. */",
    ]
    return Extra([*lines, *extra.header], extra.source)


def _decoder(request: BundleRequest, program: Program) -> dict[str, str]:
    """Sources that turn the outputs into boxes or masks; none for other tasks."""
    what = (request.name, request.contract, _ends(program))
    return {**c99_decoder(*what), **c99_mask(*what)}


def _ends(program: Program) -> list[OutputEnd]:
    """Outputs in the order in which ``net_run`` writes them."""
    ends = []
    for name in program.network.outputs:
        tensor = program.network.tensors[name]
        assert tensor.params is not None
        scale, zero = tensor.params.scale[0], tensor.params.zero_point[0]
        ends.append(OutputEnd(name, tensor.shape[1:], scale, zero))
    return ends


def _labelled(request: BundleRequest, program: Program) -> bool:
    tensors = program.network.tensors
    shapes = [tensors[name].shape[1:] for name in program.network.outputs]
    return is_classifier(shapes, request.contract)


def _write(request: BundleRequest, folder: Path) -> None:
    (folder / _model_name(request)).write_bytes(request.files[ROLE].read_bytes())
    (folder / TEST).mkdir()
    prefix, patches = Prefix(request.prefix), Patches.of(request.patches)
    for name, content in _files(request, prefix, patches).items():
        (folder / name).write_bytes(content)
    request.vectors[ROLE].write(folder / VECTORS, ROLE)


def _model_name(request: BundleRequest) -> str:
    return f"{request.name}-int8.tflite"


def _finish(_request: BundleRequest, _folder: Path, _figures: Figures) -> None:
    """Nothing depends on the measurements."""


def _data(request: BundleRequest, _figures: Figures) -> tuple[str, ...]:
    return (_model_name(request),)


def _rebuild(request: BundleRequest, folder: Path, _figures: Figures) -> dict[str, bytes]:
    return _files(request, prefix_in(folder), patches_in(folder))


def _budgets(folder: Path, figures: Figures) -> tuple[Budget, ...]:
    flash = figures.get(CORTEX_M, {}).get("flash_bytes")
    return (Budget("c", flash, arena_in(folder)),)


def _guide(request: BundleRequest, folder: Path, figures: Figures) -> str:
    prefix = prefix_in(folder)
    name, macro = prefix.text, prefix.text.upper()
    flash = figures.get(CORTEX_M, {}).get("flash_bytes")
    size = "" if flash is None else f" Code and weights take {flash:,} bytes of flash."
    kind = "float" if request.contract.plain else "uint8_t"
    count = request.contract.channel_count
    total = f"{macro}_INPUT_BYTES"
    what = "values" if request.contract.plain else "pixels"
    use = (
        "Add the .c and .h files to a project of any C99 compiler; nothing has to be ported, and "
        f"nothing is allocated. The arena takes {arena_in(folder):,} bytes of RAM, input and "
        f"outputs included.{size}"
    )
    variants = (
        "Where a compiler has Arm's DSP instructions they are used; define "
        f"`{macro}_PORTABLE` to leave them out, or `{macro}_CMSIS_NN` to compute convolutions with "
        "Arm's CMSIS-NN 4.0. The outputs are the same."
    )
    build = (
        f"`make -C {TEST}` compiles the sources and compares them with all test vectors. "
        "`CMakeLists.txt` makes the folder a component of ESP-IDF and a library of CMake; "
        f"`{prefix.file('arduino.zip')}` is a library for Arduino's IDE (Sketch, Include Library, "
        f"Add .ZIP Library). `{prefix.file(_PLAN)}` says which tensor lies where in the arena."
    )
    lines = [
        use,
        build,
        variants,
        "",
        "```c",
        f'#include "{prefix.file(".h")}"',
        *(f'#include "{name}"' for name in _of_task(folder)),
        "",
        f"static uint8_t arena[{macro}_ARENA_BYTES];",
        f"static {kind} {what}[{total}];  /* {count} numbers for each place */",
        f"static int8_t out[{macro}_OUTPUT_BYTES];",
        "",
        "int main(void) {",
        f"  int8_t *in = (int8_t *)arena + {macro}_INPUT_OFFSET;  /* not copied from there */",
        f"  while (read_{what}({what})) {{  /* yours */",
        f"    {name}_fill_input({what}, in);",
        f"    {name}_run(in, out, arena);",
        *_use(folder),
        "  }",
        "}",
        "```",
    ]
    return "\n".join(lines)


def _of_task(folder: Path) -> list[str]:
    """Headers of what turns the outputs into boxes or masks."""
    names = [prefix_in(folder).file(name) for name in (HEADER, MASK_HEADER)]
    return [name for name in names if (folder / name).is_file()]


def _use(folder: Path) -> list[str]:
    """Lines of the guide that read the outputs."""
    prefix, of_task = prefix_in(folder), _of_task(folder)
    name, macro = prefix.text, prefix.text.upper()
    if prefix.file(HEADER) in of_task:
        return [
            f"    static {name}_detection found[{macro}_MOST_DETECTIONS];",
            f"    const int32_t count = {name}_decode(out, found);",
            "    for (int32_t i = 0; i < count; ++i) draw(&found[i]);  /* yours */",
        ]
    if prefix.file(MASK_HEADER) in of_task:
        return [
            f"    static uint8_t mask[{macro}_MASK_HEIGHT * {macro}_MASK_WIDTH];",
            f"    {name}_mask(out, mask);",
            "    show(mask);  /* yours: the class of each pixel */",
        ]
    return ["    use(out);  /* yours */"]


BUNDLE = ShipTarget(
    name="c",
    title="C99 without an interpreter",
    extra="c",
    files=(ShipFile(ROLE, recipe("tflite-int8").with_io(IoType.INT8), "litert-reference"),),
    check=_check,
    check_graph=_check_graph,
    write=_write,
    finish=_finish,
    guide=_guide,
    data=_data,
    rebuild=_rebuild,
    measurements=(CORTEX_M,),
    proofs=("litert", "c99", CORTEX_M, CMSIS_NN),
    budgets=_budgets,
    any_outputs=True,
)
