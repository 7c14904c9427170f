"""Protocol of the runtimes; a runtime is one file of evaluation/sessions/."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class RuntimeInfo:
    """Runtime, version and kernels of a measurement; a figure without them means nothing.

    Attributes:
        runtime: registered name.
        version: version of the runtime's package.
        kernels: library and options of the kernels (``XNNPACK``, ``reference``, ``MLAS,
            x64quantprecision=1``).
        threads: number of threads in one session.
    """

    runtime: str
    version: str
    kernels: str
    threads: int


class Session(Protocol):
    """A loaded network; one thread uses it at a time."""

    @property
    def info(self) -> RuntimeInfo:
        """Runtime, version and kernels."""
        ...

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs in the order of ``run``: the model's names, where the file has them.

        A .tflite has them in its SignatureDef; without one, they are the names of its tensors.
        """
        ...

    def run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """Run preprocessed images and read every output.

        Quantizes the input and dequantizes each output with the scale and zero point in the file,
        and splits the batch when the file's batch is fixed.

        Args:
            images: float32 ``[batch, *shape]``, channels last.

        Returns:
            float32 ``[batch, ...]`` for each name in ``outputs``.
        """
        ...

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Run preprocessed images in a network with one output; ``run`` describes the arguments.

        Returns:
            float32 ``[batch, ...]``.

        Raises:
            InvalidInputError: a network with several outputs.
        """
        ...

    def timed_call(self, image: np.ndarray) -> Callable[[], object]:
        """Function that runs one inference and nothing else, for the clock; its input is set.

        Args:
            image: float32 ``[1, *shape]``, channels last.
        """
        ...


@runtime_checkable
class Batched(Protocol):
    """A session whose file runs ``batch`` images per call; other sessions run one."""

    batch: int


@runtime_checkable
class Closeable(Protocol):
    """A session that must be closed, since it has a process of its own."""

    def close(self) -> None:
        """End the process at once, whatever it does; calls in other threads raise."""
        ...


@dataclass(frozen=True)
class Runtime:
    """A way to run artifacts; modules of evaluation/sessions define ``RUNTIMES``, a tuple of them.

    Attributes:
        name: registered name (``litert-xnnpack``).
        summary: one line for listings.
        suffixes: suffixes of the files that it runs, with the dot; if no runtime is named, the
            first one in name order that is ``default`` for the suffix is used.
        open: (path, threads) -> session; raises InvalidInputError for a file it cannot load.
        default: whether it is used for its suffixes if no runtime is named.
        module: module of the library that runs the network, for ``edgequant doctor``.
    """

    name: str
    summary: str
    suffixes: tuple[str, ...]
    open: Callable[[Path, int], Session] = field(repr=False)
    default: bool = False
    module: str = ""


def runtimes() -> dict[str, Runtime]:
    """All runtimes by name: ``RUNTIMES`` of each module of evaluation/sessions."""
    package = import_module(f"{__package__}.sessions")
    by_name: dict[str, Runtime] = {}
    for module in pkgutil.iter_modules(package.__path__):
        rows: tuple[Any, ...] = getattr(
            import_module(f"{package.__name__}.{module.name}"), "RUNTIMES", ()
        )
        by_name.update({runtime.name: runtime for runtime in rows})
    return dict(sorted(by_name.items()))


def runtime_for(path: Path, name: str | None = None) -> Runtime:
    """Runtime by name, or the default one for a file.

    Raises:
        InvalidInputError: no such runtime, or it does not run such files.
    """
    fitting = {r.name: r for r in runtimes().values() if path.suffix in r.suffixes}
    if name is None:
        for runtime in fitting.values():
            if runtime.default:
                return runtime
    elif name in fitting:
        return fitting[name]
    raise InvalidInputError(
        f"{path.name} runs in {', '.join(fitting) or 'no runtime here'}",
        received=name or f"a file that ends in {path.suffix or 'nothing'}",
        remedy="see 'edgequant list runtimes'",
    )
