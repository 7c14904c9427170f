"""The same files from any number of cores."""

from __future__ import annotations

import os

from calibration_data.threads import OPERATOR_CORES


def one_core_an_operator() -> None:
    """Have TensorFlow compute each operator on one core, unless the user has set another number.

    How it shares the sums of a convolution among threads depends on their number, and so does their
    last bit, which rounding to second order carries into the integers. The engine shares images
    among the cores instead (``quantize.parallel``), and so does measuring.
    """
    os.environ.setdefault(OPERATOR_CORES, "1")
