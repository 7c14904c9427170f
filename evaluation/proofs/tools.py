"""Programs and Python packages that proofs need, and whether this machine has them."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

from evaluation.machine import package_versions


@dataclass(frozen=True)
class Tool:
    """A program on the path, or a package of this interpreter.

    Attributes:
        name: name for readers.
        remedy: how to install it, in the imperative.
        programs: names of the program; the first one on the path is taken.
        variable: environment variable that names the program instead; empty if there is none.
        distribution: Python package; empty for a program.
        optional: whether the proof has a result without it.
    """

    name: str
    remedy: str
    programs: tuple[str, ...] = ()
    variable: str = ""
    distribution: str = ""
    optional: bool = False

    def path(self) -> str | None:
        """Path or command of the program; None if it is missing, or for a package."""
        named = os.environ.get(self.variable) if self.variable else None
        return named or next(filter(None, map(shutil.which, self.programs)), None)

    def found(self) -> str:
        """Path of the program or version of the package; empty if it is missing."""
        if self.distribution:
            return package_versions([self.distribution]).get(self.distribution, "")
        return self.path() or ""
