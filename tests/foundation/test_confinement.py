"""Actions that a confined process can no longer do, tried in such a process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux has most of this")

_SCRIPT = """
import json, os, resource, socket, subprocess, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from foundation.confinement import confine
folder = Path(sys.argv[2])
taken = confine([Path(sys.prefix), Path(sys.base_prefix), Path("/usr/lib"), folder / "given"])

def tried(act):
    try:
        act()
    except Exception as error:
        return type(error).__name__
    return "done"

def connect():
    listening = socket.create_connection(("127.0.0.1", int(sys.argv[3])), 5)
    listening.close()

print(json.dumps({
    "taken": taken,
    "given": tried((folder / "given").read_text),
    "secret": tried((folder / "secret").read_text),
    "write": tried(lambda: (folder / "given").write_text("changed")),
    "new": tried(lambda: (folder / "new").write_text("new")),
    "delete": tried((folder / "given").unlink),
    "start": tried(lambda: subprocess.run(["/bin/true"])),
    "connect": tried(connect),
    "core": resource.getrlimit(resource.RLIMIT_CORE),
}))
"""


def test_a_confined_process_reads_what_it_is_given_and_does_nothing_else(tmp_path: Path) -> None:
    import socket

    (tmp_path / "given").write_text("given")
    (tmp_path / "secret").write_text("secret")
    root = Path(__file__).resolve().parents[2]
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = [str(root), str(tmp_path), str(server.getsockname()[1])]
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, *arguments], capture_output=True, text=True, check=True
        )
    found = json.loads(done.stdout)
    assert found["given"] == "done"
    assert found["core"] == [0, 0]
    assert found["new"] != "done"
    assert (tmp_path / "given").read_text() == "given"
    assert not (tmp_path / "new").exists() or not (tmp_path / "new").read_text()
    words = " ".join(found["taken"])
    if "Landlock" in words:
        for act in ("secret", "write", "new", "delete", "start"):
            assert found[act] == "PermissionError", act
    if "no network" in words:
        assert found["connect"] != "done"
