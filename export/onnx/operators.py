"""One writer for each kind of operator of an int8 plan: the nodes that it is in ONNX.

``export.onnx.writers`` has them by kind, ``export.onnx.rendering`` what they share: the graph being
built, quantizers and layouts.
"""

from __future__ import annotations

from collections.abc import Mapping

from export.onnx.rendering import Writer
from foundation.tables import joined

WRITERS: Mapping[str, Writer] = joined(f"{__package__}.writers", "WRITERS")
"""Writer of each kind of operator, by its name in the canonical graph."""
