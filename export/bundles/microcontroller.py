"""Bundle for microcontrollers: an int8 file and its sources for TFLite Micro."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from calibration_data.preprocessing import ChannelOrder, Preprocessing
from export.bundles import c_decoder, c_outputs
from export.bundles import c_sources as c
from export.bundles.c_inputs import CInput
from export.bundles.target import (
    VECTORS,
    Budget,
    BundleRequest,
    Figures,
    ShipFile,
    ShipTarget,
    is_classifier,
)
from export.bundles.vectors_source import read_vectors_source
from foundation.errors import GateFailedError, UnsupportedError
from foundation.foreign import reading, require_regular
from network.tflite.reader import Subgraph, read_flat_model
from quantize.recipes import recipe
from quantize.settings import IoType

if TYPE_CHECKING:
    import numpy as np

    from network.affine import QuantParams

ROLE = "int8"
ARENA = "tflite-micro-arena"
"""Name of the proof that measures the arena."""
RUN = "tflite-micro"
"""Name of the proof that runs the vectors."""
_C_VECTORS = 2
"""Number of test vectors in the C++ sources; vectors/ has all of them."""
_VECTORS_SOURCE = "model_vectors.cc"


def model_file(folder: Path) -> Path:
    """Path of the .tflite file in this target's folder."""
    return next(iter(sorted(folder.glob("*.tflite"))), folder / "model.tflite")


def pixel_table(contract: Preprocessing, ends: c.Ends) -> np.ndarray | None:
    """int8 input for each pixel value, ``[channels, 256]``; None for plain arrays.

    The contract in float32, then the arithmetic of QUANTIZE, as our sessions treat an image. The
    C++ code only looks values up in the table, so it has no rounding of its own.
    """
    import numpy as np

    if contract.plain:
        return None
    values = np.arange(256, dtype=np.uint8)[:, None]
    pixels = np.repeat(values, contract.channel_count, axis=1)  # [256, channels]
    params = _input_params(ends)
    return params.quantize(contract.normalize(pixels)).T


def _input_params(ends: c.Ends) -> QuantParams:
    from network.affine import QuantParams

    return QuantParams((ends.input_scale,), (ends.input_zero_point,))


def ends_of(graph: Subgraph) -> c.Ends:
    """Scales of input and output of an int8 file.

    Raises:
        UnsupportedError: an input or output that is not int8 with one scale.
    """
    image, scores = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    for tensor in (image, *(graph.tensors[index] for index in graph.outputs)):
        if tensor.dtype != "int8" or len(tensor.scale) != 1:
            raise UnsupportedError(
                "TFLite Micro's kernels take int8 input and output with one scale",
                received=f"{tensor.name} in {tensor.dtype}",
                remedy="export it with --io int8",
            )
    return c.Ends(
        float(image.scale[0]),
        int(image.zero_point[0]),
        float(scores.scale[0]),
        int(scores.zero_point[0]),
        int(scores.shape[-1] or 0),
    )


def outputs_of(graph: Subgraph, contract: Preprocessing) -> tuple[c_outputs.OutputEnd, ...]:
    """Outputs of an int8 file that are not scores of labels; empty for a classifier."""
    tensors = [graph.tensors[index] for index in graph.outputs]
    if is_classifier([tensor.shape[1:] for tensor in tensors], contract):
        return ()
    return tuple(
        c_outputs.OutputEnd(
            tensor.name,
            tuple(int(size or 0) for size in tensor.shape[1:]),
            float(tensor.scale[0]),
            int(tensor.zero_point[0]),
        )
        for tensor in tensors
    )


def contract_texts(request: BundleRequest) -> dict[str, str]:
    """Content of ``model_contract`` and, of a detector, ``model_decoder``, by file name."""
    graph = read_flat_model(request.files[ROLE]).subgraphs[0]
    ends, outputs = ends_of(graph), outputs_of(graph, request.contract)
    lines = c_outputs.output_lines(outputs) if outputs else None
    table = pixel_table(request.contract, ends)
    return {
        "model_contract.h": c.contract_header(request.name, request.contract, ends, lines),
        "model_contract.cc": c.contract_source(
            request.name, request.contract, table, labelled=not outputs
        ),
        **c_decoder.decoder_texts(request.name, request.contract, outputs),
    }


def _check(_: Preprocessing) -> None:
    """Accept every contract: the firmware computes with its numbers."""


