"""TFLite_Detection_PostProcess behind the outputs of a detector, inside a .tflite.

Each level of boxes and of scores keeps the scale of its own: it is dequantized, and only float32
levels are concatenated. Source of inputs, options and outputs: tensorflow/lite/kernels/
detection_postprocess.cc.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from calibration_data.detection import DETECTIONS, Detector, ScoreEnd
from export.tflite.behind import Behind
from export.tflite.metadata import packed
from foundation.errors import UnsupportedError
from network.tflite.outputs import with_signature

OPERATOR = "TFLite_Detection_PostProcess"
"""Code of the custom operator, which LiteRT, TFLite Micro and Android's tasks register."""

_DEQUANTIZE_VERSIONS = {"uint8": 1, "int8": 2, "int16": 3}


def with_detections(content: bytes, detector: Detector, names: Sequence[str]) -> bytes:
    """Put the operator behind the outputs of a file, whose outputs are detections from then on.

    They are ``DETECTIONS``, float32: boxes ``[1, most, 4]`` (top, left, bottom, right relative to
    the input), numbers of classes without the ground and probabilities ``[1, most]``, and the
    number of detections ``[1]``; rows behind it are zeros.

    Args:
        content: bytes of a .tflite with a batch of one.
        detector: anchors, coding and thresholds.
        names: names of the file's outputs, in its order.

    Returns:
        The same network; equal arguments give equal bytes.

    Raises:
        UnsupportedError: an output that is missing, or of another size than the anchors say.
    """
    from ai_edge_litert.tools import flatbuffer_utils

    model = flatbuffer_utils.read_model_from_bytearray(bytearray(content))
    ends = dict(zip(names, (int(i) for i in model.subgraphs[0].outputs), strict=True))
    if missing := [name for name in detector.names if name not in ends]:
        raise _misfit(f"outputs {', '.join(names)} without {missing[0]}")
    behind = _Detections(model)
    boxes = behind.levels([ends[name] for name in detector.boxes], 4)
    width = sum(behind.size(ends[name]) for name in detector.scores) // detector.count
    scores = behind.levels([ends[name] for name in detector.scores], width)
    for tensor, size in ((boxes, 4), (scores, width)):
        if behind.shape(tensor) != (1, detector.count, size):
            raise _misfit(f"an output of {behind.size(tensor)} numbers")
    scores = behind.probabilities(scores, detector.end)
    anchors = behind.constant("anchors", detector.anchors)
    shapes = ((1, detector.most, 4), (1, detector.most), (1, detector.most), (1,))
    for name in set(DETECTIONS).intersection(ends):
        model.subgraphs[0].tensors[ends[name]].name = f"{name}_network".encode()
    results = [
        behind.tensor(name, shape, "FLOAT32")
        for name, shape in zip(DETECTIONS, shapes, strict=True)
    ]
    options = _options(detector, width - detector.ground)
    behind.custom([boxes, scores, anchors], results, options)
    model.subgraphs[0].outputs = results
    with_signature(model, DETECTIONS)
    return packed(model)


def _options(detector: Detector, classes: int) -> bytes:
    """Options of the operator: a FlexBuffer."""
    from flatbuffers import flexbuffers

    y, x, h, w = detector.coding.factors
    return bytes(
        flexbuffers.Dumps(
            {
                "max_detections": detector.most,
                "max_classes_per_detection": 1,
                "detections_per_class": detector.most,
                # The other form drops boxes of different classes that overlap.
                "use_regular_nms": True,
                "nms_score_threshold": detector.score_threshold,
                "nms_iou_threshold": detector.iou_threshold,
                "num_classes": classes,
                "y_scale": y,
                "x_scale": x,
                "h_scale": h,
                "w_scale": w,
            }
        )
    )


@dataclass
class _Detections(Behind):
    """Operators of a detector that are added behind the outputs of a file."""

    def levels(self, ends: Sequence[int], width: int) -> int:
        """Levels in float32, one behind the other: ``[1, anchors, width]``."""
        parts = [self._float(self._rows(end, width)) for end in ends]
        if len(parts) == 1:
            return parts[0]
        count = sum(self.shape(part)[1] for part in parts)
        name = f"{self._name(ends[0])}_joined"
        joined = self.tensor(name, (1, count, width), "FLOAT32")
        self.operator("CONCATENATION", 1, parts, [joined], "ConcatenationOptions", axis=1)
        return joined

    def probabilities(self, scores: int, end: ScoreEnd) -> int:
        if end is ScoreEnd.NONE:
            return scores
        result = self.tensor("probabilities", self.shape(scores), "FLOAT32")
        if end is ScoreEnd.SIGMOID:
            self.operator("LOGISTIC", 1, [scores], [result])
        else:
            self.operator("SOFTMAX", 1, [scores], [result], "SoftmaxOptions", beta=1.0)
        return result

    def _rows(self, end: int, width: int) -> int:
        """Output as ``[1, anchors, width]``."""
        shape = (1, self.size(end) // max(width, 1), width)
        if self.shape(end) == shape:
            return end
        if math.prod(shape) != self.size(end):
            raise _misfit(f"an output of {self.size(end)} numbers")
        source = self.graph.tensors[end]
        name = f"{self._name(end)}_rows"
        rows = self.tensor(name, shape, source.type, source.quantization)
        sizes = self.constant(f"{name}_shape", np.array(shape, np.int32), "INT32")
        self.operator("RESHAPE", 1, [end, sizes], [rows], "ReshapeOptions", newShape=list(shape))
        return rows

    def _float(self, tensor: int) -> int:
        from ai_edge_litert.schema_py_generated import TensorType

        source = self.graph.tensors[tensor]
        if source.type == TensorType.FLOAT32:
            return tensor
        known = {getattr(TensorType, name.upper()): name for name in _DEQUANTIZE_VERSIONS}
        version = _DEQUANTIZE_VERSIONS[known[source.type]]
        result = self.tensor(f"{self._name(tensor)}_float", self.shape(tensor), "FLOAT32")
        self.operator("DEQUANTIZE", version, [tensor], [result])
        return result

    def _name(self, tensor: int) -> str:
        name = self.graph.tensors[tensor].name
        return str(name, "utf-8") if isinstance(name, bytes) else str(name)

    def custom(self, inputs: Sequence[int], outputs: Sequence[int], options: bytes) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.operator("CUSTOM", 1, inputs, outputs)
        operator = self.graph.operators[-1]
        operator.customOptions = np.frombuffer(options, np.uint8)
        operator.customOptionsFormat = int(schema.CustomOptionsFormat.FLEXBUFFERS)
        self.model.operatorCodes[operator.opcodeIndex].customCode = OPERATOR.encode()


def _misfit(received: str) -> UnsupportedError:
    return UnsupportedError(
        "the outputs of a detector have 4 numbers for the box of each anchor, and as many scores "
        "for each as for the others",
        received=received,
        remedy="give the anchors and names of this model in [detection] of the contract",
    )
