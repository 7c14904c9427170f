"""Quantize trained Keras networks into TFLite and ONNX files, and measure what that cost.

    import edgequant as eq

    artifact = eq.quantize(model, calibration=images, recipe="tflite-int8")
    print(eq.evaluate(artifact, data=(x, y), reference=model))

Importing this package changes nothing and loads nothing heavy; docs/python.md describes it. Errors:

EdgequantError                  every error that a user can cause
├── InvalidInputError           the input breaks a rule
│   └── UnsupportedError        a request that a target cannot honour
└── GateFailedError             a limit that the user set was exceeded; the results are valid
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

if not TYPE_CHECKING:  # a checker knows the names from above

    def __getattr__(name: str) -> Any:
        """Load an exported name at first use (PEP 562)."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from edgequant.rooms import pin_rooms

        pin_rooms()
        from edgequant.api import exported

        value = getattr(exported, name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """Exported names, for completion."""
        return sorted([*globals(), *__all__])
