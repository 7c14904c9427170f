"""A .keras file as the canonical graph without TensorFlow: what its converter does, in NumPy."""
