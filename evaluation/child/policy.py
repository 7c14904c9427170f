"""Policy for foreign files: they run in a child with a time limit, unless the user trusts them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from foundation.errors import InvalidInputError

TIME_LIMIT = 60.0
"""Default time limit, in seconds per image."""


@dataclass(frozen=True)
class Isolation:
    """Rights and time limit of foreign files in a command.

    Attributes:
        trust: whether they run in this process, with the user's rights and without a time limit.
        time_limit: seconds per image.

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
"""Isolation of files that this process has written."""
