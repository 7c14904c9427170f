"""Switches that stop SDKs from reporting their use or recording it in the home folder."""

from __future__ import annotations

import os

SWITCHES = {"ORT_DISABLE_TELEMETRY": "1"}
"""Environment variables by name. ONNX Runtime reads its variable at import; without it, it stores
a device number and a database of events for upload in the cache folder."""


def switch_off() -> None:
    """Set the switches for this process and its children; call it before importing an SDK."""
    os.environ.update(SWITCHES)
