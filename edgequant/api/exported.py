"""What ``edgequant`` exports, loaded at the first use of any of it."""

from __future__ import annotations

from edgequant.api.calls import apply_plan, compare, evaluate, load_plan, quantize, sweep
from edgequant.api.options import Preprocessing
from edgequant.api.progress import Progress
from edgequant.api.results import Artifact, Comparison, Plan, Report, Row, Sweep
from edgequant.api.tables import Table
from foundation.errors import (
    EdgequantError,
    GateFailedError,
    InvalidInputError,
    UnsupportedError,
)

__all__ = [
    "Artifact",
    "Comparison",
    "EdgequantError",
    "GateFailedError",
    "InvalidInputError",
    "Plan",
    "Preprocessing",
    "Progress",
    "Report",
    "Row",
    "Sweep",
    "Table",
    "UnsupportedError",
    "apply_plan",
    "compare",
    "evaluate",
    "load_plan",
    "quantize",
    "sweep",
]
