"""Files for Android's tasks of detectors and segmenters."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration_data.placement import Placement
from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.segmentation import Segmenter
from calibration_data.task import OutputTask, Task, Tasks
from evaluation.masks import PhotoGrid
from export.bundles.android import BUNDLE, dressed
from export.bundles.android_tasks import activation_behind, takes
from export.bundles.tflite_maps import with_whole_map
from export.bundles.tflite_tasks import Activation
from export.target import ExportRequest, export_targets
from foundation.errors import InvalidInputError
from network.tflite.reader import read_flat_model
from quantize.recipes import recipe
from quantize.settings import IoType, Postprocess
from tests.export.detectors import CONTRACT

SIDE, CLASSES = 24, 3
DETECTION = replace(CONTRACT, tasks=Tasks(OutputTask(Task.DETECTION)))
SEGMENTATION = Preprocessing(
    size=(SIDE, SIDE), crop=Crop.STRETCH, mean=(127.5,) * 3, std=(127.5,) * 3,
    labels=("ground", "cat", "cup"), tasks=Tasks(OutputTask(Task.SEGMENTATION)),
    segmenter=Segmenter(),
)  # fmt: skip


def pixels(count: int) -> np.ndarray:
    coarse = np.random.default_rng(2).integers(0, 256, (count, 6, 6, 3))
    return coarse.repeat(4, axis=1).repeat(4, axis=2).astype(np.uint8)


@pytest.fixture(scope="module")
def segmenters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A tiny segmenter whose map is smaller than its input: logits, and probabilities."""
    import keras

    folder, found = tmp_path_factory.mktemp("segmenters"), {}
    for end in (None, "softmax"):
        keras.utils.set_random_seed(3)
        image = keras.Input((SIDE, SIDE, 3))
        x = keras.layers.Conv2D(8, 3, 4, padding="same", activation="relu")(image)
        spread = keras.initializers.RandomNormal(0, 2)
        maps = keras.layers.Conv2D(CLASSES, 1, kernel_initializer=spread)(x)
        maps = keras.layers.Softmax(name="map")(maps) if end else maps
        found[end or "logits"] = path = folder / f"{end}.tflite"
        request = ExportRequest(
            keras.Model(image, maps), recipe("tflite-float16"), SEGMENTATION, None
        )
        export_targets()["tflite"].write(request, path)
    return found


def run(content: bytes, image: np.ndarray) -> np.ndarray:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0]


def test_a_map_is_enlarged_as_masks_are_measured(segmenters: dict[str, Path]) -> None:
    content = segmenters["logits"].read_bytes()
    whole = with_whole_map(content, (SIDE, SIDE))
    assert whole == with_whole_map(content, (SIDE, SIDE))
    assert with_whole_map(whole, (SIDE, SIDE)) == whole
    grid = PhotoGrid(Placement((SIDE, SIDE), (SIDE, SIDE), (1.0, 1.0), (0.0, 0.0)), (6, 6))
    for image in SEGMENTATION.normalize(pixels(5)):
        small, large = run(content, image), run(whole, image)
        assert small.shape == (6, 6, CLASSES)
        assert large.shape == (SIDE, SIDE, CLASSES)
        best = grid.best(small)
        assert len(np.unique(best)) > 1
        assert (large.argmax(axis=-1) == best).mean() > 0.99  # ties of two classes aside


def test_the_activation_is_what_the_network_lacks(segmenters: dict[str, Path]) -> None:
    for name, wanted in (("logits", Activation.SOFTMAX), ("softmax", Activation.NONE)):
        path = segmenters[name]
        assert activation_behind(read_flat_model(path).subgraphs[0]) is wanted
        whole = path.with_suffix(".whole.tflite")
        whole.write_bytes(with_whole_map(path.read_bytes(), (SIDE, SIDE)))
        assert activation_behind(read_flat_model(whole).subgraphs[0]) is wanted


def test_a_segmenters_file_carries_its_labels(segmenters: dict[str, Path], tmp_path: Path) -> None:
    content = dressed("float16", segmenters["logits"], SEGMENTATION, "net")
    path = tmp_path / "net.tflite"
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt") == b"ground\ncat\ncup\n"
    assert b"SEGMENTER_METADATA" in content
    assert b"Gives each pixel of an image one of 3 classes." in content
    graph = read_flat_model(path).subgraphs[0]
    assert graph.tensors[graph.outputs[0]].shape == (1, SIDE, SIDE, CLASSES)


def test_which_files_a_task_needs() -> None:
    files = BUNDLE.files_of(DETECTION)
    assert [file.role for file in files] == ["int8", "float16"]
    assert {file.recipe.postprocess for file in files} == {Postprocess.TFLITE}
    assert files[0].recipe.io is IoType.UINT8
    assert all(file.masks for file in BUNDLE.files_of(SEGMENTATION))
    assert BUNDLE.files_of(Preprocessing(size=(5, 5), crop=Crop.PAD)) == BUNDLE.files


@pytest.mark.parametrize(
    ("shapes", "contract", "taken"),
    [
        ([(6, 6, 3)], SEGMENTATION, True),
        ([(6, 6, 1)], SEGMENTATION, False),
        ([(6, 6, 256)], SEGMENTATION, False),
        ([(6, 6, 3), (6, 6, 3)], SEGMENTATION, False),
        ([(8, 8, 12), (8, 8, 16)], DETECTION, True),
        ([(3,)], Preprocessing(size=(5, 5), crop=Crop.PAD), False),
    ],
)
def test_what_tasks_take(shapes: list, contract: Preprocessing, taken: bool) -> None:
    assert takes(shapes, contract) is taken


def test_names_are_needed() -> None:
    with pytest.raises(InvalidInputError, match="need labels; received a contract without labels"):
        BUNDLE.check(DETECTION.with_labels(()))
