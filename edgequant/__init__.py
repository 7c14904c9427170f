"""Command line and pipeline."""

import os

from edgequant.rooms import pin_rooms

pin_rooms()
# The exporters trace TensorFlow functions: a user's keras.json or KERAS_BACKEND is overridden.
os.environ["KERAS_BACKEND"] = "tensorflow"

from foundation.telemetry import switch_off  # noqa: E402 - a room: pinned above

switch_off()
