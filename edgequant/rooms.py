"""Import of our top-level packages (`models`, `export` and others) from any current folder.

Their names are plain, and a user's own folder may have the same ones. With PYTHONPATH=. or
`python -m` that folder is first on sys.path; a finder ahead of the path resolves exactly our names
instead. See docs/adr/0002-rooms-are-top-level-packages.md.
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
_HOME = Path(__file__).resolve().parent.parent


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
        folder = _HOME / fullname
        return spec_from_file_location(
            fullname, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


def pin_rooms() -> None:
    """Install the finder ahead of all others, once."""
    if not any(isinstance(finder, RoomFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, RoomFinder())
