"""How files of others are run: in a child with a time limit, unless the user trusts them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foundation.errors import InvalidInputError

TIME_LIMIT = 60.0
"""Seconds for one image unless the user gives another limit."""


@dataclass(frozen=True)
class Isolation:
    """What a command allows the files that it was given.

    Attributes:
        trust: run them in this process, with the user's rights and no time limit.
        time_limit: seconds for one image.

    Raises:
        InvalidInputError: a limit that is not a positive, finite number.
    """

    trust: bool = False
    time_limit: float = TIME_LIMIT

    def __post_init__(self) -> None:
        if not (math.isfinite(self.time_limit) and 0 < self.time_limit <= 86_400):
            raise InvalidInputError(
                "a time limit is a number of seconds above 0, a day at most",
                received=f"--time-limit {self.time_limit:g}",
                remedy="give for instance --time-limit 60",
            )


OURS = Isolation(trust=True)
"""For files that this process has written."""
