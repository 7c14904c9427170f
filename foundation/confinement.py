"""Rights that a process gives up permanently before it handles foreign files.

Most of them exist on Linux only. A step that the system does not offer is skipped, and ``confine``
returns the steps that were taken. Sources: landlock(7), unshare(2), prctl(2), getrlimit(2).
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from collections.abc import Iterable
from pathlib import Path

_NO_NEW_PRIVS = 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ABI_QUESTION = 1
_PATH_BENEATH = 1
_READ_FILE, _READ_FOLDER = 1 << 2, 1 << 3
_FILE_RIGHTS = ((1, 13), (2, 14), (3, 15), (5, 16))
"""Pairs of a Landlock version and the number of file rights, from bit 0, that it introduced."""
_TCP_SINCE, _TCP_RIGHTS = 4, 0b11
_SCOPES_SINCE, _SCOPES = 6, 0b11
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_MOST_FILES = 256


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("handled_access_fs", ctypes.c_uint64),
        ("handled_access_net", ctypes.c_uint64),
        ("scoped", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def confine(readable: Iterable[Path]) -> tuple[str, ...]:
    """Give up, permanently, the rights of this process that a foreign graph does not need.

    Call it while the process has one thread: some steps apply to the calling thread and the
    threads that it starts only.

    Args:
        readable: files, and folders with everything below them, that may still be read.

    Returns:
        One text per right that was given up; fewer where the system does not offer a step.
    """
    taken = ["no core file, no file written, few files open"]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(_MOST_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if sys.platform != "linux":
        return tuple(taken)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        taken.append("no new privileges")
    # Root needs no user namespace, and would lose the right to read other users' files in one.
    flags = _NEW_NET if os.geteuid() == 0 else _NEW_USER | _NEW_NET
    if hasattr(libc, "unshare") and libc.unshare(flags) == 0:
        taken.append("no network")
    if version := _landlock(libc, readable):
        taken.append(
            f"Landlock {version}: reads the runtime and the file, writes and starts nothing"
        )
    return tuple(taken)


def die_with_parent() -> None:
    """Make Linux kill this process when the thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, 9, 0, 0, 0)


def _landlock(libc: ctypes.CDLL, readable: Iterable[Path]) -> int:
    """Apply Landlock to this thread; its version, or 0 where it is not available."""
    call = libc.syscall
    call.restype = ctypes.c_long
    version = int(call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ABI_QUESTION)))
    if version < 1:
        return 0
    known = max(count for since, count in _FILE_RIGHTS if version >= since)
    rules = _Ruleset((1 << known) - 1, 0, 0)
    size = 8
    if version >= _TCP_SINCE:
        rules.handled_access_net, size = _TCP_RIGHTS, 16
    if version >= _SCOPES_SINCE:
        rules.scoped, size = _SCOPES, 24
    ruleset = int(call(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0))
    if ruleset < 0:
        return 0
    try:
        for path in readable:
            _allow(call, ruleset, path)
        return version if call(_RESTRICT_SELF, ctypes.c_int(ruleset), 0) == 0 else 0
    finally:
        os.close(ruleset)


def _allow(call: ctypes._NamedFuncPointer, ruleset: int, path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # a path that does not exist needs no rule
        return
    try:
        rights = _READ_FILE | (_READ_FOLDER if path.is_dir() else 0)
        rule = _PathBeneath(rights, descriptor)
        call(_ADD_RULE, ctypes.c_int(ruleset), _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(descriptor)
