"""How many cores TensorFlow takes for one operator."""

OPERATOR_CORES = "TF_NUM_INTRAOP_THREADS"
"""Environment variable of that number, read when TensorFlow computes for the first time."""
