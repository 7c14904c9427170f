"""A canonical graph as a Keras model of one layer, for all that takes Keras models.

The graph comes with the model: what reads it back has the numbers of the file that it came from,
and no conversion in between.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from network.graph import INPUT_NAME, Graph
from network.run_tensorflow import forward

if TYPE_CHECKING:
    import keras


def as_model(graph: Graph, name: str) -> keras.Model:
    """Keras model that computes a graph with TensorFlow, for any batch.

    Args:
        graph: canonical; every operator has a float kernel.
        name: name of the model.
    """
    import keras

    shape = graph.tensors[graph.input].shape[1:]
    image = keras.Input(shape, name=INPUT_NAME, dtype="float32")
    outputs = _layer_class()(graph)(image)
    if len(graph.outputs) > 1:  # each has the name of the layer that gives it
        ends = zip(graph.outputs, outputs, strict=True)
        outputs = [keras.layers.Identity(name=end)(value) for end, value in ends]
    return keras.Model(image, outputs, name=name.replace("/", "_"))


def wrapped_graph(model: keras.Model) -> Graph | None:
    """Graph that a model was made of by ``as_model``; None for any other model."""
    layers = getattr(model, "layers", None) or []
    found = [layer.canonical_graph for layer in layers if isinstance(layer, _layer_class())]
    return found[0] if len(found) == 1 else None


@cache
def _layer_class() -> Any:
    """Class of the layer; Keras is imported when the first one is made."""
    import keras

    class GraphLayer(keras.layers.Layer):  # type: ignore[misc]
        """A canonical graph as a layer without weights: its constants are in the graph.

        Args:
            graph: canonical.
        """

        def __init__(self, graph: Graph) -> None:
            super().__init__(name="graph", dtype="float32", trainable=False)
            self.canonical_graph = graph

        def call(self, image: Any) -> Any:
            """The output of the graph for images ``[batch, ...]``; a list of several."""
            outputs = list(forward(self.canonical_graph, image))
            return outputs if len(outputs) > 1 else outputs[0]

        def compute_output_shape(self, input_shape: Any) -> Any:
            """Shapes of the outputs, with a free batch."""
            graph = self.canonical_graph
            sizes = [graph.tensors[name].shape[1:] for name in graph.outputs]
            shapes = [(input_shape[0], *size) for size in sizes]
            return shapes if len(shapes) > 1 else shapes[0]

    return GraphLayer
