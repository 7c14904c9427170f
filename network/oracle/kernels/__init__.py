"""Integer kernels, a file for each kind of operator, joined in ``network.oracle.model``."""
