"""Quantize trained Keras networks into TFLite and ONNX files, and measure what that cost."""
