"""Tests compute as the command does, whichever of them loads TensorFlow first."""

import os
import sys

from edgequant.repeatable import BLAS_KERNELS, one_order_of_sums

TOO_LATE = "numpy" in sys.modules and BLAS_KERNELS not in os.environ
"""Whether a plugin of pytest has loaded NumPy, which then has chosen its kernels by this CPU: in a
process without workers, which inherit the setting."""

one_order_of_sums()
