"""Rewriting of graphs from foreign files into the form that TensorFlow's converter gives."""
