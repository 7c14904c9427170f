"""Tables whose rows are in several files of a package."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import Any


def joined(package: str, table: str) -> Mapping[str, Any]:
    """One table of the rows in all modules of a package.

    Args:
        package: full name of the package.
        table: name of the mapping in each module; a module without it has no rows.

    Returns:
        Rows of all modules, in the order of the modules' names.

    Raises:
        ValueError: a key in two modules; names it.
    """
    rows: dict[str, Any] = {}
    for module in pkgutil.iter_modules(import_module(package).__path__):
        found = getattr(import_module(f"{package}.{module.name}"), table, {})
        if twice := sorted(set(rows) & set(found)):
            raise ValueError(f"{package}.{module.name} has {', '.join(twice)} a second time")
        rows.update(found)
    return rows
