"""Contents of a bundle as bundle.json states them, from the side that writes it.

``edgequant.ship.manifest`` is the side that reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from calibration_data.preprocessing import Preprocessing
from edgequant.ship.proving import Proven
from export.bundles.target import Budget

VERSION = 1
"""Version of bundle.json."""


@dataclass(frozen=True)
class FileContents:
    """One model file of a target.

    Attributes:
        recipe: recipe as plain values.
        calibration: data, number of images and seed; None without calibration.
        preprocessing: contract of the file's own input.
        folded: part of the contract that was folded into the network, as a sentence; "" for none.
    """

    recipe: Mapping[str, Any]
    calibration: Mapping[str, Any] | None
    preprocessing: Preprocessing
    folded: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "recipe": self.recipe,
            "calibration": self.calibration,
            "preprocessing": self.preprocessing.to_dict(),
            "folded": self.folded,
        }


@dataclass(frozen=True)
class TargetContents:
    """One platform.

    Attributes:
        title: name of the platform for readers.
        extra: extra of our distribution that installs the platform's runtime.
        files: model files by role.
        proofs: results of measurements and proofs, in the order in which they ran.
        budgets: flash and SRAM of each model or configuration.
    """

    title: str
    extra: str
    files: Mapping[str, FileContents]
    proofs: tuple[Proven, ...]
    budgets: tuple[Budget, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "title": self.title,
            "extra": self.extra,
            "files": {role: file.to_dict() for role, file in self.files.items()},
            "proofs": [proven.to_dict() for proven in self.proofs],
            "budgets": [
                {"what": budget.what, "flash": budget.flash, "sram": budget.sram}
                for budget in self.budgets
            ],
        }


@dataclass(frozen=True)
class BundleContents:
    """A whole bundle.

    Attributes:
        model: name of the model.
        model_sha256: digest of the model that the files were made from.
        preprocessing: contract of the model as it was trained.
        vectors_data: name of the dataset that the test vectors were drawn from.
        vectors_images: number of images in the test vectors.
        versions: versions of the packages, by name.
        key: hash of everything that the bundle was made from.
        accuracy: figures of the model card, or the reason why there are none.
        targets: platforms by name.
    """

    model: str
    model_sha256: str
    preprocessing: Preprocessing
    vectors_data: str
    vectors_images: int
    versions: Mapping[str, str]
    key: str
    accuracy: Mapping[str, Any]
    targets: Mapping[str, TargetContents]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the manifest."""
        return {
            "bundle": VERSION,
            "model": self.model,
            "model_sha256": self.model_sha256,
            "preprocessing": self.preprocessing.to_dict(),
            "vectors": {"data": self.vectors_data, "images": self.vectors_images},
            "versions": self.versions,
            "key": self.key,
            "accuracy": self.accuracy,
            "targets": {name: target.to_dict() for name, target in self.targets.items()},
        }
