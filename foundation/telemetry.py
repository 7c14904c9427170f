"""What SDKs would report of their use, or keep of it in the home folder: switched off."""

from __future__ import annotations

import os

SWITCHES = {"ORT_DISABLE_TELEMETRY": "1"}
"""Environment variables by name. ONNX Runtime reads its own when it is imported; without it, a
device number and a database of events appear in the cache folder, for upload."""


def switch_off() -> None:
    """Set the switches for this process and those that it starts; before an SDK is imported."""
    os.environ.update(SWITCHES)