def _write(request: BundleRequest, folder: Path) -> None:
    (folder / _model_name(request)).write_bytes(request.files[ROLE].read_bytes())
    for file, text in _sources(request).items():
        (folder / file).write_text(text, encoding="ascii")
    request.vectors[ROLE].write(folder / VECTORS, ROLE)


def _model_name(request: BundleRequest) -> str:
    return f"{request.name}-int8.tflite"


def _sources(request: BundleRequest) -> dict[str, str]:
    """Content of the sources that do not depend on measurements, by file name."""
    name, path = request.name, request.files[ROLE]
    graph = read_flat_model(path).subgraphs[0]
    several, count = bool(outputs_of(graph, request.contract)), len(request.pixels[:_C_VECTORS])
    entry = CInput(request.contract)
    operators = tuple(sorted({operator.name for operator in graph.operators}))
    return {
        "model_data.h": c.model_header(name),
        "model_data.cc": c.model_source(name, path.read_bytes()),
        **contract_texts(request),
        "model_ops.h": c.operators_header(name, operators),
        "model_vectors.h": (c_outputs if several else c).vectors_header(name, entry, count),
        "model_runner.h": (c_outputs if several else c).runner_header(name, entry),
        "model_runner.cc": (c_outputs if several else c).runner_source(name, entry),
    }


def _measured_sources(
    request: BundleRequest, scores: Iterable[Iterable[int]], figures: Figures
) -> dict[str, str]:
    """Content of the sources that depend on measurements, by file name.

    Args:
        request: request with the pixels of the vectors.
        scores: scores of the vectors in the runtime of the device.
        figures: figures of the measurements.
    """
    name, pixels = request.name, request.pixels[:_C_VECTORS]
    several = outputs_of(read_flat_model(request.files[ROLE]).subgraphs[0], request.contract)
    array = (c_outputs.VECTORS_NAME,) if several else ()
    return {
        "model_arena.h": c.arena_header(name, arena_of(figures)),
        _VECTORS_SOURCE: c.vectors_source(name, CInput(request.contract), pixels, scores, *array),
    }


def _data(request: BundleRequest, _figures: Figures) -> tuple[str, ...]:
    return (_model_name(request),)


def _rebuild(request: BundleRequest, folder: Path, figures: Figures) -> dict[str, bytes]:
    """All sources; the numbers of model_vectors.cc are read and compared with the vectors."""
    vectors = request.vectors[ROLE]
    path, count = folder / _VECTORS_SOURCE, min(_C_VECTORS, len(vectors.inputs))
    rule = f"{_VECTORS_SOURCE} holds the first test vectors"
    remedy = "make the bundle again"
    require_regular(path, rule, remedy)
    with reading(path, rule, remedy):
        pixels, scores = read_vectors_source(
            path.read_text(encoding="ascii"),
            (count, *vectors.inputs.shape[1:]),
            (count, *vectors.outputs.shape[1:]),
            floats=request.contract.plain,
        )
        ends = ends_of(read_flat_model(request.files[ROLE]).subgraphs[0])
        _check_first(request, pixels, scores, ends, RUN in figures)
    rebuilt = replace(request, pixels=pixels)
    texts = {**_sources(rebuilt), **_measured_sources(rebuilt, scores, figures)}
    return {name: text.encode("ascii") for name, text in texts.items()}


def _check_first(
    request: BundleRequest, pixels: np.ndarray, scores: np.ndarray, ends: c.Ends, ran: bool
) -> None:
    """Refuse sources whose vectors are not the first test vectors.

    Args:
        request: request with the test vectors.
        pixels: ``[n, *shape]`` in the sources, uint8 or float32.
        scores: int8 ``[n, classes]`` in the sources.
        ends: scales of the file.
        ran: whether TFLite Micro computed the scores, which may differ from LiteRT's by one step.

    Raises:
        GateFailedError: other pixels or scores.
    """
    import numpy as np

    vectors = request.vectors[ROLE]
    inputs = _input_params(ends).quantize(request.contract.normalize(pixels))
    steps = np.abs(scores.astype(int) - vectors.outputs[: len(scores)])
    faults = (
        (not np.array_equal(inputs, vectors.inputs[: len(pixels)]), "pixels of other inputs"),
        (steps.max() > (1 if ran else 0), "other scores"),
    )
    for wrong, what in faults:
        if wrong:
            raise GateFailedError(
                f"{_VECTORS_SOURCE} holds the first of the test vectors",
                received=what,
                remedy="look at who changed it, or make the bundle anew",
            )


