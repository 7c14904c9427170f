"""Values of the nodes that depend on no image, as TensorFlow's converter computes them.

Float32, one operation after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from network.keras_file.nodes import Node

_COMPUTED: dict[str, Callable[..., np.ndarray]] = {
    "AddV2": np.add,
    "Identity": lambda x: x,
    "Mul": np.multiply,
    "Reshape": lambda x, shape: x.reshape(shape),
    "Squeeze": np.squeeze,
    "Sub": np.subtract,
}


def stored_values(nodes: Sequence[Node]) -> dict[str, np.ndarray]:
    """Values by name of the constants, and of what is computed from them.

    Args:
        nodes: nodes in an order in which they can run.
    """
    values: dict[str, np.ndarray] = {}
    for node in nodes:
        if node.value is not None:
            values[node.name] = node.value
        elif node.kind in _COMPUTED and node.inputs and all(n in values for n in node.inputs):
            operands = [values[name] for name in node.inputs]
            values[node.name] = np.asarray(_COMPUTED[node.kind](*operands))
    return values
