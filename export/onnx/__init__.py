"""ONNX files: writers, checks and readers."""
