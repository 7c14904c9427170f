"""ONNX files: rendered, checked, taken apart."""
