"""Decoding and non-maximum suppression behind the outputs of a detector, inside an .onnx.

Standard operators alone, in float32, for any batch. Source: the operator NonMaxSuppression, opset
11, https://onnx.ai/onnx/operators/onnx__NonMaxSuppression.html; it keeps scores above its threshold
and drops boxes whose overlap is above its threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from calibration_data.detection import DETECTIONS, Detector, ScoreEnd
from export.onnx.graph import Axes, Node, OnnxGraph
from foundation.errors import UnsupportedError

_NONE = -1.0
"""Score of what is no detection: below every probability."""


def with_detections(graph: OnnxGraph, detector: Detector) -> OnnxGraph:
    """Put the operators behind the outputs of a graph.

    The outputs are ``DETECTIONS``, float32: boxes ``[batch, most, 4]`` (top, left, bottom, right
    relative to the input), numbers of classes without the ground and probabilities
    ``[batch, most]``, and the number of detections ``[batch]``; rows behind it are zeros.

    Args:
        graph: graph whose outputs are float32.
        detector: anchors, coding and thresholds.

    Returns:
        Another graph with copies of the nodes; the constants are shared.

    Raises:
        UnsupportedError: an output that is missing, or of another size than the anchors say.
    """
    sizes = {name: axes[1:] for name, axes in graph.outputs}
    if missing := [name for name in detector.names if name not in sizes]:
        raise _misfit(f"outputs {', '.join(sizes)} without {missing[0]}")
    widths = []
    for names, width in ((detector.boxes, 4), (detector.scores, None)):
        counts = [_product(sizes[name]) for name in names]
        each = width or sum(counts) // detector.count
        fits = each and not any(count % each for count in counts)
        if not fits or sum(counts) != each * detector.count:
            raise _misfit(f"{sum(counts)} numbers in {', '.join(names)}")
        widths.append(each)
    behind = _Behind(_with_free_names(graph.nodes), dict(graph.constants))
    boxes = behind.boxes(behind.levels(detector.boxes, 4, "codes"), detector)
    scores = behind.probabilities(behind.levels(detector.scores, widths[1], "scores"), detector)
    behind.detections(boxes, scores, detector, widths[1] - detector.ground)
    batch = graph.input[1][0]
    shapes: tuple[Axes, ...] = (
        (batch, detector.most, 4), (batch, detector.most), (batch, detector.most), (batch,),
    )  # fmt: skip
    outputs = tuple(zip(DETECTIONS, shapes, strict=True))
    return OnnxGraph(behind.nodes, behind.constants, graph.input, outputs)


@dataclass
class _Behind:
    """Nodes and constants of a graph to which operators are added.

    Attributes:
        nodes: nodes so far, in order.
        constants: stored values by name.
    """

    nodes: list[Node]
    constants: dict[str, np.ndarray]

    def levels(self, names: Sequence[str], width: int, name: str) -> str:
        """Levels one behind the other: ``[batch, anchors, width]``."""
        sizes = self.whole(f"rows.{width}", 0, -1, width)
        parts = [self.add("Reshape", [_free(end), sizes], f"{end}.rows") for end in names]
        return self.add("Concat", parts, f"{name}.joined", axis=1)

    def boxes(self, codes: str, detector: Detector) -> str:
        """Corners ``[batch, anchors, 4]`` of codes of boxes."""
        anchors = detector.anchors
        factors = self.constant("factors", np.array(detector.coding.factors, np.float32))
        centres = self.constant("anchors.centre", anchors[:, :2])
        sides = self.constant("anchors.sides", anchors[:, 2:])
        half = self.constant("half", np.array(0.5, np.float32))
        values = self.add("Div", [codes, factors], "codes.divided")
        offset = self.sliced(values, 0, 2, "codes.centre")
        moved = self.add("Mul", [offset, sides], "codes.moved")
        centre = self.add("Add", [moved, centres], "boxes.centre")
        growth = self.add("Exp", [self.sliced(values, 2, 4, "codes.sides")], "codes.growth")
        whole = self.add("Mul", [growth, sides], "boxes.sides")
        halves = self.add("Mul", [whole, half], "boxes.halves")
        low = self.add("Sub", [centre, halves], "boxes.low")
        high = self.add("Add", [centre, halves], "boxes.high")
        return self.add("Concat", [low, high], "boxes.corners", axis=-1)

    def probabilities(self, scores: str, detector: Detector) -> str:
        """Probabilities ``[batch, anchors, classes]`` without the ground."""
        if detector.end is ScoreEnd.SOFTMAX:
            scores = self.add("Softmax", [scores], "scores.softmax", axis=-1)
        if detector.ground:
            scores = self.sliced(scores, 1, np.iinfo(np.int32).max, "scores.classes")
        if detector.end is ScoreEnd.SIGMOID:
            scores = self.add("Sigmoid", [scores], "scores.sigmoid")
        return scores

    def detections(self, boxes: str, scores: str, detector: Detector, classes: int) -> None:
        """Suppress, and write the surest as the outputs of the graph.

        Args:
            boxes: ``[batch, anchors, 4]``.
            scores: ``[batch, anchors, classes]``.
            detector: thresholds.
            classes: number of classes without the ground.
        """
        most = detector.most
        kept = self._suppressed(boxes, scores, detector)  # [batch, anchors, classes]
        flat = self.add("Reshape", [kept, self.whole("flat", 0, -1)], "kept.flat")
        if detector.count * classes < most:
            missing = self.whole("missing", 0, 0, 0, most - detector.count * classes)
            none = self.constant("none", np.array(_NONE, np.float32))
            flat = self.add("Pad", [flat, missing, none], "kept.padded")
        best, places = "best.scores", "best.places"
        self.nodes.append(Node("TopK", [flat, self.whole("most", most)], [best, places]))
        zero = self.constant("zero", np.array(0, np.float32))
        found = self.add("GreaterOrEqual", [best, zero], "best.found")
        as_index = self.add("Cast", [found], "best.found.index", to=_INT64)
        as_number = self.add("Cast", [found], "best.found.number", to=_FLOAT)
        place = self.add("Mul", [places, as_index], "best.place")
        width = self.whole_scalar("classes", classes)
        anchor = self.add("Div", [place, width], "best.anchor")
        label = self.add("Mod", [place, width], "best.class")
        last = self.whole("last", 2)
        column = self.add("Unsqueeze", [anchor, last], "best.anchor.column")
        rows = self.add("Expand", [column, self.whole("corners", 1, 1, 4)], "best.anchor.rows")
        corners = self.add("GatherElements", [boxes, rows], "best.boxes", axis=1)
        mask = self.add("Unsqueeze", [found, last], "best.found.column")
        self.add("Where", [mask, corners, zero], DETECTIONS[0])
        self.add("Cast", [label], DETECTIONS[1], to=_FLOAT)
        self.add("Where", [found, best, zero], DETECTIONS[2])
        self.add("ReduceSum", [as_number, self.whole("row", 1)], DETECTIONS[3], keepdims=0)

    def _suppressed(self, boxes: str, scores: str, detector: Detector) -> str:
        """Scores ``[batch, anchors, classes]`` of what is kept, and ``_NONE`` for the rest."""
        # The operator wants scores above its threshold; a score equal to ours is a detection.
        least = np.nextafter(np.float32(detector.score_threshold), np.float32(-1))
        by_class = self.add("Transpose", [scores], "scores.by_class", perm=[0, 2, 1])
        limits = [
            self.whole("most", detector.most),
            self.constant("overlap", np.array([detector.iou_threshold], np.float32)),
            self.constant("least", np.array([least], np.float32)),
        ]
        chosen = self.add("NonMaxSuppression", [boxes, by_class, *limits], "chosen")  # [k, 3]
        order = self.whole("order", 0, 2, 1)
        where = self.add("Gather", [chosen, order], "chosen.places", axis=1)
        values = self.add("GatherND", [scores, where], "chosen.scores")
        shape = self.add("Shape", [scores], "scores.shape")
        value = self.constant("none.row", np.array([_NONE], np.float32))
        empty = self.add("Expand", [value, shape], "kept.none")
        return self.add("ScatterND", [empty, where, values], "kept")

    def sliced(self, value: str, start: int, end: int, output: str) -> str:
        """Part of the last axis of ``[batch, anchors, n]``."""
        ends = [self.whole(f"from.{start}", start), self.whole(f"to.{end}", end)]
        return self.add("Slice", [value, *ends, self.whole("last", 2)], output)

    def whole(self, name: str, *values: int) -> str:
        """Stored int64 values."""
        return self.constant(name, np.array(values, np.int64))

    def whole_scalar(self, name: str, value: int) -> str:
        return self.constant(name, np.array(value, np.int64))

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants[f"decode.{name}"] = value
        return f"decode.{name}"

    def add(self, op_type: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        name = output if output in DETECTIONS else f"decode.{output}"
        self.nodes.append(Node(op_type, list(inputs), [name], attributes))
        return name


_FLOAT, _INT64 = 1, 7
"""``TensorProto.DataType``."""


def _free(name: str) -> str:
    """Name of a tensor of the network, which may not be that of an output behind it."""
    return f"{name}.network" if name in DETECTIONS else name


def _with_free_names(nodes: Sequence[Node]) -> list[Node]:
    return [
        replace(
            node,
            inputs=[_free(name) for name in node.inputs],
            outputs=[_free(name) for name in node.outputs],
        )
        for node in nodes
    ]


def _product(axes: Axes) -> int:
    result = 1
    for size in axes:
        if not isinstance(size, int):
            raise _misfit("an output whose size is free")
        result *= size
    return result


def _misfit(received: str) -> UnsupportedError:
    return UnsupportedError(
        "the outputs of a detector have 4 numbers for the box of each anchor, and as many scores "
        "for each as for the others",
        received=received,
        remedy="give the anchors and names of this model in [detection] of the contract",
    )
