"""Import of our packages beside this one (`models`, `export` and others), in a checkout or a wheel.

In a checkout they are top-level folders with plain names, and a user's own folder may have the same
ones. With PYTHONPATH=. or `python -m` that folder is first on sys.path; a finder ahead of the path
resolves exactly our names instead. In a wheel they are inside this package, where no name can meet
another one, and nothing is to be done. See docs/adr/0002-rooms-are-top-level-packages.md and
docs/adr/0029-python-api.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOMS = (
    "calibration_data",
    "evaluation",
    "export",
    "foundation",
    "models",
    "network",
    "quantize",
    "reports",
    "studies",
)
_HERE = Path(__file__).resolve().parent
_INSIDE = _HERE / "_rooms"
"""Folder of the rooms in a wheel (setup.py moves them there)."""


class RoomFinder(MetaPathFinder):
    """Finds our top-level packages beside this one, before sys.path is searched."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Spec of one of our packages; None for every other module."""
        if path is not None or fullname not in ROOMS:
            return None
        folder = _HERE.parent / fullname
        return spec_from_file_location(
            fullname, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


def is_checkout() -> bool:
    """Whether this package runs from a checkout, and not from a wheel."""
    return not _INSIDE.is_dir()


def pin_rooms() -> None:
    """Install the finder of a checkout ahead of all others, once; a wheel needs none."""
    if is_checkout() and not any(isinstance(f, RoomFinder) for f in sys.meta_path):
        sys.meta_path.insert(0, RoomFinder())


def source_folders() -> tuple[Path, ...]:
    """Folders of our source: this package, and the rooms, which may be inside it."""
    home = _INSIDE if _INSIDE.is_dir() else _HERE.parent
    return (_HERE, *(home / room for room in ROOMS))
