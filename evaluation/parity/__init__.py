"""Comparison of an int8 .tflite with an int8 .onnx: whether both compute the same integers."""
