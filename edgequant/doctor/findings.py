"""Parts that commands use: runtimes, extras, tools of platforms; each is looked for.

The registries are walked: a new runtime, extra or platform is looked for without a line here.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from typing import Any

from edgequant.rooms import is_checkout
from evaluation.machine import package_versions
from evaluation.proofs.proof import proofs
from evaluation.proofs.tools import Tool
from evaluation.session import runtimes
from export.bundles.target import ship_targets
from foundation.extras import EXTRAS
from foundation.foreign import printable

_SECONDS = 120
"""Longest time for a library to be loaded."""


class Group(StrEnum):
    """Kind of a part."""

    RUNTIME = "runtime"
    EXTRA = "extra"
    PLATFORM = "platform"
    TOOL = "tool"


@dataclass(frozen=True)
class Finding:
    """A part that was looked for.

    Attributes:
        group: kind of the part.
        name: its name.
        found: version or path; empty if it is missing or cannot be loaded.
        serves: commands that use it.
        remedy: what to do if it is missing.
    """

    group: Group
    name: str
    found: str
    serves: str
    remedy: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "group": str(self.group),
            "name": self.name,
            "found": self.found or None,
            "for": self.serves,
            "remedy": None if self.found else self.remedy,
        }


def findings() -> tuple[Finding, ...]:
    """Every part, looked for: runtimes are loaded, in processes of their own."""
    return (*_runtimes(), *_extras(), *_platforms(), *_tools())


def _runtimes() -> Iterator[Finding]:
    known = runtimes()
    modules = tuple(dict.fromkeys(runtime.module for runtime in known.values()))
    with ThreadPoolExecutor(max_workers=2) as pool:
        faults = dict(zip(modules, pool.map(_fault, modules), strict=True))
    for runtime in known.values():
        fault = faults[runtime.module]
        yield Finding(
            Group.RUNTIME,
            runtime.name,
            "" if fault else f"{_hyphens(runtime.module)} {version(runtime.module)}",
            f"{' and '.join(runtime.suffixes)} files",
            f"install edgequant again ({fault})",
        )


def _hyphens(module: str) -> str:
    """Name of a distribution from that of its module."""
    return module.replace("_", "-")


def _fault(module: str) -> str:
    """Why a library cannot be loaded; empty if it can."""
    try:
        done = subprocess.run(  # noqa: S603 - names of registered runtimes
            [sys.executable, "-P", "-c", f"import {module}"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{module} is not loaded after {_SECONDS} s"
    if done.returncode < 0:
        return f"loading {module} was ended by signal {-done.returncode}"
    lines = done.stderr.strip().splitlines() or ["no message"]
    return printable(lines[-1])[:200] if done.returncode else ""


def _extras() -> Iterator[Finding]:
    for extra in EXTRAS:
        names = ", ".join(
            f"{_hyphens(name)} {number}" for name, number in package_versions(extra.modules).items()
        )
        found = "" if extra.missing() else names
        remedy = f"install edgequant[{extra.name}]"
        yield Finding(Group.EXTRA, f"[{extra.name}]", found, extra.commands, remedy)


def _platforms() -> Iterator[Finding]:
    """Tools of the proofs, each once, with the platforms that it serves."""
    known, platforms = proofs(), dict[Tool, list[str]]()
    for target in ship_targets().values():
        for name in (*target.measurements, *target.proofs):
            for tool in known[name].tools:
                names = platforms.setdefault(tool, [])
                names += [] if target.name in names else [target.name]
    for tool, names in platforms.items():
        serves = f"ship --for {','.join(names)}"
        yield Finding(Group.PLATFORM, tool.name, tool.found(), serves, tool.remedy)


_TOOLS = {
    "--data tfds/NAME": (
        Tool(
            "tensorflow-datasets",
            "pip install tensorflow-datasets",
            distribution="tensorflow-datasets",
        ),
    ),
}
_TOOLS_OF_A_CHECKOUT = {
    "make coco-weights": (Tool("npm", "install Node.js", ("npm",)),),
    "make test-browser": (
        Tool("chromium", "apt-get install chromium", ("chromium", "chromium-browser", "chrome")),
        Tool("chromedriver", "apt-get install chromium-driver", ("chromedriver",)),
    ),
}
"""Tools of the make targets, which an installed package does not have."""


def _tools() -> Iterator[Finding]:
    for serves, tools in (_TOOLS | (_TOOLS_OF_A_CHECKOUT if is_checkout() else {})).items():
        for tool in tools:
            yield Finding(Group.TOOL, tool.name, tool.found(), serves, tool.remedy)
