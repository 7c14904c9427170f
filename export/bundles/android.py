"""Android: MediaPipe Tasks and LiteRT, from uint8 and float16 files with task metadata."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.task import Task
from export.bundles.android_tasks import takes, task_file, task_of
from export.bundles.labels import LABELS, labels_text, write_labels
from export.bundles.target import (
    VECTORS,
    BundleRequest,
    ContractNeed,
    Figures,
    ShipFile,
    ShipTarget,
)
from export.bundles.tflite_ends import pixel_input
from export.bundles.tflite_maps import with_whole_map
from export.bundles.tflite_tasks import with_task_metadata
from foundation.errors import InvalidInputError, UnsupportedError
from foundation.scratch import temporary_scratch
from network.tflite.reader import read_flat_model
from quantize.recipes import recipe
from quantize.settings import IoType, Postprocess

ROLES = ("int8", "float16")


def dressed(role: str, path: Path, contract: Preprocessing, name: str) -> bytes:
    """Add what Android tasks need: a uint8 input for raw pixels, metadata and labels.

    A segmenter's map is enlarged to the size of the input.

    Args:
        role: ``int8`` or ``float16``.
        path: path of the file that the pipeline wrote.
        contract: RGB contract with one mean, one std and labels.
        name: name of the model.

    Returns:
        Content of the file that ships.
    """
    content = path.read_bytes()
    if role == "int8":
        content = pixel_input(content, contract, path)
    if contract.tasks.only.known is Task.SEGMENTATION:
        content = with_whole_map(content, (contract.size[0], contract.size[1]))
    with temporary_scratch() as scratch:
        whole = scratch / path.name
        whole.write_bytes(content)
        graph = read_flat_model(whole).subgraphs[0]
    task = task_file(f"{name} {role}", contract, graph)
    return with_task_metadata(content, task, labels_text(contract))


def file_name(name: str, role: str) -> str:
    """Name of a model file in the bundle."""
    return f"{name}-{role}.tflite"


def _check(contract: Preprocessing) -> None:
    """Refuse inputs that are no colour images; folding, which needs the model, refuses more later.

    Raises:
        UnsupportedError: grey images, other channels, or plain arrays.
        InvalidInputError: no labels.
    """
    if not contract.is_colour:
        raise UnsupportedError(
            "Android's image tasks (MediaPipe, LiteRT) give a network RGB images",
            received=f"an input {list(contract.shape)}"
            + (" of plain arrays" if contract.plain else ""),
            remedy="ship it --for microcontroller, ethos-u or onnx-mobile, or run the .tflite of "
            "'edgequant quantize' with LiteRT's interpreter",
        )
    if not contract.labels:
        raise InvalidInputError(
            "Android's image tasks answer with names, and so need labels",
            received="a contract without labels",
            remedy="give the list that the model was trained with: --labels FILE",
        )


def _write(request: BundleRequest, folder: Path) -> None:
    for role in ROLES:
        (folder / file_name(request.name, role)).write_bytes(request.files[role].read_bytes())
        request.vectors[role].write(folder / VECTORS, role)
    write_labels(request.contract, folder)


def _finish(_request: BundleRequest, _folder: Path, _figures: Figures) -> None:
    """Write nothing: no file depends on a measurement."""


def _data(request: BundleRequest, _figures: Figures) -> tuple[str, ...]:
    return tuple(file_name(request.name, role) for role in ROLES)


def _rebuild(request: BundleRequest, _folder: Path, _figures: Figures) -> dict[str, bytes]:
    return {LABELS: labels_text(request.contract)}


def _guide(request: BundleRequest, _folder: Path, _figures: Figures) -> str:
    contract = request.contracts["float16"]
    height, width = contract.size
    lines = [
        (
            f"`{file_name(request.name, 'int8')}` takes uint8 pixels, "
            f"`{file_name(request.name, 'float16')}` float32 (weights in float16); both are "
            f"[1, {height}, {width}, 3] RGB and carry labels and normalization as TFLite metadata, "
            "so the tasks need no numbers from you. Put the file into `app/src/main/assets`."
        ),
        "",
        "```kotlin",
        *task_of(contract).kotlin(file_name(request.name, "int8")),
        "```",
        "",
        f"The task stretches the bitmap to {height}x{width}. {_crop_advice(contract)}",
        _answers(request),
    ]
    return "\n".join(lines)


def _answers(request: BundleRequest) -> str:
    """What the numbers of the answers mean, for the guide."""
    contract = request.contract
    if (detector := contract.detector) is not None:
        return (
            f"The file gives at most {detector.most} boxes, in pixels of the bitmap, with a "
            f"probability of {detector.score_threshold:g} or more; of two boxes of one class that "
            f"overlap by more than {detector.iou_threshold:g} (intersection over union), the surer."
        )
    if contract.tasks.only.known is Task.SEGMENTATION:
        return (
            "A value of the mask is a line of labels.txt, counted from 0; the mask has the size "
            "of the bitmap. The file enlarges the network's map to its input's size, bilinear "
            "with half-pixel centres; from there to a bitmap of another size the task does."
        )
    return "Scores are " + (
        "probabilities." if request.probabilities else "logits: compare, don't threshold."
    )


def _crop_advice(contract: Preprocessing) -> str:
    if contract.crop is Crop.CENTER:
        return (
            f"The network was trained on centre crops (short side {contract.resize_short_side}): "
            "crop the bitmap to the centre square before."
        )
    if contract.crop is Crop.STRETCH:
        return "So was the network's training data."
    if contract.crop is Crop.LETTERBOX:
        levels = ", ".join(map(str, contract.fill))
        return (
            "The network was trained on whole images that keep their shape: scale the bitmap to "
            f"fit, centre it, and fill the rest with {levels} of 255 before."
        )
    return "The network was trained on images of just that size: scale or pad before."


def _ship_file(
    role: str,
    io: IoType | None,
    postprocess: Postprocess = Postprocess.NONE,
    *,
    masks: bool = False,
) -> ShipFile:
    return ShipFile(
        role,
        replace(recipe(f"tflite-{role}").with_io(io), postprocess=postprocess),
        "litert-xnnpack",
        need=ContractNeed.ONE_PAIR_RGB,
        dress=partial(dressed, role),
        masks=masks,
    )


def _files_of_task(contract: Preprocessing) -> tuple[ShipFile, ...]:
    """Files of a detector, which suppress boxes themselves, and of a segmenter."""
    task = contract.tasks.only.known
    inside = Postprocess.TFLITE if task is Task.DETECTION else Postprocess.NONE
    if task not in (Task.DETECTION, Task.SEGMENTATION):
        return ()
    masks = task is Task.SEGMENTATION
    return (
        _ship_file("int8", IoType.UINT8, inside, masks=masks),
        _ship_file("float16", None, inside, masks=masks),
    )


BUNDLE = ShipTarget(
    name="android",
    title="Android (MediaPipe Tasks, LiteRT)",
    extra="android",
    files=(_ship_file("int8", IoType.UINT8), _ship_file("float16", None)),
    files_of_task=_files_of_task,
    takes=takes,
    check=_check,
    write=_write,
    finish=_finish,
    guide=_guide,
    data=_data,
    rebuild=_rebuild,
    proofs=("litert", "mediapipe", "litert-arm64"),
)
