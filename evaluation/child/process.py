"""A child process as its parent uses it: start, one request at a time, kill."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.child.wire import Message, receive, send
from foundation.errors import InvalidInputError
from foundation.foreign import printable

if TYPE_CHECKING:
    import numpy as np

_SCRIPT = Path(__file__).with_name("start.py")
_GRACE = 30.0
"""Seconds that the parent waits longer than the child's own time limit."""
_PASSED = (
    "DYLD_", "HOME", "KERAS_", "LANG", "LC_", "LD_LIBRARY_PATH", "MKL_", "OMP_", "OPENBLAS_",
    "ORT_", "PATH", "PYTHON", "SYSTEMROOT", "TF_", "TZ", "VIRTUAL_ENV",
)  # fmt: skip
"""Prefixes of the environment variables that a child gets; others may have passwords."""


class Child:
    """A child process that runs one foreign file.

    Args:
        path: path of the file.
        beside: other files that it refers to.
        limit: seconds per image.

    Attributes:
        busy: whether a request is in progress, or was when the child ended.
    """

    def __init__(self, path: Path, beside: Sequence[Path], limit: float) -> None:
        self.path = path
        self.limit = limit
        self.busy = False
        parent_end, child_end = socket.socketpair()
        self._channel = parent_end
        with child_end:
            self._process = _started(child_end.fileno())
        self._end = weakref.finalize(self, _end, self._process, parent_end)
        files = [os.fsencode(p.resolve()).hex() for p in (path, *beside)]
        with contextlib.suppress(OSError):  # the first request then raises the reason
            parent_end.sendall(json.dumps(files).encode() + b"\n")
            send(parent_end, {"path": str(path.absolute()), "limit": limit})

    def ask(
        self, values: dict[str, Any], arrays: Sequence[np.ndarray] = (), seconds: float = 60.0
    ) -> Message:
        """Send a request and wait for the answer; any error while waiting ends the child.

        Args:
            values: the request, as plain values.
            arrays: arrays of the request.
            seconds: time limit of the child by its own clock.

        Raises:
            InvalidInputError: the child refuses the request, ends, or does not answer in time.
        """
        try:
            self.busy = True
            self._channel.settimeout(seconds + _GRACE)
            send(self._channel, values, arrays)
            answer = receive(self._channel)
            self.busy = False
        except TimeoutError as error:
            self.close()
            raise self._too_slow() from error
        except (EOFError, OSError, ValueError) as error:
            raise self._ended() from error
        except BaseException:
            self.close()
            raise
        if "error" in answer.values:
            words = {key: printable(text) for key, text in answer.values["error"].items()}
            raise InvalidInputError(
                words["rule"], received=words["received"], remedy=words["remedy"]
            )
        return answer

    def close(self) -> None:
        """Kill the process at once."""
        self._end()

    def _ended(self) -> InvalidInputError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=1)
        code = self._process.returncode
        self.close()
        if code == -signal.SIGALRM:
            return self._too_slow()
        return InvalidInputError(
            "a file runs to its end in a process of its own",
            received=f"{printable(self.path)}, whose process {_ending(code)}",
            remedy="export the file again; it may be damaged, or need more memory than there is",
        )

    def _too_slow(self) -> InvalidInputError:
        return InvalidInputError(
            f"a file answers within {self.limit:g} seconds for each image (--time-limit)",
            received=f"{printable(self.path)}, which was still running",
            remedy="give a larger --time-limit, if the file ends at all",
        )


def _started(channel: int) -> subprocess.Popen[bytes]:
    # Linux signals a child when the thread that started it ends: only the main thread lives as
    # long as the process.
    main = threading.current_thread() is threading.main_thread()
    environment = {k: v for k, v in os.environ.items() if k.startswith(_PASSED)}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    return subprocess.Popen(  # noqa: S603 - a script of ours
        [sys.executable, "-P", str(_SCRIPT), str(channel), "die-with-parent" if main else "stay"],
        pass_fds=(channel,),
        stdin=subprocess.DEVNULL,
        stdout=2,
        env=environment,
    )


def _end(process: subprocess.Popen[bytes], channel: socket.socket) -> None:
    process.kill()
    with contextlib.suppress(OSError):
        channel.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits for an answer
    channel.close()
    process.wait()


def _ending(code: int | None) -> str:
    if code is None:
        return "closed its channel"
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
