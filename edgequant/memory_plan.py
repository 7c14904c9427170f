"""Memory plan of a loaded model, as the C sources of its file have it."""

from __future__ import annotations

from calibration_data.preprocessing import Preprocessing
from edgequant.loading import own_contract
from export.c.patches import NONE, Patches
from export.c.planning import plan_of_graph
from export.c.schedule import Schedule
from models.loading.request import LoadedModel, ModelRequest
from network.graph import Graph


def graph_of(loaded: LoadedModel, request: ModelRequest) -> Graph:
    """Canonical graph of a network; raises the errors of ``from_keras``.

    Args:
        loaded: model.
        request: where it comes from, for the contract of its input.
    """
    from network.from_keras import from_keras

    contract = own_contract(request)[0] or Preprocessing.of_arrays(loaded.input_shape)
    return from_keras(loaded.model, contract)


def planned(
    loaded: LoadedModel, request: ModelRequest, element_bytes: int, patches: Patches = NONE
) -> Schedule:
    """Plan of the network's canonical graph; raises the errors of ``from_keras``.

    Args:
        loaded: model.
        request: where it comes from, for the contract of its input.
        element_bytes: bytes of an activation.
        patches: patches that the plan may have.
    """
    return plan_of_graph(graph_of(loaded, request), element_bytes, patches)
