"""Loading of the model that the user asks for, of any origin: Keras, registered, or a .tflite.

``models`` and ``network`` stand side by side, so what takes both is here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from calibration_data.contract import ContractRequest, resolve_contract
from calibration_data.preprocessing import Preprocessing
from export.foreign import admit_tflite
from export.target import target_of
from foundation.errors import InvalidInputError
from foundation.foreign import reading
from models.loading.deferred import Deferred
from models.loading.request import (
    LoadedModel,
    ModelOutput,
    ModelRequest,
    checked,
    refuse_variant,
)
from models.loading.request import load as load_keras
from models.loading.stored_network import stored_network
from models.weights.by_shape import StoredLayer, assign_by_shape
from models.weights.named import known_weights
from models.weights.tfjs import is_tfjs
from models.weights.tfjs_layers import tfjs_layers
from network.from_tflite import SUFFIX, constants_of, from_tflite
from network.graph import Graph, Op
from network.keras_file.reader import read_graph
from network.operators import OpKind
from network.run_litert import network_of
from network.tflite.reader import WHOLE, read_flat_model
from network.wrapping import as_model


@dataclass(frozen=True)
class ReadModel(LoadedModel):
    """A network of a .keras file that was read without Keras, which loads it when it is asked for.

    Attributes:
        graph: float graph that TensorFlow's converter makes of the network, before any rewrite.
    """

    graph: Graph | None = field(default=None, repr=False)


def load(request: ModelRequest) -> LoadedModel:
    """Load or build the model of a request and check it.

    A .tflite is read as its canonical graph and never run; the Keras model around that graph is
    the float network that its files are compared with.

    Raises:
        InvalidInputError: see ``models.loading.request.load``; a .tflite that is damaged,
            quantized, or holds operators that are not computed here.
    """
    if is_tflite(request):
        refuse_variant(request)
        path = Path(request.reference)
        admit_tflite(path)
        graph = from_tflite(path)
        (source,) = (flat := read_flat_model(path).subgraphs[0]).inputs
        integers = flat.tensors[source].dtype != "float32"
        return checked(request, as_model(graph, request.name), takes_pixels=integers)
    weights = request.weights
    if weights and not request.is_file and weights not in known_weights(request.spec()):
        path = Path(weights)
        if path.suffix == SUFFIX and path.is_file():
            admit_tflite(path)
            return _with_layers(request, layers_in(path), _rounding(path))
        if is_tfjs(path):
            return _with_layers(request, tfjs_layers(path))
    return _read(request) or load_keras(request)


def _read(request: ModelRequest) -> ReadModel | None:
    """The model of a .keras file whose layers are all known here; None for any other."""
    path = Path(request.reference)
    if not request.is_file or path.suffix != ".keras" or not path.is_file():
        return None
    refuse_variant(request)
    stored = stored_network(path)
    graph = None if stored is None else read_graph(stored.config, stored.weights)
    if graph is None:
        return None
    shape = graph.tensors[graph.input].shape
    ends = [(name, graph.tensors[name].shape) for name in graph.outputs]
    if not 2 <= len(shape) <= 4 or any(len(sides) < 2 for _, sides in ends):
        return None  # Keras's way refuses it, with a sentence
    outputs = tuple(ModelOutput(name, sides[1:]) for name, sides in ends)
    network = Deferred(lambda: load_keras(request).model)
    return ReadModel(request.name, network, shape[1:], outputs, None, graph=graph)


def graph_read(loaded: LoadedModel) -> Graph | None:
    """Converter's graph of a model that was read without Keras; None for any other."""
    return loaded.graph if isinstance(loaded, ReadModel) else None


def is_tflite(request: ModelRequest) -> bool:
    """Whether a request is for a .tflite file rather than a Keras model."""
    return request.is_file and Path(request.reference).suffix == SUFFIX


def own_contract(request: ModelRequest) -> tuple[Preprocessing | None, Path | None]:
    """Contract that comes with a model, and its path if it is a file.

    A registered model has its own, and a .tflite that we wrote has a card.
    """
    if not request.is_file:
        return request.spec().contract, None
    path = Path(request.reference)
    card = target_of(path).read_card(path) if is_tflite(request) and path.is_file() else None
    return None if card is None else card.preprocessing, path


