"""Post-processing inside a file: what it needs of a contract, and its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from calibration_data.detection import Detector
from calibration_data.preprocessing import Preprocessing
from calibration_data.task import Task
from foundation.errors import UnsupportedError
from quantize.settings import Postprocess

_DETECTIONS = (Postprocess.TFLITE, Postprocess.ONNX)


def require_postprocess(asked: Iterable[Postprocess], contract: Preprocessing) -> None:
    """Refuse post-processing that the network of a contract has nothing for.

    Args:
        asked: post-processing of each file that is to be written.
        contract: contract of the network.

    Raises:
        UnsupportedError: detections of a network that is no detector, or classes of places of one
            that is no segmenter.
    """
    for postprocess in asked:
        if postprocess in _DETECTIONS:
            detector_of(postprocess, contract)
        elif postprocess is Postprocess.ARGMAX and not _segments(contract):
            raise _no_segmenter(contract)


def class_maps_of(contract: Preprocessing, shapes: Mapping[str, Sequence[object]]) -> list[str]:
    """Outputs of a file that are maps of scores, in the place of which it gives classes.

    Args:
        contract: contract of the network.
        shapes: shape of each output ``[batch, ...]``, by name.

    Raises:
        UnsupportedError: no map ``[batch, h, w, classes]`` of two classes or more.
    """
    alone = len(shapes) == 1
    found = [
        name
        for name, shape in shapes.items()
        if len(shape) == 4
        and shape[3] != 1
        and (contract.tasks.only if alone else contract.tasks.of(name)).known is Task.SEGMENTATION
    ]
    if not found:
        raise _no_segmenter(contract)
    return found


def _segments(contract: Preprocessing) -> bool:
    tasks = (contract.tasks.only, *(task for _, task in contract.tasks.named))
    return any(task.known is Task.SEGMENTATION for task in tasks)


def _no_segmenter(contract: Preprocessing) -> UnsupportedError:
    return UnsupportedError(
        "post-processing argmax gives the class of each place, from a segmenter's scores of two "
        "classes or more",
        received=f"a network whose task is {contract.tasks.only.known}",
        remedy="leave --postprocess out, or state --task segmentation",
    )


def detector_of(postprocess: Postprocess, contract: Preprocessing) -> Detector:
    """Detector of a contract, for post-processing that gives detections.

    Raises:
        UnsupportedError: a network that is no detector.
    """
    if contract.detector is None:
        raise UnsupportedError(
            "post-processing that gives detections is for detectors, whose contract has a table "
            "[detection]",
            received=f"--postprocess {postprocess.value} and a contract without it",
            remedy="leave --postprocess out, or give the anchors in the contract",
        )
    return contract.detector
