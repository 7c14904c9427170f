"""Settings of a process that is ours alone: the command line, its children, our tools.

Importing this module makes them, before anything heavy is loaded; a user's own process, which only
imports ``edgequant``, is left as it is.
"""

from __future__ import annotations

import os

from edgequant.rooms import pin_rooms

pin_rooms()
# The exporters trace TensorFlow functions: a user's keras.json or KERAS_BACKEND is overridden.
os.environ["KERAS_BACKEND"] = "tensorflow"

from foundation.telemetry import switch_off  # noqa: E402 - a room: pinned above

switch_off()