def float_answers(loaded: LoadedModel, images: np.ndarray) -> np.ndarray:
    """First output of a float network for images, ``[n, *shape] -> [n, ...]``.

    One that was read without Keras runs in LiteRT, image by image.
    """
    graph = graph_read(loaded)
    if graph is None:
        return np.asarray(loaded.model(images, training=False))
    return network_of(graph, graph.ops, results=graph.outputs[:1]).run({graph.input: images})[0]


def contract_of(
    loaded: LoadedModel,
    request: ContractRequest,
    *,
    own: Preprocessing | None,
    path: Path | None,
) -> Preprocessing:
    """Contract of a loaded model; arguments and errors are those of ``resolve_contract``."""
    return resolve_contract(
        request,
        own=own,
        model_path=path,
        shape=loaded.input_shape,
        takes_pixels=loaded.takes_pixels,
    )


def layers_in(path: Path) -> tuple[StoredLayer, ...]:
    """Convolutions and dense layers of a .tflite, quantized or not.

    Raises:
        InvalidInputError: no such file, or a damaged one.
    """
    graph = constants_of(path)
    with reading(path, WHOLE, "download or export the file again"):
        return stored_layers(graph)


def stored_layers(graph: Graph) -> tuple[StoredLayer, ...]:
    """Convolutions and dense layers of a graph, in Keras's order of axes."""
    depth, layers = {graph.input: 0}, list[StoredLayer]()
    sources: dict[str, frozenset[str]] = {}
    for op in graph.ops:
        before = max((depth.get(name, 0) for name in op.inputs if name), default=0)
        read = frozenset().union(*(sources.get(name, ()) for name in op.inputs if name))
        weighted = op.is_weighted and graph.is_constant(op.inputs[1])
        depth.update(dict.fromkeys(op.outputs, before + weighted))
        if weighted:
            layers.append(_stored(op, graph, before + 1, tuple(sorted(read))))
            read = frozenset({op.name})
        sources.update(dict.fromkeys(op.outputs, read))
    return tuple(layers)


def _stored(op: Op, graph: Graph, depth: int, sources: tuple[str, ...]) -> StoredLayer:
    weight = graph.weight(op)
    if op.kind == OpKind.DEPTHWISE_CONV:
        channels = graph.tensors[op.inputs[0]].shape[-1]
        kernel = weight.reshape(*weight.shape[1:3], channels, -1)  # 1HW(CM) -> HWCM
    elif weight.ndim == 4:
        kernel = np.transpose(weight, (1, 2, 3, 0))  # OHWI -> HWIO
    else:
        kernel = weight.T
    return StoredLayer(
        op.name,
        kernel,
        graph.bias(op),
        depthwise=op.kind == OpKind.DEPTHWISE_CONV,
        depth=depth,
        sources=sources,
        positions=math.prod(graph.tensors[op.outputs[0]].shape[1:-1]),
        dilation=int(op.options.get("dilationHFactor", 1)),
    )


def _with_layers(
    request: ModelRequest, layers: tuple[StoredLayer, ...], remarks: tuple[str, ...] = ()
) -> LoadedModel:
    """A registered network with the weights of an exported one."""
    spec = request.spec()
    model = spec.build(spec)
    if spec.deployed is not None:
        model = spec.deployed(model)
    assign_by_shape(model, layers)
    return checked(request, model, remarks)


def _rounding(path: Path) -> tuple[str, ...]:
    """Remark on a .tflite whose weights are integers."""
    tensors = read_flat_model(path).subgraphs[0].tensors
    if not any(tensor.constant and tensor.scale for tensor in tensors):
        return ()
    return (f"the weights are those of {path.name} with the rounding of its integers",)


def refuse_non_finite_outputs(loaded: LoadedModel, images: np.ndarray) -> None:
    """Raise InvalidInputError for a model that gives NaN or infinity on calibration images."""
    import tensorflow as tf

    outputs = tf.nest.flatten(loaded.model(images, training=False))
    if not all(np.isfinite(np.asarray(values)).all() for values in outputs):
        raise InvalidInputError(
            "the float model gives finite scores on calibration images",
            received=f"{loaded.name} with NaN or Inf in its output",
            remedy="check the weights, and that the preprocessing is the one it was trained with",
        )
