"""TFLite metadata as MediaPipe's and LiteRT's Android tasks read it, from the contract.

Source of tables, field order and enum values: mediapipe/tasks/metadata/metadata_schema.fbs
(namespace tflite, file identifier M001, parser version 1.0.0); of the container:
https://ai.google.dev/edge/litert/models/metadata (a metadata buffer named TFLITE_METADATA,
associated files appended to the model as a zip).
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
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
_IMAGE_PROPERTIES, _FEATURE_PROPERTIES = 2, 1  # ContentProperties
_NORMALIZATION = 1  # ProcessUnitOptions
_TENSOR_AXIS_LABELS = 2  # AssociatedFileType
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class TaskFile:
    """Content of the metadata of a file.

    Attributes:
        name: name of the model.
        description: description in one sentence.
        contract: RGB contract with one mean, one std and labels.
        dtype: type of input and output, NumPy's name.
        output_range: smallest and largest value of the output tensor.
    """

    name: str
    description: str
    contract: Preprocessing
    dtype: str
    output_range: tuple[float, float]

    @property
    def input_range(self) -> tuple[float, float]:
        """Smallest and largest value of the input tensor."""
        return (0.0, 255.0) if self.dtype == "uint8" else self.contract.value_range


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
    """FlatBuffer with the metadata of a classifier: one image as input, one score per label."""
    import flatbuffers

    tables = _Tables(flatbuffers.Builder(1024))
    subgraph = tables.table(
        {2: tables.tables([_input(tables, task)]), 3: tables.tables([_output(tables, task)])}
    )
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


def _output(tables: _Tables, task: TaskFile) -> int:
    properties = tables.table({})
    content = tables.table({1: properties}, enums={0: _FEATURE_PROPERTIES})
    labels = tables.table(
        {0: tables.text(LABEL_FILE), 1: tables.text("One label an output.")},
        enums={2: _TENSOR_AXIS_LABELS},
    )
    return tables.table(
        {
            0: tables.text("scores"),
            1: tables.text("One score a label."),
            3: content,
            5: _stats(tables, task.output_range),
            6: tables.tables([labels]),
        }
    )


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
