"""A reference interpreter of int8 networks in plain NumPy, bit-exact with LiteRT's BUILTIN_REF."""
