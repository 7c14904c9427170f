"""Android: MediaPipe Tasks and LiteRT, from uint8 and float16 files with task metadata."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from calibration_data.preprocessing import Crop, Preprocessing
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
from export.bundles.tflite_tasks import TaskFile, with_task_metadata
from foundation.errors import UnsupportedError
from network.tflite.reader import read_flat_model
from quantize.recipes import IoType, recipe

ROLES = ("int8", "float16")


def dressed(role: str, path: Path, contract: Preprocessing, name: str) -> bytes:
    """Add what Android tasks need: a uint8 input for raw pixels, metadata and labels.

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
    main = read_flat_model(path).subgraphs[0]
    scores = main.tensors[main.outputs[0]]
    task = TaskFile(
        name=f"{name} {role}",
        description=_description(contract),
        contract=contract,
        dtype=scores.dtype,
        output_range=(0.0, 255.0) if scores.dtype == "uint8" else (-3.4028235e38, 3.4028235e38),
    )
    return with_task_metadata(content, task, labels_text(contract))


def _description(contract: Preprocessing) -> str:
    if len(contract.labels) == 1:
        return f"Gives the probability of {contract.labels[0]} in an image."
    return f"Classifies an image into {len(contract.labels)} classes."


def file_name(name: str, role: str) -> str:
    """Name of a model file in the bundle."""
    return f"{name}-{role}.tflite"


def _check(contract: Preprocessing) -> None:
    """Refuse inputs that are no colour images; folding, which needs the model, refuses more later.

    Raises:
        UnsupportedError: grey images, other channels, or plain arrays.
    """
    if not contract.is_colour:
        raise UnsupportedError(
            "Android's image tasks (MediaPipe, LiteRT) give a network RGB images",
            received=f"an input {list(contract.shape)}"
            + (" of plain arrays" if contract.plain else ""),
            remedy="ship it --for microcontroller, ethos-u or onnx-mobile, or run the .tflite of "
            "'edgequant quantize' with LiteRT's interpreter",
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
        '// build.gradle: implementation("com.google.mediapipe:tasks-vision:latest.release")',
        "import com.google.mediapipe.framework.image.BitmapImageBuilder",
        "import com.google.mediapipe.tasks.core.BaseOptions",
        "import com.google.mediapipe.tasks.vision.core.RunningMode",
        "import com.google.mediapipe.tasks.vision.imageclassifier.ImageClassifier",
        "",
        "val options = ImageClassifier.ImageClassifierOptions.builder()",
        "    .setBaseOptions(BaseOptions.builder()",
        f'        .setModelAssetPath("{file_name(request.name, "int8")}").build())',
        "    .setMaxResults(3)",
        "    .setRunningMode(RunningMode.IMAGE)",
        "    .build()",
        "val classifier = ImageClassifier.createFromOptions(context, options)",
        "val result = classifier.classify(BitmapImageBuilder(bitmap).build())",
        "val best = result.classificationResult().classifications()[0].categories()[0]",
        'println("${best.categoryName()} ${best.score()}")',
        "```",
        "",
        f"The task stretches the bitmap to {height}x{width}. {_crop_advice(contract)}",
        "Scores are "
        + ("probabilities." if request.probabilities else "logits: compare, don't threshold."),
    ]
    return "\n".join(lines)


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


def _ship_file(role: str, name: str, io: IoType | None) -> ShipFile:
    return ShipFile(
        role,
        recipe(name).with_io(io),
        "litert-xnnpack",
        need=ContractNeed.ONE_PAIR_RGB,
        dress=partial(dressed, role),
    )


BUNDLE = ShipTarget(
    name="android",
    title="Android (MediaPipe Tasks, LiteRT)",
    extra="android",
    files=(
        _ship_file("int8", "tflite-int8", IoType.UINT8),
        _ship_file("float16", "tflite-float16", None),
    ),
    check=_check,
    write=_write,
    finish=_finish,
    guide=_guide,
    data=_data,
    rebuild=_rebuild,
    proofs=("litert", "mediapipe", "litert-arm64"),
)
