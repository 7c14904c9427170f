"""Script that a process of ours starts with: ``python -P start.py MODULE [ARGUMENT]``.

It imports edgequant from the installation of this file, whatever the working folder and the
program's own path hold.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path


def main() -> None:
    """Use our own packages, then call ``main`` of the module with the arguments."""
    package_folder = Path(__file__).resolve().parents[1]
    spec = spec_from_file_location(
        "edgequant",
        package_folder / "__init__.py",
        submodule_search_locations=[str(package_folder)],
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules["edgequant"] = package = module_from_spec(spec)
    spec.loader.exec_module(package)
    import_module("edgequant.process")  # settings of a process of ours
    import_module(sys.argv[1]).main(*map(Path, sys.argv[2:]))


if __name__ == "__main__":
    main()
