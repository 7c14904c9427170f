"""Choice of a model's preprocessing contract: its own or a TOML file's, as changed by flags."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from calibration_data.channels import Channels, channel_count, channels_of, plain_channels
from calibration_data.contract_file import read_contract, read_labels
from calibration_data.datasets.base import Dataset
from calibration_data.labels import imagenet_labels
from calibration_data.preprocessing import Crop, Interpolation, Preprocessing
from calibration_data.task import OutputTask, Task
from foundation.errors import InvalidInputError

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class ContractRequest:
    """Options with which the user states or changes a contract; None for an option not given.

    Attributes:
        file: TOML file with a contract.
        mean: mean of the values (pixels are 0..255), one number or one per channel.
        std: standard deviation of the values, one number or one per channel.
        crop: method by which an image is brought to the network's size.
        resize_short_side: pixels of the short side before a centre crop.
        interpolation: resampling filter of the resize.
        channels: channels of an image.
        labels: file with one label per line.
        plain: whether examples are arrays of numbers, not images.
        task: what the only output means.
        threshold: probability from which an answer is yes.
    """

    file: Path | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    crop: Crop | None = None
    resize_short_side: int | None = None
    interpolation: Interpolation | None = None
    channels: Channels | None = None
    labels: Path | None = None
    plain: bool = False
    task: Task | None = None
    threshold: float | None = None

    def __post_init__(self) -> None:
        OutputTask(self.task, self.threshold)

    def __str__(self) -> str:
        """Options as text, for keys of artifacts; equal to that of earlier versions for images."""
        later = {"plain": False, "task": None, "threshold": None}
        names = [
            name
            for name in self.__dataclass_fields__
            if name not in later or getattr(self, name) != later[name]
        ]
        return f"ContractRequest({', '.join(f'{n}={getattr(self, n)!r}' for n in names)})"


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
    shape: tuple[int, ...],
    takes_pixels: bool = False,
) -> Preprocessing:
    """Contract of a model: the first source that exists, with single values changed by flags.

    The sources are, in this order: the file that the request names; the registered model's own
    contract; a TOML file of the same name beside the model; the flags, if they give mean and std.
    A model whose input is no image, or takes pixels as integers, needs none: its examples are fed
    as they are.

    Args:
        request: file and flags.
        own: contract of a registered model; None for a model file.
        model_path: path of a model file; None for a registered model.
        shape: shape of the model's input without the batch.
        takes_pixels: whether the input is of integers.

    Raises:
        InvalidInputError: a model of images without a contract, or a contract of another shape.
    """
    beside = contract_beside(model_path)
    contract = stated_contract(request, own=own, model_path=model_path)
    if contract is None and (request.plain or len(shape) != 3):
        contract = Preprocessing.of_arrays(shape)
    elif contract is None and (takes_pixels or None not in (request.mean, request.std)):
        contract = _of_images(shape, request)
    if contract is None:
        raise InvalidInputError(
            "a model that is not registered needs its preprocessing: how pixels became the "
            "numbers it was trained on",
            received=f"{model_path} without a contract",
            remedy=f"give --preprocessing FILE.toml (keys size, resize_short_side, mean, std), "
            f"write {beside}, pass --mean and --std, or --channels plain for arrays of numbers",
        )
    contract = _changed(contract, request)
    if takes_pixels:
        _require_pixels(contract)
    _require_shape(contract, shape)
    return contract


def _of_images(shape: tuple[int, ...], request: ContractRequest) -> Preprocessing:
    """Contract of images that are stretched to a model's input and fed as pixels 0..255."""
    channels = request.channels or channels_of(shape[2])
    mean, std = (0.0,), (1.0,)
    return Preprocessing(shape[:2], Crop.STRETCH, channels=channels, mean=mean, std=std)


def _require_pixels(contract: Preprocessing) -> None:
    if not contract.plain and not contract.feeds_pixels:
        raise InvalidInputError(
            "a model with an input of integers takes pixels 0..255 as they are: mean 0 and std 1",
            received=f"mean {contract.mean[0]:g} and std {contract.std[0]:g}",
            remedy="give --mean 0 --std 1, or mean = 0 and std = 1 in the contract",
        )


def _require_shape(contract: Preprocessing, shape: tuple[int, ...]) -> None:
    """Refuse a contract whose tensors are not the model's input; says what differs."""
    if contract.shape == shape:
        return
    if contract.plain or len(shape) != 3:
        raise InvalidInputError(
            f"the contract's shape is that of the model's input, {list(shape)}",
            received=f"{list(contract.shape)}"
            + ("" if contract.plain else ", of images (a contract with size)"),
            remedy=f"write shape = {list(shape)} into the contract"
            + ("" if contract.plain else ", in place of size and channels"),
        )
    if contract.size != shape[:2]:
        raise InvalidInputError(
            f"the contract's size is the model's input, {shape[0]}x{shape[1]}",
            received=f"{contract.size[0]}x{contract.size[1]}",
            remedy="correct size in the contract",
        )
    stated = plain_channels(contract.channels)
    raise InvalidInputError(
        f"the contract's channels are those of the model's input, which has {shape[2]}",
        received=f"channels = {stated!r}, which is {contract.channel_count}",
        remedy=f"give --channels {plain_channels(channels_of(shape[2]))}, or correct channels in "
        "the contract",
    )


