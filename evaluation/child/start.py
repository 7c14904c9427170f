"""Script that a child process starts with: it gives up rights before it loads anything.

``python -P start.py SOCKET PARENT``, then one JSON line on the socket with the files to read.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

_HOME = next(
    folder
    for folder in Path(__file__).resolve().parents
    if (folder / "edgequant" / "__init__.py").is_file()
)
"""Folder of our packages; in a wheel this file lies inside edgequant itself."""


def _use_our_packages() -> None:
    """Import edgequant from the installation of this file, whatever the working folder."""
    folder = _HOME / "edgequant"
    spec = spec_from_file_location(
        "edgequant", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules["edgequant"] = package = module_from_spec(spec)
    spec.loader.exec_module(package)
    import_module("edgequant.process")  # settings of a process of ours


def main() -> None:
    """Give up rights, then serve the parent until it closes the socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent kills the child
    channel = socket.socket(fileno=int(sys.argv[1]))
    _use_our_packages()
    from evaluation.child.readable import code_folders
    from foundation.confinement import confine, die_with_parent

    if sys.argv[2] == "die-with-parent":
        die_with_parent()
    with channel.makefile("rb", buffering=0) as lines:
        files = [Path(os.fsdecode(bytes.fromhex(name))) for name in json.loads(lines.readline())]
    taken = confine([*code_folders(_HOME), *files])
    with contextlib.suppress(OSError):  # a log on a full disk; --debug shows the message
        os.write(2, f"edgequant: {files[0].name} runs with {'; '.join(taken)}\n".encode())
    from evaluation.child.serve import serve

    serve(channel)


if __name__ == "__main__":
    main()
