"""Memory plan of a loaded model, as the C sources of its file have it."""

from __future__ import annotations

from calibration_data.preprocessing import Preprocessing
from edgequant.loading import own_contract
from export.c.memory import MemoryPlan
from export.c.planning import plan_of_graph
from models.loading.request import LoadedModel, ModelRequest


def planned(loaded: LoadedModel, request: ModelRequest, element_bytes: int) -> MemoryPlan:
    """Plan of the network's canonical graph; raises the errors of ``from_keras``.

    Args:
        loaded: model.
        request: where it comes from, for the contract of its input.
        element_bytes: bytes of an activation.
    """
    from network.from_keras import from_keras

    contract = own_contract(request)[0] or Preprocessing.of_arrays(loaded.input_shape)
    return plan_of_graph(from_keras(loaded.model, contract), element_bytes).plan
