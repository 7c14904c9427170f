"""``python -m benchmarks [NAME ...]``: run benchmarks and write their CSV files."""

from __future__ import annotations

import argparse
import os
import pkgutil
import sys
from importlib import import_module

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import benchmarks
import edgequant.process  # noqa: F401 - pins our top-level packages
from benchmarks.record import report
from foundation.errors import InvalidInputError

_OTHERS = ("__main__", "converter_script", "costs", "record", "sources")


def suites() -> list[str]:
    """Names of the benchmarks: modules with a function ``run``."""
    return [
        module.name
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if module.name not in _OTHERS and not module.ispkg
    ]


def main(arguments: list[str]) -> None:
    """Run the named benchmarks, or all if none is named."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    known = suites()
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    names = parser.parse_args(arguments).names
    if unknown := sorted(set(names) - set(known)):
        parser.error(f"benchmarks are {', '.join(known)}; received {', '.join(unknown)}")
    for name in names or known:
        try:
            figures = import_module(f"benchmarks.{name}").run()
        except InvalidInputError as error:
            print(f"{name}: not measured: {error}")
            continue
        report(name, figures)


if __name__ == "__main__":
    main(sys.argv[1:])
