"""Photos with masks: folders of both, Pascal VOC's layout, COCO's JSON, and what breaks a rule."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from calibration_data.annotations import MaskTruth
from calibration_data.datasets.base import Dataset, SplitRole, open_dataset, referenced_files
from calibration_data.labels import VOC21_LABELS
from calibration_data.mask_classes import MaskClasses, mask_labels
from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.segmentation import Segmenter
from foundation.errors import InvalidInputError

MASK = np.array([[0, 1, 1, 2], [0, 0, 1, 255], [2, 2, 0, 0]], np.uint8)
PALETTE = ((0, 0, 0), (128, 0, 0), (0, 128, 0))


def save(folder: Path, name: str, pixels: np.ndarray, palette: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if palette:
        image.putpalette([level for colour in PALETTE for level in colour] + [9] * 759)
    image.save(folder / name)
    return folder / name


def photos_in(folder: Path, count: int = 2) -> None:
    for number in range(count):
        save(folder, f"{number}.png", np.full((3, 4, 3), 40 * number % 256, np.uint8))


def mask_of(data: str, index: int = 0) -> np.ndarray:
    dataset = open_dataset(data)
    assert dataset.masks is not None
    assert dataset.answered
    return dataset.masks.of(index)


@pytest.mark.parametrize("palette", [True, False])
def test_masks_beside_photos_are_numbers_with_a_palette_or_in_grey(
    tmp_path: Path, palette: bool
) -> None:
    photos_in(tmp_path / "val" / "photos")
    for number in range(2):
        save(tmp_path / "val" / "classes", f"{number}.png", np.roll(MASK, number), palette)
    text = f"{tmp_path / 'val' / 'photos'}+classes"
    np.testing.assert_array_equal(mask_of(text, 1), np.roll(MASK, 1))
    whole = open_dataset(f"{tmp_path / 'val' / 'photos'}+{tmp_path / 'val' / 'classes'}")
    assert (len(whole), whole.role) == (2, SplitRole.DEVELOPMENT)
    assert len(referenced_files(text)) == 4
    np.testing.assert_array_equal(
        open_dataset(text).subset(np.array([1])).masks.of(0), np.roll(MASK, 1)
    )


def test_a_photo_without_a_mask_is_refused_or_left_out(tmp_path: Path) -> None:
    photos_in(tmp_path / "photos", 3)
    save(tmp_path / "masks", "1.png", MASK)
    text = f"{tmp_path / 'photos'}+masks"
    with pytest.raises(InvalidInputError, match=r"mask of its name.*; received 2 of 3.*:masked"):
        open_dataset(text)
    assert len(open_dataset(f"{text}:masked")) == 1
    with pytest.raises(InvalidInputError, match="masked"):
        open_dataset(f"{text}:train")
    with pytest.raises(InvalidInputError, match="which does not exist"):
        open_dataset(f"{tmp_path / 'photos'}+other")
    save(tmp_path / "jpegs", "1.jpg", MASK)
    with pytest.raises(InvalidInputError, match=r"\.png.*received 3 of 3.*JPEG does not keep"):
        open_dataset(f"{tmp_path / 'photos'}+jpegs")


def test_a_mask_of_another_size_is_known_before_it_is_decoded(tmp_path: Path) -> None:
    photos_in(tmp_path / "photos", 40)
    for number in range(40):
        save(tmp_path / "masks", f"{number}.png", MASK[: 2 if number == 33 else 3])
    with pytest.raises(InvalidInputError, match=r"received 2x4 for .*33\.png of 3x4"):
        open_dataset(f"{tmp_path / 'photos'}+masks")


def test_images_and_masks_in_one_folder_or_in_one_of_each_split(tmp_path: Path) -> None:
    for split in ("train", "test"):
        photos_in(tmp_path / split / "images")
        for number in range(2):
            save(tmp_path / split / "masks", f"{number}.png", MASK)
    assert len(open_dataset(str(tmp_path / "train"))) == 2
    found = open_dataset(f"{tmp_path}:test")
    assert (found.role, found.name) == (SplitRole.TEST, f"{tmp_path}:test")
    with pytest.raises(InvalidInputError, match="has the splits test, train"):
        open_dataset(f"{tmp_path}:val")


def test_pascal_voc_has_lists_or_all_photos_with_a_mask(tmp_path: Path) -> None:
    photos_in(tmp_path / "JPEGImages", 3)
    for number in (0, 2):
        save(tmp_path / "SegmentationClass", f"{number}.png", MASK + number % 2, palette=True)
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("2\n")
    (lists / "train.txt").write_text("1\n")
    (lists / "odd.txt").write_text("7\n")
    assert len(open_dataset(str(tmp_path))) == 2
    found = open_dataset(f"{tmp_path}:val")
    assert found.role is SplitRole.DEVELOPMENT
    assert found.describe(0).endswith("2.png")
    with pytest.raises(InvalidInputError, match=r"has the splits odd, train, val"):
        open_dataset(f"{tmp_path}:test")
    with pytest.raises(InvalidInputError, match="mask of its name"):
        open_dataset(f"{tmp_path}:train")
    with pytest.raises(InvalidInputError, match="names images of its folder"):
        open_dataset(f"{tmp_path}:odd")


def coco(folder: Path, annotations: list[dict[str, Any]], name: str = "instances.json") -> str:
    photos_in(folder / "photos")
    document = {
        "images": [
            {"id": 7 + n, "file_name": f"{n}.png", "height": 3, "width": 4} for n in range(2)
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "couch"}],
        "annotations": [{"image_id": 7, "iscrowd": 0, **one} for one in annotations],
    }
    (folder / name).write_text(json.dumps(document))
    return f"{folder / 'photos'}+{name}"


def rectangle(left: int, top: int, right: int, bottom: int) -> list[list[int]]:
    return [[left, top, right, top, right, bottom, left, bottom]]


def test_polygons_are_masks_and_what_two_classes_claim_is_not_measured(tmp_path: Path) -> None:
    text = coco(
        tmp_path,
        [
            {"category_id": 18, "segmentation": rectangle(0, 0, 2, 2)},
            {"category_id": 3, "segmentation": rectangle(1, 1, 3, 3)},
            {"category_id": 18, "segmentation": rectangle(0, 0, 1, 2)},  # of its own class
            {"category_id": 3, "iscrowd": 1, "segmentation": {"counts": [9, 3], "size": [3, 4]}},
        ],
    )
    dataset = open_dataset(text)
    assert dataset.masks is not None
    assert dataset.masks.class_names == ("background", "couch", "dog")
    expected = [[2, 2, 0, 255], [2, 255, 1, 255], [0, 1, 1, 255]]
    assert dataset.masks.of(0).tolist() == expected
    assert not dataset.masks.of(1).any()  # a photo without objects is background


def test_run_lengths_in_letters_are_those_of_the_library(tmp_path: Path) -> None:
    from pycocotools import mask as rle

    inside = np.random.default_rng(0).integers(0, 2, (3, 4), np.uint8)
    runs = rle.encode(np.asfortranarray(inside))
    text = coco(
        tmp_path,
        [{"category_id": 3, "segmentation": {**runs, "counts": runs["counts"].decode()}}],
    )
    np.testing.assert_array_equal(mask_of(text), inside)


@pytest.mark.parametrize(
    "shape",
    [
        {"counts": [9, 9], "size": [3, 4]},
        {"counts": [12], "size": [4, 3]},
        [[0, 0, 1e9, 0, 1e9, 1e9]],
        [[0, 0, 1]],
        {"counts": "~~", "size": [3, 4]},
    ],
)
def test_a_shape_that_does_not_fit_its_image_is_one_sentence(tmp_path: Path, shape: Any) -> None:
    text = coco(tmp_path, [{"category_id": 3, "segmentation": shape}])
    with pytest.raises(InvalidInputError, match="COCO's annotations"):
        mask_of(text)


def test_panoptic_segments_are_masks(tmp_path: Path) -> None:
    ids = np.array([[1, 1, 300, 300], [1, 1, 300, 70000], [0, 0, 5, 5]])
    pixels = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
    save(tmp_path / "panoptic", "0.png", pixels)
    segments = [
        {"id": 1, "category_id": 18},
        {"id": 300, "category_id": 3},
        {"id": 70000, "category_id": 18},
        {"id": 5, "category_id": 3, "iscrowd": 1},
    ]
    text = coco(tmp_path, [{"file_name": "0.png", "segments_info": segments}], "panoptic.json")
    assert len(open_dataset(text)) == 1  # of two images, one has segments
    expected = [[2, 2, 1, 1], [2, 2, 1, 2], [255, 255, 255, 255]]
    assert mask_of(text).tolist() == expected


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.pop("images"), "COCO's annotations are a JSON object"),
        (lambda d: d["annotations"][0].pop("segmentation"), "annotations without segmentation"),
        (lambda d: d["images"].clear(), "at least one image"),
        (lambda d: d["images"][0].update(file_name="9.png"), "lists photos of the folder"),
    ],
)
def test_damaged_json_is_one_sentence(
    tmp_path: Path, change: Callable[[Any], Any], words: str
) -> None:
    text = coco(tmp_path, [{"category_id": 3, "segmentation": rectangle(0, 0, 2, 2)}])
    path = tmp_path / "instances.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(InvalidInputError, match=words):
        open_dataset(text)


def test_a_damaged_polygon_is_one_sentence(tmp_path: Path) -> None:
    text = coco(tmp_path, [{"category_id": 99, "segmentation": rectangle(0, 0, 2, 2)}])
    with pytest.raises(InvalidInputError, match="COCO's annotations"):
        mask_of(text)


def test_a_mask_in_jpeg_or_with_numbers_above_255_is_refused(tmp_path: Path) -> None:
    photos_in(tmp_path / "photos", 1)
    save(tmp_path / "masks", "0.png", np.full((3, 4), 300, np.uint16))
    with pytest.raises(InvalidInputError, match=r"a mask is an image of class numbers.*300"):
        mask_of(f"{tmp_path / 'photos'}+masks")


def classes(
    masks: np.ndarray | MaskTruth, segmenter: Segmenter, labels: tuple[str, ...] = ()
) -> MaskClasses:
    truth = masks if isinstance(masks, MaskTruth) else MaskTruth(lambda _: masks)
    return MaskClasses(truth, len(labels) or 3, labels, segmenter, "the test")


def test_numbers_become_classes() -> None:
    found = classes(MASK, Segmenter()).of(0, (3, 4), "a.png")
    assert found.tolist() == [[0, 1, 1, 2], [0, 0, 1, -1], [2, 2, 0, 0]]


def test_colours_become_classes_and_one_more_is_not_measured() -> None:
    colours = np.array([*PALETTE, (224, 224, 192)], np.uint8)
    painted = colours[np.minimum(MASK, 3)]
    segmenter = Segmenter(palette=(*PALETTE, (224, 224, 192)))
    found = classes(painted, segmenter).of(0, (3, 4), "a.png")
    np.testing.assert_array_equal(found, classes(MASK, Segmenter()).of(0, (3, 4), "a.png"))


@pytest.mark.parametrize(
    ("masks", "segmenter", "size", "words"),
    [
        (MASK, Segmenter(), (4, 3), r"height and width of its photo; received 3x4 for a.png"),
        (MASK + 1, Segmenter(ignored=0), (3, 4), r"from 0 to 2, or 0 where.*received 3 in"),
        (np.zeros((3, 4, 3), np.uint8), Segmenter(), (3, 4), "needs the palette"),
        (np.ones((3, 4, 3), np.uint8), Segmenter(palette=PALETTE), (3, 4), r"received \[1, 1, 1\]"),
    ],
)
def test_a_mask_that_is_no_mask_of_the_classes_is_one_sentence(
    masks: np.ndarray, segmenter: Segmenter, size: tuple[int, int], words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        classes(masks, segmenter).of(0, size, "a.png")


@pytest.mark.parametrize("palette", [PALETTE[:2], (*PALETTE, *PALETTE), (PALETTE[0],) * 3])
def test_a_palette_is_a_list_of_the_classes(palette: tuple[tuple[int, int, int], ...]) -> None:
    with pytest.raises(InvalidInputError, match="one colour of its own for each of the 3"):
        classes(MASK, Segmenter(palette=palette))


def test_names_of_other_sets_become_classes_and_the_rest_is_ground() -> None:
    names = ("background", "couch", "dog", "kite")
    truth = MaskTruth(lambda _: np.array([[0, 1, 2, 3]], np.uint8), names, others_are_ground=True)
    found = classes(truth, Segmenter(), VOC21_LABELS).of(0, (1, 4), "a")
    words = [VOC21_LABELS[number] for number in found[0]]
    assert words == ["background", "sofa", "dog", "background"]
    with pytest.raises(InvalidInputError, match="received background, couch, dog"):
        classes(truth, Segmenter(), ("background", "road", "sky"))
    strict = MaskTruth(truth.of, names)
    with pytest.raises(InvalidInputError, match="received kite"):
        classes(strict, Segmenter(), VOC21_LABELS)


def test_labels_are_as_many_as_classes_or_come_from_the_masks() -> None:
    contract = Preprocessing((4, 4), Crop.STRETCH)
    named = _with_names(("ground", "cat"))
    assert mask_labels(contract, (2, 2, 2), [named]).labels == ("ground", "cat")
    assert mask_labels(contract, (2, 2, 3), [named]).labels == ()
    few = contract.with_labels(("cat", "dog"))
    with pytest.raises(InvalidInputError, match=r"3 classes has 3 labels.*name the class backg"):
        mask_labels(few, (2, 2, 3), [])


def _with_names(names: tuple[str, ...]) -> Dataset:
    truth = MaskTruth(lambda _: MASK, names)
    picture = np.zeros((3, 4, 3), np.uint8)
    return Dataset("named", SplitRole.TEST, None, (), lambda _: picture, count=1, masks=truth)
