"""Choice of a model's contract, and matching of the labels of dataset and model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration_data.contract import (
    ContractRequest,
    align_labels,
    complete_labels,
    resolve_contract,
)
from calibration_data.labels import imagenet_labels
from calibration_data.preprocessing import ChannelOrder, Crop, Interpolation, Preprocessing
from foundation.errors import InvalidInputError
from tests.calibration_data.pictures import in_memory

SIZE = (8, 8)
OWN = Preprocessing(size=SIZE, resize_short_side=9, mean=(1.0,) * 3, labels=("a", "b"))


def _resolve(
    request: ContractRequest, own: Preprocessing | None = None, model: Path | None = None
) -> Preprocessing:
    return resolve_contract(request, own=own, model_path=model, shape=(*SIZE, 3))


def _toml(path: Path, mean: float) -> Path:
    path.write_text(f"size = [8, 8]\nmean = {mean}\n", encoding="utf-8")
    return path


def test_the_named_file_comes_before_the_models_own(tmp_path: Path) -> None:
    request = ContractRequest(file=_toml(tmp_path / "named.toml", 5.0))
    assert _resolve(request, OWN, tmp_path / "net.keras").mean == (5.0,) * 3


def test_the_models_own_comes_before_a_file_beside_it(tmp_path: Path) -> None:
    _toml(tmp_path / "net.toml", 6.0)
    assert _resolve(ContractRequest(), OWN, tmp_path / "net.keras") == OWN


def test_a_file_beside_the_model_comes_before_flags_alone(tmp_path: Path) -> None:
    _toml(tmp_path / "net.toml", 6.0)
    contract = _resolve(ContractRequest(std=(2.0,)), None, tmp_path / "net.keras")
    assert contract.mean == (6.0,) * 3
    assert contract.std == (2.0,) * 3


def test_mean_and_std_alone_make_a_contract_that_stretches(tmp_path: Path) -> None:
    contract = _resolve(ContractRequest(mean=(3.0,), std=(4.0,)), None, tmp_path / "net.keras")
    assert contract == Preprocessing(size=SIZE, crop=Crop.STRETCH, mean=(3.0,) * 3, std=(4.0,) * 3)


@pytest.mark.parametrize("request_", [ContractRequest(), ContractRequest(mean=(1.0,))])
def test_a_foreign_model_without_a_contract_is_refused(
    request_: ContractRequest, tmp_path: Path
) -> None:
    with pytest.raises(InvalidInputError, match=r"needs its preprocessing.*net\.toml"):
        _resolve(request_, None, tmp_path / "net.keras")


def test_another_size_than_the_models_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="8x8; received 9x8"):
        _resolve(ContractRequest(), Preprocessing(size=(9, 8), crop=Crop.STRETCH))


@pytest.mark.parametrize(
    ("flags", "changes"),
    [
        ({"mean": (2.0,)}, {"mean": (2.0, 2.0, 2.0)}),
        ({"std": (2.0, 3.0, 4.0)}, {"std": (2.0, 3.0, 4.0)}),
        ({"crop": Crop.STRETCH}, {"crop": Crop.STRETCH, "resize_short_side": None}),
        ({"crop": Crop.PAD}, {"crop": Crop.PAD, "resize_short_side": None}),
        ({"resize_short_side": 12}, {"resize_short_side": 12}),
        ({"interpolation": Interpolation.BOX}, {"interpolation": Interpolation.BOX}),
        ({"channels": ChannelOrder.BGR}, {"channels": ChannelOrder.BGR}),
    ],
)
def test_a_flag_changes_its_value_alone(flags: dict[str, Any], changes: dict[str, Any]) -> None:
    assert _resolve(ContractRequest(**flags), OWN) == replace(OWN, **changes)


def test_a_short_side_alone_turns_stretching_into_a_centre_crop() -> None:
    own = Preprocessing(size=SIZE, crop=Crop.STRETCH)
    contract = _resolve(ContractRequest(resize_short_side=9), own)
    assert (contract.crop, contract.resize_short_side) == (Crop.CENTER, 9)


@pytest.mark.parametrize(
    ("flags", "rule"),
    [
        ({"mean": (1.0, 2.0)}, "one number, or three"),
        ({"std": (0.0,)}, "above zero"),
        ({"resize_short_side": 0}, "at least the longer side"),
        ({"resize_short_side": 9, "crop": Crop.STRETCH}, "goes with --crop center"),
    ],
)
def test_flags_that_contradict_are_refused(flags: dict[str, Any], rule: str) -> None:
    with pytest.raises(InvalidInputError, match=rule):
        _resolve(ContractRequest(**flags), OWN)


def test_labels_are_read_from_the_flags_file(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("x\ny\n", encoding="utf-8")
    assert _resolve(ContractRequest(labels=tmp_path / "labels.txt"), OWN).labels == ("x", "y")


BARE = Preprocessing(size=SIZE, crop=Crop.STRETCH)


def test_a_list_with_a_background_class_is_refused_as_such() -> None:
    background = BARE.with_labels(("background", *imagenet_labels()))
    with pytest.raises(InvalidInputError, match=r"1000 labels; received 1001.*background"):
        complete_labels(background, 1000, None)
    with pytest.raises(InvalidInputError, match="received 2 labels: give the list"):
        complete_labels(BARE.with_labels(("a", "b")), 1000, None)
    assert len(complete_labels(BARE.with_labels(imagenet_labels()), 1000, None).labels) == 1000


def test_missing_labels_come_from_as_many_class_folders() -> None:
    dataset = in_memory(4, names=("cat", "dog"))
    assert complete_labels(BARE, 2, dataset).labels == ("cat", "dog")
    assert complete_labels(BARE, 3, dataset).labels == ()
    assert complete_labels(BARE, 2, None).labels == ()


def test_imagenet_ids_are_known_from_a_few_folders() -> None:
    some = in_memory(4, names=imagenet_labels()[5:7])
    assert complete_labels(BARE, 1000, some).labels == imagenet_labels()
    assert complete_labels(BARE, 1000, in_memory(4, names=("n01440764", "cat"))).labels == ()
    assert complete_labels(BARE, 999, some).labels == ()


def test_class_folders_are_aligned_by_name() -> None:
    dataset = in_memory(4, names=("cat", "dog"))
    aligned = align_labels(dataset, BARE.with_labels(("dog", "ant", "cat")), 3)
    np.testing.assert_array_equal(aligned.labels, [2, 0, 2, 0])
    assert align_labels(dataset, BARE.with_labels(("cat", "dog")), 2) is dataset


def test_a_class_that_the_model_does_not_know_is_refused() -> None:
    dataset = in_memory(6, classes=6, names=("cat", "u", "v", "w", "x", "dog"))
    with pytest.raises(InvalidInputError, match="memory with u, v, w and 1 more"):
        align_labels(dataset, BARE.with_labels(("cat", "dog")), 2)
    with pytest.raises(InvalidInputError, match="cannot be matched to 1000 outputs"):
        align_labels(dataset, BARE, 1000)


def test_bare_numbers_are_taken_as_outputs_if_they_are_some() -> None:
    dataset = in_memory(6, classes=3)
    assert align_labels(dataset, BARE, 3) is dataset
    with pytest.raises(InvalidInputError, match="label 2 in memory"):
        align_labels(dataset, BARE, 2)