def _changed(contract: Preprocessing, request: ContractRequest) -> Preprocessing:
    labels = contract.labels if request.labels is None else read_labels(request.labels)
    tasks = contract.tasks.with_only(request.task, request.threshold)
    contract = _as_plain(contract, request)
    if contract.plain:
        mean = _numbers(request.mean, contract.mean, contract.channel_count)
        std = _numbers(request.std, contract.std, contract.channel_count)
        return replace(contract, mean=mean, std=std, labels=labels, tasks=tasks)
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
    channels = contract.channels if request.channels is None else request.channels
    count = channel_count(channels)
    fill = contract.fill[:1] if len(set(contract.fill)) == 1 else contract.fill
    return replace(
        contract,
        crop=crop,
        resize_short_side=short_side if crop is Crop.CENTER else None,
        fill=fill if crop is Crop.LETTERBOX else (),
        interpolation=request.interpolation or contract.interpolation,
        channels=channels,
        mean=_numbers(request.mean, contract.mean, count),
        std=_numbers(request.std, contract.std, count),
        labels=labels,
        tasks=tasks,
    )


def _as_plain(contract: Preprocessing, request: ContractRequest) -> Preprocessing:
    """The contract of arrays that --channels plain asks for; flags of images are refused."""
    of_images = {
        "--crop": request.crop,
        "--resize-short-side": request.resize_short_side,
        "--interpolation": request.interpolation,
        "--channels": None if request.channels is None else plain_channels(request.channels),
    }
    if request.plain and not contract.plain:
        contract = Preprocessing.of_arrays(contract.shape, contract.mean, contract.std)
    given = [name for name, value in of_images.items() if value is not None]
    if contract.plain and given:
        raise InvalidInputError(
            "arrays of numbers are fed as they are, without resize or colours",
            received=", ".join(given),
            remedy="leave it out, or state size and channels in the contract for images",
        )
    return contract


def _numbers(
    value: tuple[float, ...] | None, own: tuple[float, ...], count: int
) -> tuple[float, ...]:
    """Mean or std for ``count`` channels: of the flag, or those of the contract."""
    if value is None:
        return own[:1] if len(set(own)) == 1 else own
    if len(value) not in (1, count):
        several = {1: "", 3: ", or three with commas"}.get(count, f", or {count} with commas")
        raise InvalidInputError(
            f"--mean and --std take one number{several}",
            received=",".join(f"{v:g}" for v in value),
            remedy="write for instance --mean 127.5",
        )
    return value


def complete_labels(
    contract: Preprocessing, classes: int, dataset: Dataset | None
) -> Preprocessing:
    """Check the labels against the number of outputs, or add labels to a contract without any.

    The added labels are the class names of the dataset, if there is one per output, or the sorted
    ImageNet ids, if there are 1,000 outputs and every class name is such an id. A binary output has
    the names of no and yes, or that of yes alone; the columns of a table of targets name the values
    of a multi-label or regression output. The names of a network with several outputs are stated
    output by output, and vectors of an embedding have none.

    Raises:
        InvalidInputError: a label list that is too long or too short.
    """
    task = contract.tasks.only.known
    if contract.tasks.named or task is Task.EMBEDDING:
        return contract
    if task is not Task.CLASSIFICATION:
        return _named_values(contract, classes, dataset)
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


def _named_values(contract: Preprocessing, width: int, dataset: Dataset | None) -> Preprocessing:
    """``complete_labels`` of a task whose values are no classes."""
    binary = contract.tasks.only.known is Task.BINARY
    if contract.labels:
        if len(contract.labels) != width and not (binary and len(contract.labels) == 2):
            raise InvalidInputError(
                "a binary output has the labels of no and yes, or that of yes"
                if binary
                else f"an output has one label for each of its {width} values",
                received=f"{len(contract.labels)} labels",
                remedy="give the list that the model was trained with",
            )
        return contract
    if dataset is None:
        return contract
    columns = next((t.columns for t in dataset.targets if t.columns), ())
    if binary and len(dataset.class_names) == 2:
        return contract.with_labels(dataset.class_names)
    return contract.with_labels(columns) if len(columns) == width else contract


def align_labels(dataset: Dataset, contract: Preprocessing, classes: int) -> Dataset:
    """Renumber the labels of a dataset as the network numbers its outputs.

    Class names are looked up in the contract's labels; labels without names stay as they are,
    and so do images without labels.

    Raises:
        InvalidInputError: a class that the network does not have, or class names that cannot be
            matched because the contract has no labels.
    """
    if dataset.labels is None:
        return dataset
    labels = class_numbers(
        dataset.labels, dataset.class_names, contract.labels, classes, dataset.name
    )
    return dataset if labels is dataset.labels else replace(dataset, labels=labels)


def class_numbers(
    labels: np.ndarray, names: tuple[str, ...], known: tuple[str, ...], classes: int, source: str
) -> np.ndarray:
    """Class numbers of a dataset as the network numbers its outputs, int64 ``[n]``.

    Args:
        labels: class numbers of the dataset.
        names: names of the classes that they count; empty if they count outputs.
        known: labels of the network; empty if unknown.
        classes: number of outputs.
        source: name of the dataset.

    Raises:
        InvalidInputError: as ``align_labels``.
    """
    import numpy as np

    if names and names != known:
        if not known:
            raise InvalidInputError(
                f"{len(names)} class names cannot be matched to {classes} outputs without labels",
                received=source,
                remedy="give the label list with --labels FILE, or labels in the contract",
            )
        if unknown := [name for name in names if name not in known]:
            raise InvalidInputError(
                "every class of a dataset is a label of the model",
                received=f"{source} with {', '.join(unknown[:3])}"
                + (f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""),
                remedy="name the classes of the data as the labels, or give another --labels FILE",
            )
        table = np.array([known.index(name) for name in names], np.int64)
        numbers: np.ndarray = table[labels]
        return numbers
    if len(labels) and int(labels.max()) >= classes:
        raise InvalidInputError(
            f"labels count the {classes} outputs from 0",
            received=f"label {int(labels.max())} in {source}",
            remedy="give the dataset that the model was trained for",
        )
    return labels
