"""Float kernels, a file for each kind of operator, joined in ``network.run_tensorflow``."""