def arena_of(figures: Figures) -> c.ArenaFigures | None:
    """Measured arena; None without a measurement."""
    values = figures.get(ARENA)
    if not values:
        return None
    return c.ArenaFigures(
        size=values["arena_bytes"],
        head=values["head_bytes"],
        tail=values["tail_bytes"],
        version=values["version"],
        pointer_bits=values["pointer_bits"],
    )


def _finish(request: BundleRequest, folder: Path, figures: Figures) -> None:
    # The device runs TFLite Micro, so its self-test expects TFLite Micro's outputs if it ran here.
    outputs = figures.get(RUN, {}).get("_outputs", request.vectors[ROLE].outputs)
    texts = _measured_sources(request, outputs[:_C_VECTORS], figures)
    for file, text in texts.items():
        (folder / file).write_text(text, encoding="ascii")


def _budgets(folder: Path, figures: Figures) -> tuple[Budget, ...]:
    arena = arena_of(figures)
    size = model_file(folder).stat().st_size
    return (Budget("microcontroller", size, None if arena is None else arena.size),)


def _guide(request: BundleRequest, _folder: Path, figures: Figures) -> str:
    arena, space = arena_of(figures), c.identifier(request.name)
    size = request.files[ROLE].stat().st_size
    memory = f"The model takes {size:,} bytes of flash. " + (
        "The arena was not measured: see `model_arena.h`."
        if arena is None
        else f"The arena takes {arena.size:,} bytes of RAM ({arena.head:,} head, {arena.tail:,} "
        f"tail; measured with {arena.pointer_bits}-bit pointers)."
    )
    entry = CInput(request.contract)
    source = "Sensor" if request.contract.plain else "Camera"
    outputs = outputs_of(read_flat_model(request.files[ROLE]).subgraphs[0], request.contract)
    lines = [
        f"Add the .cc and .h files to a project that has TFLite Micro. {memory}",
        *_filling(request.contract),
        "",
        "```cpp",
        '#include "model_contract.h"',
        *(['#include "model_decoder.h"'] if request.contract.detector else []),
        '#include "model_runner.h"',
        "",
        *(
            c_outputs.guide(space, entry, source, _reading(request.contract, space))
            if outputs
            else _class_guide(space, entry, source)
        ),
        "```",
    ]
    return "\n".join(lines)


def _reading(contract: Preprocessing, space: str) -> list[str]:
    """Lines of C++ that read the outputs, for the guide."""
    return c_outputs.each_output(space) if contract.detector is None else c_decoder.guide(space)


def _class_guide(space: str, entry: CInput, source: str) -> list[str]:
    return [
        "int main() {",
        f"  if (!{space}::SetUp() || !{space}::SelfTest()) return 1;",
        f"  static {entry.element} {entry.buffer}[{space}::{entry.size}];",
        f"  while (Read{source}({entry.buffer})) {{  // yours",
        f"    const int best = {space}::Classify({entry.buffer});",
        f"    if (best >= 0) Show({space}::kLabels[best]);  // yours",
        "  }",
        "}",
    ]


def _filling(contract: Preprocessing) -> list[str]:
    """What ``FillInput`` does, for the guide."""
    if contract.plain:
        return [
            f"`FillInput` turns {CInput(contract).what} into the int8 tensor as the contract says;",
            "`model_ops.h` registers just the operators used.",
        ]
    kind = "RGB" if contract.is_colour else "grey" if contract.channel_count == 1 else "the"
    order = "BGR" if contract.channels is ChannelOrder.BGR else "RGB"
    inside = f" ({order} inside)" if contract.is_colour else ""
    return [
        f"`FillInput` turns {kind} pixels into the int8 tensor{inside} by a table made from",
        "the contract; `model_ops.h` registers just the operators used.",
    ]


BUNDLE = ShipTarget(
    name="microcontroller",
    title="Microcontrollers (TFLite Micro)",
    extra="micro",
    files=(ShipFile(ROLE, recipe("tflite-int8").with_io(IoType.INT8), "litert-reference"),),
    check=_check,
    write=_write,
    finish=_finish,
    guide=_guide,
    data=_data,
    rebuild=_rebuild,
    measurements=(ARENA, RUN),
    proofs=("litert", RUN, "cpp17", "arm-none-eabi"),
    budgets=_budgets,
    any_outputs=True,
)
