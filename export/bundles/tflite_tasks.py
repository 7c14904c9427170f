"""TFLite metadata as MediaPipe's and LiteRT's Android tasks read it, from the contract.

Source of tables, field order and enum values: mediapipe/tasks/metadata/metadata_schema.fbs
(namespace tflite, file identifier M001, parser version 1.0.0); of the container:
https://ai.google.dev/edge/litert/models/metadata (a metadata buffer named TFLITE_METADATA,
associated files appended to the model as a zip).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

from calibration_data.preprocessing import Preprocessing
from export.tflite.metadata import with_metadata

if TYPE_CHECKING:
    import flatbuffers

METADATA_NAME = "TFLITE_METADATA"
LABEL_FILE = "labels.txt"
_IDENTIFIER = b"M001"
_PARSER_VERSION = "1.0.0"
_RGB = 1  # ColorSpaceType
_FEATURE_PROPERTIES, _IMAGE_PROPERTIES, _BOX_PROPERTIES = 1, 2, 3  # ContentProperties
_NORMALIZATION = 1  # ProcessUnitOptions
_BOUNDARIES, _RATIO = 1, 0  # BoundingBoxType, CoordinateType
_LEFT_TOP_RIGHT_BOTTOM = (1, 0, 3, 2)  # places of these in a box of ours
_SEGMENTER = "SEGMENTER_METADATA"
_SEGMENTER_IDENTIFIER = b"V001"
_ANY_FLOAT = (-3.4028235e38, 3.4028235e38)
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


class LabelsOf(IntEnum):
    """What the lines of a label file name; values of ``AssociatedFileType``."""

    PLACES = 2
    """Places along the tensor's last axis."""
    VALUES = 3
    """Values of the tensor."""


class Activation(IntEnum):
    """Function that a segmenter's task puts behind the output; values of ``Activation``."""

    NONE = 0
    SIGMOID = 1
    SOFTMAX = 2


@dataclass(frozen=True)
class TaskOutput:
    """Metadata of an output.

    Attributes:
        name: name by which the task finds the output.
        description: description in one sentence.
        limits: smallest and largest value; None leaves them out.
        labels: what the label file names; None for an output without labels.
        boxes: whether the output is of boxes: top, left, bottom, right relative to the input.
    """

    name: str
    description: str
    limits: tuple[float, float] | None = None
    labels: LabelsOf | None = None
    boxes: bool = False


@dataclass(frozen=True)
class TaskFile:
    """Content of the metadata of a file.

    Attributes:
        name: name of the model.
        description: description in one sentence.
        contract: RGB contract with one mean, one std and labels.
        dtype: type of the input, NumPy's name.
        outputs: metadata of each output, in the file's order.
        activation: function behind a segmenter's output; None for other networks.
    """

    name: str
    description: str
    contract: Preprocessing
    dtype: str
    outputs: tuple[TaskOutput, ...]
    activation: Activation | None = None

    @property
    def input_range(self) -> tuple[float, float]:
        """Smallest and largest value of the input tensor."""
        return (0.0, 255.0) if self.dtype == "uint8" else self.contract.value_range


def scores_output(dtype: str) -> tuple[TaskOutput, ...]:
    """Output of a classifier: one score a label.

    Args:
        dtype: type of the output, NumPy's name.
    """
    limits = (0.0, 255.0) if dtype == "uint8" else _ANY_FLOAT
    return (TaskOutput("scores", "One score a label.", limits, LabelsOf.PLACES),)


def map_output() -> tuple[TaskOutput, ...]:
    """Output of a segmenter: a map of one score a label."""
    return (
        TaskOutput("segmentation_masks", "One score a label and place.", labels=LabelsOf.PLACES),
    )


def detection_outputs() -> tuple[TaskOutput, ...]:
    """Outputs of a detector that suppresses boxes itself, in the order of ``DETECTIONS``.

    The names are those by which MediaPipe's detection_postprocessing_graph.cc finds the outputs.
    """
    return (
        TaskOutput("location", "Edges of each box, relative to the image.", boxes=True),
        TaskOutput("category", "Label of each box.", labels=LabelsOf.VALUES),
        TaskOutput("score", "Probability of each box.", (0.0, 1.0)),
        TaskOutput("number of detections", "Number of boxes."),
    )


def with_task_metadata(content: bytes, task: TaskFile, labels: bytes) -> bytes:
    """Add the metadata buffer, and the label file as an appended zip.

    Args:
        content: a .tflite file without an appended zip.
        task: content of the metadata.
        labels: content of labels.txt.

    Returns:
        The file; equal arguments give equal bytes.
    """
    model = with_metadata(content, METADATA_NAME, metadata_buffer(task))
    container = io.BytesIO(model)
    container.seek(0, io.SEEK_END)
    with zipfile.ZipFile(container, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(LABEL_FILE, _ZIP_DATE), labels)
    return container.getvalue()


