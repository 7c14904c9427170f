"""What a model is and what could be made of it, from the model alone: no image is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from calibration_data.contract import ContractRequest, resolve_contract, stated_contract
from calibration_data.preprocessing import Preprocessing
from edgequant.loading import load
from edgequant.model_view.ends import OutputView, output_views
from edgequant.model_view.operators import OperatorRow, operator_rows
from edgequant.planning import Planner
from export.sizes import expected_bytes
from foundation.errors import InvalidInputError, UnsupportedError
from models.loading.origin import origin_of
from models.loading.request import LoadedModel, ModelRequest
from models.weights.named import checkpoint_path
from network.from_keras import converted, frozen, names_of_outputs
from network.graph import Graph
from network.input_scaling import InputScaling, input_scaling, refuse_two_normalizations
from network.multiply_adds import operations
from network.operators import OpKind
from network.tflite.canonical import canonical_graph, graph_of, object_form
from quantize.islands import FloatOperator
from quantize.recipes import RECIPES, recipe

SIZED = (
    "tflite-int8", "tflite-int4", "tflite-int16x8", "tflite-float16", "tflite-dynamic",
    "tflite-float32", "onnx-int8", "onnx-float16", "onnx-dynamic", "onnx-float32",
)  # fmt: skip
"""Recipes whose bytes are shown."""


@dataclass(frozen=True)
class ModelView:
    """A model before anything is made from it.

    Attributes:
        name: name for files and reports.
        origin: format and Keras of a file, or that it is registered.
        layers: number of layers.
        params: number of weights.
        macs: multiply-adds of convolutions and matrix products for one input.
        input: shape of the input, without the batch.
        contract: preprocessing of the input; None where the user has to state it.
        outputs: what the outputs are.
        operators: operators by kind and type.
        in_float: operators without an integer form, by recipe.
        refused: sentence by recipe that cannot be written.
        sizes: expected bytes by recipe.
        warnings: sentences that the user should know.
    """

    name: str
    origin: str
    layers: int
    params: int
    macs: int
    input: tuple[int, ...]
    contract: Preprocessing | None
    outputs: tuple[OutputView, ...]
    operators: tuple[OperatorRow, ...]
    in_float: Mapping[str, tuple[FloatOperator, ...]]
    refused: Mapping[str, str]
    sizes: Mapping[str, int]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            **vars(self),
            "input": list(self.input),
            "contract": None if self.contract is None else self.contract.to_dict(),
            "outputs": [output.to_dict() for output in self.outputs],
            "operators": [row.to_dict() for row in self.operators],
            "in_float": {k: [op.to_dict() for op in ops] for k, ops in self.in_float.items()},
            "refused": dict(self.refused),
            "sizes": dict(self.sizes),
            "warnings": list(self.warnings),
        }


def view_of(request: ModelRequest, asked: ContractRequest) -> ModelView:
    """Load a model and look at it.

    Args:
        request: model; a registered one gets random weights where its own are not here.
        asked: preprocessing that the user states.

    Raises:
        InvalidInputError: a model or contract that cannot be read, or that do not fit together.
        UnsupportedError: a layer that the TFLite converter does not take, or reduced precision.
    """
    loaded = load(_without_download(request))
    path = Path(request.reference) if request.is_file else None
    contract = _contract(loaded, asked, path)
    assumed = contract or Preprocessing.of_arrays(loaded.input_shape)
    function = frozen(loaded.model, assumed.shape)
    content = converted(function, "the canonical graph")
    graph = canonical_graph(content, names_of_outputs(loaded.model, function))
    planner = Planner(loaded, assumed, None, most_float=1.0)
    vars(planner)["graph"] = graph  # traced already
    vars(planner)["converters"] = graph_of(object_form(content))
    int8 = [known for known in RECIPES if known.name in ("tflite-int8", "onnx-int8")]
    refused = {name: str(error) for name, error in planner.refusals(int8).items()}
    in_float = {known.name: planner.in_float(known) for known in int8 if known.name not in refused}
    written = [op.name for op in in_float["onnx-int8"]] if "onnx-int8" in in_float else None
    return ModelView(
        name=loaded.name,
        origin="registered" if path is None else origin_of(path),
        layers=len(loaded.model.layers),
        params=int(loaded.model.count_params()),
        macs=sum(operations(graph, op) for op in graph.ops if _multiplies(op.kind)),
        input=loaded.input_shape,
        contract=contract,
        outputs=output_views(loaded, contract),
        operators=operator_rows(
            graph,
            written,
            _culprit(graph, refused.get("onnx-int8", "")),
            planner.completed(recipe("tflite-int16x8")),
        ),
        in_float=in_float,
        refused=refused,
        sizes={k: v for k, v in _sizes(planner, content).items() if k not in refused},
        warnings=tuple(_warnings(loaded, input_scaling(function), function, contract)),
    )


def _without_download(request: ModelRequest) -> ModelRequest:
    """Request of a registered model with the weights that are here, or random ones."""
    if request.is_file or (request.weights and Path(request.weights).is_file()):
        return request
    spec = request.spec()
    here = checkpoint_path(spec, spec.weights).is_file()
    return request if here else replace(request, weights="random")


def _contract(
    loaded: LoadedModel, asked: ContractRequest, path: Path | None
) -> Preprocessing | None:
    """Contract of the model; None where nothing states one."""
    own = None if loaded.spec is None else loaded.spec.contract
    stated = stated_contract(asked, own=own, model_path=path)
    shape, pixels = loaded.input_shape, loaded.takes_pixels
    needed = len(shape) == 3 and not pixels and not asked.plain
    if stated is None and needed and None in (asked.mean, asked.std):
        return None
    return resolve_contract(
        asked, own=own, model_path=path, shape=shape, takes_pixels=loaded.takes_pixels
    )


def _multiplies(kind: str) -> bool:
    products = (OpKind.CONV, OpKind.DEPTHWISE_CONV, OpKind.DENSE)
    return kind in (*products, "BATCH_MATMUL", "TRANSPOSE_CONV")


def _culprit(graph: Graph, sentence: str) -> str:
    """Operator that a refusal names; empty without one."""
    return next((op.name for op in graph.ops if sentence and f"gives {op.name}:" in sentence), "")


def _sizes(planner: Planner, content: bytes) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for name in SIZED:
        known = planner.completed(recipe(name)) if name == "tflite-int16x8" else recipe(name)
        try:
            sizes[name] = expected_bytes(planner.graph, content, planner.contract, known)
        except (UnsupportedError, InvalidInputError):
            continue  # the sentence is among those of the recipes that cannot be written
    return sizes


def _warnings(
    loaded: LoadedModel, scaling: InputScaling, function: Any, contract: Preprocessing | None
) -> list[str]:
    found: list[str] = []
    if contract is not None:
        try:
            refuse_two_normalizations(function, contract)
        except InvalidInputError as error:
            found.append(str(error))
    if scaling.op:
        ends = [float(np.ravel(scaling.scale * pixel + scaling.shift)[0]) for pixel in (0, 255)]
        found.append(
            f"a layer of the model normalizes: 0..255 becomes {ends[0]:.3g}..{ends[1]:.3g}, so that"
            " pixels go in as they are (mean 0, std 1)"
        )
    kinds = Counter(type(layer).__name__ for layer in _layers(loaded.model))
    idle = {
        k: n for k, n in kinds.items() if "Dropout" in k or k.startswith(("Random", "Gaussian"))
    }
    if idle:
        named = ", ".join(f"{count} {kind}" for kind, count in sorted(idle.items()))
        found.append(f"layers of the training that no file has: {named}")
    return found


def _layers(model: Any) -> list[Any]:
    """Every layer, those of nested models included."""
    layers: list[Any] = []
    for layer in model.layers:
        layers.append(layer)
        layers += _layers(layer) if hasattr(layer, "layers") else []
    return layers
