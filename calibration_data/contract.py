"""Choice of a model's preprocessing contract: its own or a TOML file's, as changed by flags."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from calibration_data.datasets.base import Dataset
from calibration_data.labels import imagenet_labels
from calibration_data.preprocessing import (
    ChannelOrder,
    Crop,
    Interpolation,
    Preprocessing,
    read_contract,
    read_labels,
)
from foundation.errors import InvalidInputError


@dataclass(frozen=True)
class ContractRequest:
    """Options with which the user states or changes a contract; None for an option not given.

    Attributes:
        file: TOML file with a contract.
        mean: mean of pixel values 0..255, one value or one per channel.
        std: standard deviation of pixel values 0..255, one value or one per channel.
        crop: method by which an image is brought to the network's size.
        resize_short_side: pixels of the short side before a centre crop.
        interpolation: resampling filter of the resize.
        channels: order of the colour channels.
        labels: file with one label per line.
    """

    file: Path | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop: Crop | None = None
    resize_short_side: int | None = None
    interpolation: Interpolation | None = None
    channels: ChannelOrder | None = None
    labels: Path | None = None


def contract_beside(model_path: Path | None) -> Path | None:
    """Path of the contract beside a model file, whether or not the contract exists."""
    return None if model_path is None else model_path.parent / f"{model_path.stem}.toml"


def stated_contract(
    request: ContractRequest, *, own: Preprocessing | None, model_path: Path | None
) -> Preprocessing | None:
    """Contract from a file or a registered model, before flags change it; None if none exists."""
    beside = contract_beside(model_path)
    if request.file is not None:
        return read_contract(request.file)
    if own is not None:
        return own
    if beside is not None and beside.is_file():
        return read_contract(beside)
    return None


def contract_values(
    request: ContractRequest, *, own: Preprocessing | None, model_path: Path | None
) -> dict[str, object]:
    """All inputs that determine the contract, as plain values, without loading the model."""
    stated = stated_contract(request, own=own, model_path=model_path)
    return {
        "stated": None if stated is None else stated.to_dict(),
        "flags": str(replace(request, file=None, labels=None)),
        "labels": None if request.labels is None else read_labels(request.labels),
    }


def resolve_contract(
    request: ContractRequest,
    *,
    own: Preprocessing | None,
    model_path: Path | None,
    size: tuple[int, int],
) -> Preprocessing:
    """Contract of a model: the first source that exists, with single values changed by flags.

    The sources are, in this order: the file that the request names; the registered model's own
    contract; a TOML file of the same name beside the model; flags alone, if they give mean and std.

    Args:
        request: file and flags.
        own: contract of a registered model; None for a model file.
        model_path: path of a model file; None for a registered model.
        size: height and width of the model's input.

    Raises:
        InvalidInputError: a model file without a contract, or a contract of another size.
    """
    beside = contract_beside(model_path)
    contract = stated_contract(request, own=own, model_path=model_path)
    if contract is None and request.mean is not None and request.std is not None:
        contract = Preprocessing(size=size, crop=Crop.STRETCH)
    if contract is None:
        raise InvalidInputError(
            "a model that is not registered needs its preprocessing: how pixels became the "
            "numbers it was trained on",
            received=f"{model_path} without a contract",
            remedy=f"give --preprocessing FILE.toml (keys size, resize_short_side, mean, std), "
            f"write {beside}, or pass --mean and --std",
        )
    contract = _changed(contract, request)
    if contract.size != size:
        raise InvalidInputError(
            f"the contract's size is the model's input, {size[0]}x{size[1]}",
            received=f"{contract.size[0]}x{contract.size[1]}",
            remedy="correct size in the contract",
        )
    return contract


def _changed(contract: Preprocessing, request: ContractRequest) -> Preprocessing:
    crop = request.crop or contract.crop
    if request.resize_short_side is not None and request.crop is None:
        crop = Crop.CENTER
    if request.resize_short_side is not None and crop is not Crop.CENTER:
        raise InvalidInputError(
            "--resize-short-side goes with --crop center",
            received=f"--crop {crop.value}",
            remedy="leave one of the two out",
        )
    short_side = request.resize_short_side
    if short_side is None:
        short_side = contract.resize_short_side
    return replace(
        contract,
        crop=crop,
        resize_short_side=short_side if crop is Crop.CENTER else None,
        interpolation=request.interpolation or contract.interpolation,
        channels=request.channels or contract.channels,
        mean=_three(request.mean, contract.mean),
        std=_three(request.std, contract.std),
        labels=contract.labels if request.labels is None else read_labels(request.labels),
    )


def _three(
    value: tuple[float, ...] | None, own: tuple[float, float, float]
) -> tuple[float, float, float]:
    if value is None:
        return own
    if len(value) == 1:
        return value * 3
    if len(value) != 3:
        raise InvalidInputError(
            "--mean and --std take one number, or three with commas",
            received=",".join(f"{v:g}" for v in value),
            remedy="write for instance --mean 127.5",
        )
    return (value[0], value[1], value[2])


def complete_labels(
    contract: Preprocessing, classes: int, dataset: Dataset | None
) -> Preprocessing:
    """Check the labels against the number of outputs, or add labels to a contract without any.

    The added labels are the class names of the dataset, if there is one per output, or the sorted
    ImageNet ids, if there are 1,000 outputs and every class name is such an id.

    Raises:
        InvalidInputError: a label list that is too long or too short.
    """
    if contract.labels:
        if len(contract.labels) != classes:
            hint = (
                "drop the background class from the list"
                if len(contract.labels) == classes + 1
                else "give the list that the model was trained with"
            )
            raise InvalidInputError(
                f"a model with {classes} outputs has {classes} labels",
                received=f"{len(contract.labels)} labels",
                remedy=hint,
            )
        return contract
    names = dataset.class_names if dataset is not None else ()
    if len(names) == classes:
        return contract.with_labels(names)
    if names and classes == 1000 and set(names) <= set(imagenet_labels()):
        return contract.with_labels(imagenet_labels())
    return contract


def align_labels(dataset: Dataset, contract: Preprocessing, classes: int) -> Dataset:
    """Renumber the labels of a dataset as the network numbers its outputs.

    Class names are looked up in the contract's labels; labels without names stay as they are,
    and so do images without labels.

    Raises:
        InvalidInputError: a class that the network does not have, or class names that cannot be
            matched because the contract has no labels.
    """
    import numpy as np

    names, known, labels = dataset.class_names, contract.labels, dataset.labels
    if labels is None:
        return dataset
    if names and names != known:
        if not known:
            raise InvalidInputError(
                f"{len(names)} class names cannot be matched to {classes} outputs without labels",
                received=dataset.name,
                remedy="give the label list with --labels FILE, or labels in the contract",
            )
        if unknown := [name for name in names if name not in known]:
            raise InvalidInputError(
                "every class of a dataset is a label of the model",
                received=f"{dataset.name} with {', '.join(unknown[:3])}"
                + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""),
                remedy="name the classes of the data as the labels, or give another --labels FILE",
            )
        table = np.array([known.index(name) for name in names], np.int64)
        return replace(dataset, labels=table[labels])
    if len(labels) and int(labels.max()) >= classes:
        raise InvalidInputError(
            f"labels count the {classes} outputs from 0",
            received=f"label {int(labels.max())} in {dataset.name}",
            remedy="give the dataset that the model was trained for",
        )
    return dataset
