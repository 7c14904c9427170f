"""Int8 networks in plain NumPy, equal to LiteRT's reference kernels bit for bit."""
