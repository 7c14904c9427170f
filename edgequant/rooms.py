"""Makes `models`, `export` and the other rooms ours, whatever folder the command is started in.

The rooms are top-level packages with plain names, which a user's own folder may have too. With
PYTHONPATH=. or `python -m` that folder stands first on sys.path; a finder ahead of the path
answers for exactly our names instead. See docs/adr/0002-rooms-are-top-level-packages.md.
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
    """Finds the rooms beside this package, before sys.path is asked."""

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """The spec of a room; None for every other module."""
        if path is not None or fullname not in ROOMS:
            return None
        folder = _HOME / fullname
        return spec_from_file_location(
            fullname, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )


def pin_rooms() -> None:
    """Put the finder first, once."""
    if not any(isinstance(finder, RoomFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, RoomFinder())
