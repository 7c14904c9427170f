"""Writers for float ONNX files: those of int8 plans, and operators that int8 files do not have."""

from __future__ import annotations

from collections.abc import Mapping

from export.onnx.operators import WRITERS
from export.onnx.rendering import Writer
from foundation.tables import joined

FLOAT_WRITERS: Mapping[str, Writer] = {
    **WRITERS,
    **joined(f"{__package__}.writers", "FLOAT_WRITERS"),
}
"""Writer of each kind of operator, by its name in the canonical graph."""
