"""What ``edgequant`` prints without an argument: what it is, and what people do with it."""

from __future__ import annotations

WELCOME = """\
Edgequant turns trained Keras vision networks into int8 and float16 files for devices
(TFLite, ONNX, C), and reports what that cost in accuracy.

Quantize a model and measure what it lost:
  edgequant quantize --model my.keras --recipe tflite-int8 --calibration photos --data photos:test

Compare every format on the same images:
  edgequant compare --model my.keras --calibration photos --data photos:test

Make a bundle for a platform, run in that platform's runtime:
  edgequant ship --model my.keras --for android,microcontroller --calibration photos

No model at hand? One is included, with images:
  edgequant quantize --recipe tflite-int8 --data fashion_mnist:test

edgequant --help lists all commands, edgequant COMMAND --help the options of one;
edgequant doctor shows what this machine has, and what is missing."""
