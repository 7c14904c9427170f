"""Post-processing inside a file: what it needs of a contract, and its outputs."""

from __future__ import annotations

from collections.abc import Iterable

from calibration_data.detection import Detector
from calibration_data.preprocessing import Preprocessing
from foundation.errors import UnsupportedError
from quantize.recipes import Postprocess

_DETECTIONS = (Postprocess.TFLITE, Postprocess.ONNX)


def require_postprocess(asked: Iterable[Postprocess], contract: Preprocessing) -> None:
    """Refuse post-processing that the network of a contract has nothing for.

    Args:
        asked: post-processing of each file that is to be written.
        contract: contract of the network.

    Raises:
        UnsupportedError: detections of a network that is no detector.
    """
    for postprocess in asked:
        if postprocess in _DETECTIONS:
            detector_of(postprocess, contract)


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
