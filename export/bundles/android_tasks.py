"""Tasks of MediaPipe for Android: what each reads in a file, and the lines that open it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from calibration_data.preprocessing import Preprocessing
from calibration_data.task import Task
from export.bundles.tflite_tasks import (
    Activation,
    TaskFile,
    TaskOutput,
    detection_outputs,
    map_output,
    scores_output,
)
from network.tflite.reader import DEQUANTIZE, QUANTIZE, Subgraph

_MOST_CLASSES = 255
"""Largest number of classes that a mask of MediaPipe has room for."""
_ENDS = ("SOFTMAX", "LOGISTIC")
_MOVES = ("RESIZE_BILINEAR", "RESHAPE")


@dataclass(frozen=True)
class AndroidTask:
    """A task of MediaPipe.

    Attributes:
        name: name of its class.
        settings: lines of Kotlin that set its options, without ``.build()``.
        lines: lines of Kotlin that run it; ``IMAGE`` stands for the image.
        imports: more classes that the lines need.
        outputs: type of the output -> metadata of the outputs.
        says: contract -> what the network does, in one sentence.
    """

    name: str
    lines: tuple[str, ...]
    outputs: Callable[[str], tuple[TaskOutput, ...]] = field(repr=False)
    says: Callable[[Preprocessing], str] = field(repr=False)
    settings: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()

    def kotlin(self, file: str) -> list[str]:
        """Lines that open a file and run it on a bitmap.

        Args:
            file: name of the file among the application's assets.
        """
        image = "BitmapImageBuilder(bitmap).build()"
        package = f"com.google.mediapipe.tasks.vision.{self.name.lower()}"
        imports = (
            "com.google.mediapipe.framework.image.BitmapImageBuilder",
            *self.imports,
            "com.google.mediapipe.tasks.core.BaseOptions",
            "com.google.mediapipe.tasks.vision.core.RunningMode",
            f"{package}.{self.name}",
        )
        return [
            '// build.gradle: implementation("com.google.mediapipe:tasks-vision:latest.release")',
            *(f"import {one}" for one in imports),
            "",
            f"val options = {self.name}.{self.name}Options.builder()",
            "    .setBaseOptions(BaseOptions.builder()",
            f'        .setModelAssetPath("{file}").build())',
            *(f"    {line}" for line in self.settings),
            "    .setRunningMode(RunningMode.IMAGE)",
            "    .build()",
            *(line.replace("IMAGE", image) for line in self.lines),
        ]


def task_of(contract: Preprocessing) -> AndroidTask:
    """Task of MediaPipe for the network of a contract."""
    return _TASKS.get(contract.tasks.only.known, _CLASSIFIER)


def takes(shapes: Sequence[Sequence[int | None]], contract: Preprocessing) -> bool:
    """Whether a task takes a network whose outputs are no scores of labels.

    Args:
        shapes: shapes of the outputs, without the batch.
        contract: contract with the task.
    """
    task = contract.tasks.only.known
    if task is Task.SEGMENTATION and len(shapes) == 1 and len(shapes[0]) == 3:
        return 2 <= (shapes[0][2] or 0) <= _MOST_CLASSES
    return task is Task.DETECTION and contract.detector is not None


def task_file(name: str, contract: Preprocessing, graph: Subgraph) -> TaskFile:
    """Content of the metadata of a file.

    Args:
        name: name for readers.
        contract: contract of the file.
        graph: main graph of the file.
    """
    task = task_of(contract)
    entry, end = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    segments = contract.tasks.only.known is Task.SEGMENTATION
    return TaskFile(
        name=name,
        description=task.says(contract),
        contract=contract,
        dtype=entry.dtype,
        outputs=task.outputs(end.dtype),
        activation=activation_behind(graph) if segments else None,
    )


def activation_behind(graph: Subgraph) -> Activation:
    """Softmax for an output of logits; none for one of probabilities."""
    makers = {index: operator for operator in graph.operators for index in operator.outputs}
    operator = makers.get(graph.outputs[0])
    while operator is not None and operator.name in (QUANTIZE, DEQUANTIZE, *_MOVES):
        operator = makers.get(operator.inputs[0])
    probable = operator is not None and operator.name in _ENDS
    return Activation.NONE if probable else Activation.SOFTMAX


def _classifies(contract: Preprocessing) -> str:
    if len(contract.labels) == 1:
        return f"Gives the probability of {contract.labels[0]} in an image."
    return f"Classifies an image into {len(contract.labels)} classes."


_CLASSIFIER = AndroidTask(
    name="ImageClassifier",
    settings=(".setMaxResults(3)",),
    lines=(
        "val classifier = ImageClassifier.createFromOptions(context, options)",
        "val result = classifier.classify(IMAGE)",
        "val best = result.classificationResult().classifications()[0].categories()[0]",
        'println("${best.categoryName()} ${best.score()}")',
    ),
    outputs=scores_output,
    says=_classifies,
)
_TASKS = {
    Task.DETECTION: AndroidTask(
        name="ObjectDetector",
        lines=(
            "val detector = ObjectDetector.createFromOptions(context, options)",
            "for (found in detector.detect(IMAGE).detections()) {",
            "    for (one in found.categories()) { // several where classes share a box",
            '        println("${one.categoryName()} ${one.score()} ${found.boundingBox()}")',
            "    }",
            "}",
        ),
        outputs=lambda _: detection_outputs(),
        says=lambda contract: f"Finds objects of {len(contract.labels)} classes in an image.",
    ),
    Task.SEGMENTATION: AndroidTask(
        name="ImageSegmenter",
        settings=(".setOutputCategoryMask(true)", ".setOutputConfidenceMasks(false)"),
        lines=(
            "val segmenter = ImageSegmenter.createFromOptions(context, options)",
            "val result = segmenter.segment(IMAGE)",
            "val mask = ByteBufferExtractor.extract(result.categoryMask().get())",
            "println(segmenter.labels[mask[0].toInt() and 255]) // of the first pixel",
        ),
        imports=("com.google.mediapipe.framework.image.ByteBufferExtractor",),
        outputs=lambda _: map_output(),
        says=lambda contract: (
            f"Gives each pixel of an image one of {len(contract.labels)} classes."
        ),
    ),
}
