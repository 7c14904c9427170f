"""Whether an int8 .tflite and an int8 .onnx compute the same integers."""
