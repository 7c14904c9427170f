"""Int8 networks in plain NumPy, bit for bit LiteRT's reference kernels."""
