"""Float .tflite files drawn operator by operator, as other tools write them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from network.tflite.writer import FlatFile

SAME, VALID = 0, 1


@dataclass
class Drawing:
    """A file that is drawn operator by operator; names are as odd as the caller wants."""

    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    file: FlatFile = field(default_factory=FlatFile)

    def constant(self, value: Any, dtype: str = "float32") -> int:
        stored = np.asarray(value, dtype)
        return self.file.tensor("", stored.shape, dtype, value=stored)

    def op(
        self,
        kind: str,
        inputs: list[int],
        shape: tuple[int, ...],
        options: str = "",
        dtype: str = "float32",
        **fields: Any,
    ) -> int:
        name = f"model/{kind.lower()}_{len(self.file.operators)}/{kind};tail"
        result = self.file.tensor(name, shape, dtype)
        self.file.operator(kind, 1, inputs, [result], options, fields)
        return result

    def conv(self, source: int, shape: tuple[int, ...], channels: int, kernel: int = 3) -> int:
        weight = self.constant(self.rng.normal(0, 0.3, (shape[-1], kernel, kernel, channels)))
        bias = self.constant(self.rng.normal(0, 0.1, shape[-1]))
        return self.op(
            "CONV_2D", [source, weight, bias], shape, "Conv2DOptions",
            padding=SAME, strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1,
        )  # fmt: skip

    def saved(self, path: Path, source: int, sink: int) -> Path:
        path.write_bytes(self.file.content([source], [sink]))
        return path


def loose_norms(path: Path) -> Path:
    """Convolutions whose norms, as two products and sums, and activations follow them."""
    draw = Drawing()
    image = draw.file.tensor("serving_default_x:0", (1, 8, 8, 3), "float32")
    x = draw.conv(image, (1, 8, 8, 4), 3)
    x = draw.op("SUB", [x, draw.constant(draw.rng.normal(0, 1, 4))], (1, 8, 8, 4), "SubOptions")
    x = draw.op("MUL", [draw.constant(draw.rng.uniform(0.5, 2, (1, 1, 1, 4))), x], (1, 8, 8, 4),
                "MulOptions")  # fmt: skip
    x = draw.op("DIV", [x, draw.constant(2.0)], (1, 8, 8, 4), "DivOptions")
    x = draw.op("ADD", [x, draw.constant(draw.rng.normal(0, 1, 4))], (1, 8, 8, 4), "AddOptions")
    x = y = draw.op("RELU6", [x], (1, 8, 8, 4))
    weight = draw.constant(draw.rng.normal(0, 0.5, (1, 3, 3, 4)))
    x = draw.op(
        "DEPTHWISE_CONV_2D", [x, weight, draw.constant(np.zeros(4))], (1, 8, 8, 4),
        "DepthwiseConv2DOptions", padding=SAME, strideW=1, strideH=1, depthMultiplier=1,
        dilationWFactor=1, dilationHFactor=1,
    )  # fmt: skip
    x = draw.op("MUL", [x, draw.constant([2.0, 1, 0.5, 1])], (1, 8, 8, 4), "MulOptions",
                fusedActivationFunction=1)  # fmt: skip
    x = draw.op("ADD", [x, y], (1, 8, 8, 4), "AddOptions")
    x = draw.op("RELU", [x], (1, 8, 8, 4))
    x = draw.op("MEAN", [x, draw.constant([1, 2], "int32")], (1, 4), "ReducerOptions",
                keepDims=False)  # fmt: skip
    weight = draw.constant(draw.rng.normal(0, 1, (3, 4)))
    x = draw.op("FULLY_CONNECTED", [x, weight, -1], (1, 3), "FullyConnectedOptions")
    x = draw.op("MUL", [x, draw.constant(0.5)], (1, 3), "MulOptions")
    return draw.saved(path, image, x)


def of_pytorch(path: Path) -> Path:
    """Channels first at the ends, transposes between, and a shape that is computed."""
    draw = Drawing()
    image = draw.file.tensor("args_0", (1, 3, 8, 6), "float32")
    last, first = draw.constant([0, 2, 3, 1], "int32"), draw.constant([0, 3, 1, 2], "int32")
    x = draw.op("TRANSPOSE", [image, last], (1, 8, 6, 3), "TransposeOptions")
    x = draw.conv(x, (1, 8, 6, 4), 3)
    x = draw.op("TRANSPOSE", [x, first], (1, 4, 8, 6), "TransposeOptions")
    x = draw.op("TRANSPOSE", [x, last], (1, 8, 6, 4), "TransposeOptions")
    x = draw.conv(x, (1, 8, 6, 2), 4, kernel=1)
    x = draw.op("TRANSPOSE", [x, first], (1, 2, 8, 6), "TransposeOptions")
    shape = draw.op("SHAPE", [x], (4,), "ShapeOptions", dtype="int32", outType=2)
    ends = [draw.constant([number], "int32") for number in (0, 1, 1)]
    batch = draw.op("STRIDED_SLICE", [shape, *ends], (), "StridedSliceOptions", dtype="int32",
                    shrinkAxisMask=1)  # fmt: skip
    wanted = draw.op("PACK", [batch, draw.constant(96, "int32")], (2,), "PackOptions",
                     dtype="int32", valuesCount=2, axis=0)  # fmt: skip
    x = draw.op("RESHAPE", [x, wanted], (1, 96), "ReshapeOptions")
    weight = draw.constant(draw.rng.normal(0, 0.2, (3, 96)))
    x = draw.op("FULLY_CONNECTED", [x, weight, -1], (1, 3), "FullyConnectedOptions")
    return draw.saved(path, image, x)


def of_bytes(path: Path) -> Path:
    """A network that takes uint8 pixels and makes floats of them first."""
    draw = Drawing()
    image = draw.file.tensor("pixels", (1, 8, 8, 3), "uint8")
    x = draw.op("CAST", [image], (1, 8, 8, 3), "CastOptions", inDataType=3, outDataType=0)
    x = draw.op("MUL", [x, draw.constant(1 / 255)], (1, 8, 8, 3), "MulOptions")
    x = draw.conv(x, (1, 8, 8, 2), 3)
    x = draw.op("MEAN", [x, draw.constant([1, 2], "int32")], (1, 2), "ReducerOptions",
                keepDims=False)  # fmt: skip
    return draw.saved(path, image, x)
