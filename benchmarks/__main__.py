"""``python -m benchmarks [NAME ...]``: run benchmarks and write their CSV files."""

from __future__ import annotations

import os
import pkgutil
import sys
from importlib import import_module

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import benchmarks
import edgequant  # noqa: F401 - makes the rooms ours
from benchmarks.record import report
from foundation.errors import InvalidInputError


def main(names: list[str]) -> None:
    """Run the named benchmarks, all of them when none is named."""
    found = [
        module.name
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if module.name not in ("__main__", "record") and not module.ispkg
    ]
    for name in names or found:
        try:
            figures = import_module(f"benchmarks.{name}").run()
        except InvalidInputError as error:
            print(f"{name}: not measured: {error}")
            continue
        report(name, figures)


if __name__ == "__main__":
    main(sys.argv[1:])
