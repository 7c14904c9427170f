"""Networks to compare the quantizers on: those that the caller names, or a suite of this file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from calibration_data.contract import ContractRequest
from calibration_data.preprocessing import Crop
from foundation.errors import InvalidInputError
from models.loading.files import MODEL_SUFFIXES
from models.loading.request import ModelRequest


@dataclass(frozen=True)
class Subject:
    """Network with its data.

    Attributes:
        model: float network.
        calibration: DATA text of the calibration images.
        data: DATA text of the images to measure on.
        contract: preprocessing where it differs from the network's own.
        published: integer file that the network's source has published; None without one.
    """

    model: ModelRequest
    calibration: str
    data: str
    contract: ContractRequest = field(default_factory=ContractRequest)
    published: Path | None = None


@dataclass(frozen=True)
class Folders:
    """Folders of data that the repository does not have.

    Attributes:
        photos: folder with ``calibration`` and ``dev``, each with photos in ``images``, boxes in
            ``instances.json`` and masks of Pascal VOC's classes in ``voc21``; None for none.
        published: folder of the published DeepLabv3 files; None for none.
    """

    photos: Path | None = None
    published: Path | None = None


def found_models(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Model files and names; a folder that is no SavedModel stands for its model files."""
    models: list[str] = []
    for text in texts:
        path = Path(text)
        if path.is_dir() and not (path / "saved_model.pb").is_file():
            models += sorted(str(p) for p in path.iterdir() if p.suffix in MODEL_SUFFIXES)
        else:
            models.append(str(path.resolve()) if path.exists() else text)
    return tuple(models)


def chosen(models: tuple[str, ...], calibration: str, data: str) -> tuple[Subject, ...]:
    """Networks that are named, all on the same data."""
    return tuple(Subject(ModelRequest(name), calibration, data) for name in found_models(models))


def dense(folders: Folders) -> tuple[Subject, ...]:
    """Detectors and segmenters: the shipped ones, and the published ones whose data is there."""
    shipped = ("ssdlite_fashion", "lraspp_fashion")
    data = "fashion_scenes:calibration", "fashion_scenes:test"
    found = [Subject(ModelRequest(name), *data) for name in shipped]
    if folders.photos is None:
        return tuple(found)
    calibration, dev = str(folders.photos / "calibration"), folders.photos / "dev"
    found.append(
        Subject(ModelRequest("ssdlite_mobilenet_v2", weights="coco"), calibration, str(dev))
    )
    if folders.published is not None:
        masks = f"{dev / 'images'}+voc21:masked"
        for name, alpha in (("dm05_pascal", 0.5), ("pascal", None)):
            file = folders.published / f"deeplabv3_mnv2_{name}_quant.tflite"
            model = ModelRequest("deeplab_v3_mobilenet_v2", weights=str(file), alpha=alpha)
            contract = ContractRequest(crop=Crop.LETTERBOX)
            found.append(Subject(model, calibration, masks, contract, file))
    return tuple(found)


SUITES: dict[str, Callable[[Folders], tuple[Subject, ...]]] = {"dense": dense}
"""Suites by name; each has a table ``benchmarks/results/NAME.csv``."""


def suite(name: str, folders: Folders) -> tuple[Subject, ...]:
    """Networks of a suite.

    Raises:
        InvalidInputError: a folder that does not exist.
    """
    for option, folder in (("--photos", folders.photos), ("--published", folders.published)):
        if folder is not None and not folder.is_dir():
            raise InvalidInputError(
                f"{option} names a folder",
                received=f"{folder}, which is none",
                remedy="correct the path, or leave the option out",
            )
    return SUITES[name](folders)
