"""Children that meet files of others: bounded in time and output, without network or our home."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from edgequant.ship.proving import prove
from evaluation.proofs import child
from evaluation.proofs.child import run_tool
from evaluation.proofs.proof import ProofRequest, run_worker
from foundation import scratch
from foundation.errors import InvalidInputError
from foundation.scratch import temporary_scratch
from tests.evaluation.proofs.test_proofs import interpreter, sources


class Usage(NamedTuple):
    """As ``shutil.disk_usage`` gives it."""

    total: int
    used: int
    free: int


def test_a_child_without_end_is_stopped_with_its_own_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_SECONDS", 0.5)
    started = time.monotonic()
    done = run_tool(["/bin/sh", "-c", "sleep 300 & echo $! > it; wait"], tmp_path)
    assert "no end within" in done.log
    assert time.monotonic() - started < 60
    process = int((tmp_path / "it").read_text())
    for _ in range(100):
        state = subprocess.run(["ps", "-o", "stat=", "-p", str(process)], capture_output=True)
        if not state.stdout.strip() or state.stdout.startswith(b"Z"):
            return
        time.sleep(0.05)
    pytest.fail("a child of the child still runs")


def test_output_without_end_is_cut_in_the_middle(tmp_path: Path) -> None:
    done = run_tool(["/bin/sh", "-c", "echo first; head -c 9000000 /dev/zero; echo last"], tmp_path)
    assert done.log.startswith("first")
    assert done.last_line.endswith("last")
    assert len(done.log) <= (1 << 20) + 1


def test_a_child_gets_no_variables_home_or_input_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_OF_MINE", "secret")
    done = run_tool(["/bin/sh", "-c", "env; cat"], tmp_path)
    assert done.code == 0
    assert "secret" not in done.log
    assert f"HOME={tmp_path}" in done.log
    assert f"TMPDIR={tmp_path}" in done.log


def test_a_child_has_no_network_where_the_system_can_take_it(tmp_path: Path) -> None:
    if not child._without_network(sys.executable):
        pytest.skip("this system lets nobody make a network namespace")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 2)"
        socket.create_connection(("127.0.0.1", port), 2).close()
        assert run_tool([sys.executable, "-I", "-c", code], tmp_path).code != 0


def test_a_program_that_is_not_there_is_no_crash(tmp_path: Path) -> None:
    assert run_tool([str(tmp_path / "absent")], tmp_path).code == 127


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_child_that_finds_the_disk_full_proves_nothing(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    sources(tmp_path / "folder")
    compiler = interpreter(tmp_path, f"echo 'cc1plus: {os.strerror(number)}' >&2; exit 1")
    monkeypatch.setenv("CXX", str(compiler))
    with pytest.raises(InvalidInputError, match=r"temporary files has room.*TMPDIR"):
        prove(("cpp17",), tmp_path / "folder", None, {})


def test_a_full_disk_is_found_before_a_proof_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scratch.shutil, "disk_usage", lambda _: Usage(10, 10, 5000))
    with pytest.raises(InvalidInputError, match="5,000 bytes free"):
        prove(("cpp17",), tmp_path, None, {})


def test_a_disk_that_fills_up_in_this_process_is_one_sentence() -> None:
    with (
        pytest.raises(InvalidInputError, match="temporary files has room"),
        temporary_scratch(),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (r"printf 'bad \377\376 text\n'; exit 1", "bad \ufffd\ufffd text"),
        (r"""printf '{"error": "a \\udc80 b\\n"}' > "$4" """, r"a \udc80 b"),
        (r"""printf '\377' > "$4" """, "a reply that is damaged"),
        (r"""printf '[1]' > "$4" """, "a reply that is damaged"),
        (r"""printf '{' > "$4" """, "a reply that is damaged"),
        (r"printf '\033[31mred\n'; exit 1", r"\x1b[31mred"),
    ],
)
def test_messages_of_a_runtime_can_be_printed(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "scratch").mkdir()
    request = ProofRequest(tmp_path, tmp_path / "scratch", interpreter(tmp_path, text))
    reply = run_worker("litert_run", request, {})
    assert reply.error is not None
    assert word in reply.error
    assert reply.error.isprintable()
    reply.error.encode()
