"""One protocol for every runtime; a runtime is one file of evaluation/sessions/."""

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
    """What ran: without it a figure means nothing.

    Attributes:
        runtime: registered name.
        version: of the runtime's package.
        kernels: library and options that computed (``XNNPACK``, ``reference``, ``MLAS,
            x64quantprecision=1``).
        threads: inside one session.
    """

    runtime: str
    version: str
    kernels: str
    threads: int


class Session(Protocol):
    """A loaded network; one thread uses it at a time."""

    @property
    def info(self) -> RuntimeInfo:
        """What runs."""
        ...

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Run preprocessed images.

        Quantizes the input and dequantizes the output with the scale and zero point that the
        file states; splits the batch when the file's batch is fixed.

        Args:
            images: float32 ``[batch, height, width, 3]``.

        Returns:
            float32 ``[batch, classes]``.
        """
        ...

    def timed_call(self, image: np.ndarray) -> Callable[[], object]:
        """A call that runs one inference and nothing else, input in place, for the clock.

        Args:
            image: float32 ``[1, height, width, 3]``.
        """
        ...


@runtime_checkable
class Batched(Protocol):
    """A session whose file runs so many images a call; others run one."""

    batch: int


@runtime_checkable
class Closeable(Protocol):
    """A session with something to end: a process."""

    def close(self) -> None:
        """End it at once, whatever it does; its calls in other threads raise."""
        ...


@dataclass(frozen=True)
class Runtime:
    """A way to run artifacts; modules of evaluation/sessions define some as ``RUNTIMES``.

    Attributes:
        name: registered name (``litert-xnnpack``).
        summary: one line for listings.
        suffixes: of the files it takes, with the dot; the first runtime in name order that is
            ``default`` for a suffix is used when none is named.
        open: (path, threads) -> session; raises InvalidInputError for a file it cannot load.
        default: used for its suffixes unless another is named.
    """

    name: str
    summary: str
    suffixes: tuple[str, ...]
    open: Callable[[Path, int], Session] = field(repr=False)
    default: bool = False


def runtimes() -> dict[str, Runtime]:
    """All runtimes by name, found by walking evaluation/sessions."""
    package = import_module("evaluation.sessions")
    found: dict[str, Runtime] = {}
    for module in pkgutil.iter_modules(package.__path__):
        rows: tuple[Any, ...] = getattr(
            import_module(f"evaluation.sessions.{module.name}"), "RUNTIMES", ()
        )
        found.update({runtime.name: runtime for runtime in rows})
    return dict(sorted(found.items()))


def runtime_for(path: Path, name: str | None = None) -> Runtime:
    """The runtime of that name, or the default one for the file.

    Raises:
        InvalidInputError: no such runtime, or it does not take such files.
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