def metadata_buffer(task: TaskFile) -> bytes:
    """FlatBuffer with the metadata of a network: one image as input, and its outputs."""
    import flatbuffers

    tables = _Tables(flatbuffers.Builder(1024))
    parts = {
        2: tables.tables([_input(tables, task)]),
        3: tables.tables([_output(tables, output) for output in task.outputs]),
    }
    if task.activation is not None:
        parts[9] = tables.tables([_segmenter(tables, task.activation)])
    subgraph = tables.table(parts)
    root = tables.table(
        {
            0: tables.text(task.name),
            1: tables.text(task.description),
            3: tables.tables([subgraph]),
            7: tables.text(_PARSER_VERSION),
        }
    )
    tables.builder.Finish(root, file_identifier=_IDENTIFIER)
    return bytes(tables.builder.Output())


def _input(tables: _Tables, task: TaskFile) -> int:
    height, width = task.contract.size
    size = tables.table({}, uints={0: width, 1: height})
    properties = tables.table({1: size}, enums={0: _RGB})
    content = tables.table({1: properties}, enums={0: _IMAGE_PROPERTIES})
    normalization = tables.table(
        {0: tables.floats(task.contract.mean[:1]), 1: tables.floats(task.contract.std[:1])}
    )
    unit = tables.table({1: normalization}, enums={0: _NORMALIZATION})
    return tables.table(
        {
            0: tables.text("image"),
            1: tables.text(f"RGB image, {height}x{width}."),
            3: content,
            4: tables.tables([unit]),
            5: _stats(tables, task.input_range),
        }
    )


def _output(tables: _Tables, output: TaskOutput) -> int:
    if output.boxes:
        order = tables.whole(_LEFT_TOP_RIGHT_BOTTOM)
        properties = tables.table({0: order}, enums={1: _BOUNDARIES, 2: _RATIO})
    else:
        properties = tables.table({})
    kind = _BOX_PROPERTIES if output.boxes else _FEATURE_PROPERTIES
    content = tables.table({1: properties}, enums={0: kind})
    fields = {}
    if output.labels is not None:
        labels = tables.table(
            {0: tables.text(LABEL_FILE), 1: tables.text("One label an output.")},
            enums={2: int(output.labels)},
        )
    fields[0], fields[1], fields[3] = (
        tables.text(output.name), tables.text(output.description), content,
    )  # fmt: skip
    if output.limits is not None:
        fields[5] = _stats(tables, output.limits)
    if output.labels is not None:
        fields[6] = tables.tables([labels])
    return tables.table(fields)


def _segmenter(tables: _Tables, activation: Activation) -> int:
    """Custom metadata of MediaPipe's ImageSegmenter: a FlatBuffer inside.

    Source: mediapipe/tasks/metadata/image_segmenter_metadata_schema.fbs.
    """
    import flatbuffers

    inner = _Tables(flatbuffers.Builder(64))
    root = inner.table({1: inner.text(_PARSER_VERSION)}, enums={0: int(activation)})
    inner.builder.Finish(root, file_identifier=_SEGMENTER_IDENTIFIER)
    data = tables.aligned(bytes(inner.builder.Output()), 16)
    return tables.table({0: tables.text(_SEGMENTER), 1: data})


def _stats(tables: _Tables, limits: tuple[float, float]) -> int:
    low, high = limits
    return tables.table({0: tables.floats([high]), 1: tables.floats([low])})


class _Tables:
    """Writer of FlatBuffer tables by the numbers of their fields; children are written first."""

    def __init__(self, builder: flatbuffers.Builder) -> None:
        self.builder = builder

    def text(self, value: str) -> int:
        return int(self.builder.CreateString(value))

    def floats(self, values: Iterable[float]) -> int:
        items = list(values)
        self.builder.StartVector(4, len(items), 4)
        for value in reversed(items):
            self.builder.PrependFloat32(value)
        return int(self.builder.EndVector())

    def whole(self, values: Sequence[int]) -> int:
        self.builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            self.builder.PrependUint32(value)
        return int(self.builder.EndVector())

    def aligned(self, values: bytes, alignment: int) -> int:
        """Write bytes that begin at a multiple of ``alignment``."""
        self.builder.StartVector(1, len(values), alignment)
        for value in reversed(values):
            self.builder.PrependByte(value)
        return int(self.builder.EndVector())

    def tables(self, offsets: list[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def table(
        self,
        offsets: dict[int, int],
        *,
        enums: dict[int, int] | None = None,
        uints: dict[int, int] | None = None,
    ) -> int:
        """Write a table: offsets of children, one-byte enums and 32-bit numbers by field number."""
        enums, uints = enums or {}, uints or {}
        fields = max((*offsets, *enums, *uints), default=-1) + 1
        self.builder.StartObject(fields)
        for slot, offset in offsets.items():
            self.builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        for slot, value in uints.items():
            self.builder.PrependUint32Slot(slot, value, 0)
        for slot, value in enums.items():
            self.builder.PrependUint8Slot(slot, value, 0)
        return int(self.builder.EndObject())
