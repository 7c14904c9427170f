"""A Keras model that is made when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Deferred:
    """A Keras model, made once.

    Attributes:
        make: function that loads or builds the model.
    """

    make: Callable[[], keras.Model]

    @classmethod
    def of(cls, model: keras.Model) -> Deferred:
        """A model that is there already."""
        return cls(lambda: model)

    @cached_property
    def model(self) -> keras.Model:
        """The model."""
        return self.make()
