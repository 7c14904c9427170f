"""COCO JSON, Pascal VOC XML and YOLO text: the same boxes from all three, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from calibration_data.datasets.base import Dataset, SplitRole, dataset_kinds, open_dataset
from calibration_data.datasets.yolo import yaml_names
from foundation.errors import InvalidInputError

SIZES = {"a": (40, 60), "b": (50, 50), "c": (30, 80)}
"""Height and width of the photos."""
BOXES = {"a": [(1, 5, 10, 25, 30), (0, 0, 0, 40, 60)], "b": [], "c": [(1, 10, 20, 30, 80)]}
"""Class, top, left, bottom and right of the boxes of each photo; one has none."""
NAMES = ("person", "dog")


def photos(folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, (height, width) in SIZES.items():
        Image.new("RGB", (width, height), (len(name), 9, 9)).save(folder / f"{name}.png")


def coco_values() -> dict[str, Any]:
    images = [
        {"id": 7 * i + 3, "file_name": f"{name}.png", "height": height, "width": width}
        for i, (name, (height, width)) in enumerate(SIZES.items())
    ]
    annotations = [
        {
            "id": len(BOXES) * i + j, "image_id": 7 * i + 3, "category_id": [1, 18][label],
            "bbox": [left, top, right - left, bottom - top],
            "area": (right - left) * (bottom - top) / 2, "iscrowd": int(label == 0),
        }
        for i, boxes in enumerate(BOXES.values())
        for j, (label, top, left, bottom, right) in enumerate(boxes)
    ]  # fmt: skip
    categories = [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def coco(folder: Path, values: dict[str, Any] | None = None) -> Path:
    photos(folder / "images")
    (folder / "instances.json").write_text(json.dumps(values or coco_values()))
    return folder


def voc_text(name: str, objects: str | None = None) -> str:
    height, width = SIZES[name]
    found = "".join(
        f"<object><name>{NAMES[label]}</name><difficult>{int(label == 0)}</difficult><bndbox>"
        f"<xmin>{left + 1}</xmin><ymin>{top + 1}</ymin><xmax>{right}</xmax><ymax>{bottom}</ymax>"
        "</bndbox></object>"
        for label, top, left, bottom, right in BOXES[name]
    )
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation>{size}{found if objects is None else objects}</annotation>"


def voc(folder: Path) -> Path:
    photos(folder / "JPEGImages")
    (folder / "Annotations").mkdir()
    for name in SIZES:
        (folder / "Annotations" / f"{name}.xml").write_text(voc_text(name))
    return folder


def yolo(folder: Path, names: str = "nc: 2\nnames: ['person', 'dog']\n") -> Path:
    photos(folder / "images")
    (folder / "labels").mkdir()
    (folder / "data.yaml").write_text(f"train: images\n{names}")
    for name, (height, width) in SIZES.items():
        lines = [
            f"{label} {(left + right) / 2 / width} {(top + bottom) / 2 / height} "
            f"{(right - left) / width} {(bottom - top) / height}"
            for label, top, left, bottom, right in BOXES[name]
        ]
        if lines:  # a photo without boxes needs no file
            (folder / "labels" / f"{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


LAYOUTS: dict[str, Callable[[Path], Path]] = {"coco": coco, "voc": voc, "yolo": yolo}
EVERY = pytest.mark.parametrize("layout", LAYOUTS)


def check(dataset: Dataset, *, crowds: bool) -> None:
    assert dataset.boxes is not None
    assert dataset.answered
    assert dataset.labels is None
    assert [Path(dataset.describe(i)).stem for i in range(3)] == list(BOXES)
    names = dataset.boxes.class_names
    for i, expected in enumerate(BOXES.values()):
        found = dataset.boxes.of(i)
        assert [names[label] for label in found.labels] == [NAMES[box[0]] for box in expected]
        assert found.corners.dtype == np.float32
        assert found.corners == pytest.approx(
            np.array([box[1:] for box in expected], np.float32).reshape(-1, 4), abs=1e-4
        )
        assert found.crowd.tolist() == [crowds and box[0] == 0 for box in expected]
        height, width = SIZES[list(BOXES)[i]]
        assert dataset.decode(i).size == (width, height)
    assert dataset.remarks == ()


def test_the_three_layouts_are_registered() -> None:
    assert set(LAYOUTS) < {kind.name for kind in dataset_kinds()}


@EVERY
def test_the_same_boxes_from_each_layout(tmp_path: Path, layout: str) -> None:
    folder = LAYOUTS[layout](tmp_path / "test")
    dataset = open_dataset(str(folder))
    check(dataset, crowds=layout != "yolo")
    assert dataset.role is SplitRole.TEST
    subset = dataset.subset(np.array([2, 1]))
    assert subset.boxes is not None
    assert [len(subset.boxes.of(i)) for i in range(2)] == [1, 0]


@EVERY
def test_a_folder_of_images_inside_is_still_a_split(tmp_path: Path, layout: str) -> None:
    folder = LAYOUTS[layout](tmp_path / "x")
    inside = "JPEGImages" if layout == "voc" else "images"
    for split in (inside, "unlabelled"):
        dataset = open_dataset(f"{folder}:{split}")
        assert (len(dataset), dataset.boxes) == (3, None)
    with pytest.raises(InvalidInputError, match="the split of a folder is a folder inside it"):
        open_dataset(f"{folder}:nowhere")


def test_the_areas_of_a_coco_json_are_those_of_the_objects(tmp_path: Path) -> None:
    dataset = open_dataset(str(coco(tmp_path / "x")))
    assert dataset.boxes is not None
    assert dataset.boxes.of(0).areas.tolist() == [200, 1200]
    values = coco_values()
    for annotation in values["annotations"]:
        del annotation["area"], annotation["iscrowd"]
    dataset = open_dataset(str(coco(tmp_path / "y", values)))
    assert dataset.boxes is not None
    assert dataset.boxes.of(0).areas.tolist() == [400, 2400]
    assert not dataset.boxes.of(0).crowd.any()


def test_polygons_in_a_coco_json_are_masks_too(tmp_path: Path) -> None:
    values = coco_values()
    assert open_dataset(str(coco(tmp_path / "plain", values))).masks is None
    for annotation in values["annotations"]:
        left, top, width, height = annotation["bbox"]
        right, bottom = left + width, top + height
        annotation["segmentation"] = [[left, top, right, top, right, bottom, left, bottom]]
        annotation["iscrowd"] = 0
    dataset = open_dataset(str(coco(tmp_path / "drawn", values)))
    check(dataset, crowds=False)
    assert dataset.masks is not None
    assert dataset.masks.class_names == ("background", *NAMES)
    mask = dataset.masks.of(2)
    assert (mask.shape, mask[15, 40], mask[5, 40]) == (SIZES["c"], 2, 0)
    for category in values["categories"]:
        category["name"] = "thing"  # boxes may share a name, masks may not
    assert open_dataset(str(coco(tmp_path / "names", values))).masks is None


def test_a_voc_folder_with_masks_has_both_where_a_list_of_masks_does(tmp_path: Path) -> None:
    folder = voc(tmp_path / "set")
    masks, lists = folder / "SegmentationClass", folder / "ImageSets"
    for path in (masks, lists / "Main", lists / "Segmentation"):
        path.mkdir(parents=True)
    for name in "ac":
        mask = Image.new("L", SIZES[name][::-1], 3)
        mask.save(masks / f"{name}.png")
    (lists / "Main" / "train.txt").write_text("b\nc\n")
    (lists / "Segmentation" / "val.txt").write_text("c\n")
    whole, val = open_dataset(str(folder)), open_dataset(f"{folder}:val")
    for dataset, names in ((whole, "ac"), (val, "c")):
        assert dataset.boxes is not None
        assert dataset.masks is not None
        assert [Path(dataset.describe(i)).stem for i in range(len(dataset))] == list(names)
        found = dataset.boxes.of(len(names) - 1)
        assert [dataset.boxes.class_names[label] for label in found.labels] == ["dog"]
        assert dataset.masks.of(len(names) - 1).shape == SIZES["c"]
    train = open_dataset(f"{folder}:train")
    assert (len(train), train.masks) == (2, None)
    (folder / "Annotations" / "a.xml").unlink()
    assert open_dataset(str(folder)).boxes is None


def test_places_of_a_coco_json(tmp_path: Path) -> None:
    root = tmp_path / "set"
    photos(root / "val2017")
    (root / "annotations").mkdir()
    text = json.dumps(coco_values())
    (root / "annotations/instances_val2017.json").write_text(text)
    (root / "annotations/captions_val2017.json").write_text(text)
    check(open_dataset(str(root)), crowds=True)
    assert open_dataset(f"{root}:val2017").role is SplitRole.DEVELOPMENT
    check(open_dataset(str(root / "annotations/instances_val2017.json")), crowds=True)
    photos(root / "train")
    (root / "train/_annotations.coco.json").write_text(text)
    check(open_dataset(f"{root}:train"), crowds=True)
    check(open_dataset(str(root / "train")), crowds=True)


def test_splits_of_voc_and_yolo(tmp_path: Path) -> None:
    folder = voc(tmp_path / "voc")
    (folder / "ImageSets/Main").mkdir(parents=True)
    (folder / "ImageSets/Main/val.txt").write_text("c\na\n")
    dataset = open_dataset(f"{folder}:val")
    assert [Path(dataset.describe(i)).stem for i in range(2)] == ["c", "a"]
    assert dataset.boxes is not None
    assert len(dataset.boxes.class_names) == 20  # Pascal VOC's own, as all names are among them
    yolo(tmp_path / "sets/valid")
    check(open_dataset(f"{tmp_path / 'sets'}:valid"), crowds=False)
    (tmp_path / "sets/valid/data.yaml").rename(tmp_path / "sets/data.yaml")
    check(open_dataset(str(tmp_path / "sets/valid")), crowds=False)
    for kind in ("images", "labels"):
        (tmp_path / "other" / kind).mkdir(parents=True)
        (tmp_path / "sets/valid" / kind).rename(tmp_path / "other" / kind / "train")
    (tmp_path / "other/classes.txt").write_text("person\ndog\n")
    check(open_dataset(f"{tmp_path / 'other'}:train"), crowds=False)
    with pytest.raises(InvalidInputError, match="has the splits train; received no split"):
        open_dataset(str(tmp_path / "other"))


def test_xml_files_beside_their_photos(tmp_path: Path) -> None:
    photos(tmp_path / "x")
    for name in SIZES:
        (tmp_path / "x" / f"{name}.xml").write_text(voc_text(name))
    check(open_dataset(str(tmp_path / "x")), crowds=True)
    (tmp_path / "x/b.xml").unlink()
    (remark,) = open_dataset(str(tmp_path / "x")).remarks
    assert remark.startswith("1 of 3 photos")


@pytest.mark.parametrize(
    "text",
    [
        "names: [person, 'dog']",
        "names: [person,\n  dog]  # two",
        "names:\n  - person\n  - dog\nnc: 2",
        "names:\n- person\n- dog",
        'names:\n  0: person\n  1: "dog"\nother: 3',
        "nc: 2\nnames: {0: person, 1: dog}",
    ],
)
def test_names_in_a_data_yaml(text: str) -> None:
    assert yaml_names(text) == NAMES


@pytest.mark.parametrize("text", ["names: [a, b", "names:\n  0: a\n  2: c", "names: several"])
def test_odd_names_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names"):
        yaml_names(text)


def changed(key: str, **values: Any) -> dict[str, Any]:
    found = coco_values()
    found[key][0] |= values
    return found


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (changed("annotations", category_id=2), 'the category_id of every.*list "categories".* 2 '),
        (changed("annotations", image_id=99), 'the image_id of every.*in its list "images".* 99 '),
        (changed("annotations", bbox=[30, 5, 40, 9]), "a box lies in its photo.*right 70.*60x40"),
        (changed("annotations", bbox=[-3, 5, 20, 9]), "a box lies in its photo, up to 1 pixel"),
        (changed("annotations", bbox=[9, 9, -4, 9]), "no negative height or width.*right 5"),
        (changed("annotations", bbox=[9, 9, float("nan"), 9]), "the edges of a box are finite"),
        (changed("annotations", bbox=[9, 9, 9]), r"a bbox = \[left, .*received \[9, 9, 9\] for "),
        (changed("annotations", bbox=None), "a bbox = .*received none for .* in .*json"),
        (changed("annotations", area=-4), "a number of pixels from 0 on; received -4"),
        (changed("annotations", area=float("nan")), "from 0 on; received nan"),
        (changed("images", file_name="z.png"), "the photos that .* names .*z.png, which does not"),
        (changed("images", file_name="../../p.png"), "names photos in its folder|does not exist"),
        (changed("images", width=61), "photos of the stated size.*60x40 pixels, annotated as 61x"),
        (changed("images", id=10), "twice"),
        ({"images": [], "annotations": 3, "categories": []}, "a COCO JSON has the lists"),
        ({"images": [], "annotations": [], "categories": []}, "at least one image"),
    ],
)
def test_a_coco_json_that_breaks_a_rule_is_one_sentence(
    tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidInputError, match=message) as caught:
        open_dataset(str(coco(tmp_path / "x", values)))
    assert len(str(caught.value).splitlines()) == 1


def test_a_json_of_other_photos_of_equal_names_is_found_when_they_are_decoded(
    tmp_path: Path,
) -> None:
    dataset = open_dataset(str(coco(tmp_path / "x")))
    Image.new("RGB", (5, 5)).save(tmp_path / "x/images/b.png")
    with pytest.raises(InvalidInputError, match="photos of the stated size"):
        dataset.decode(1)


def test_boxes_without_area_are_counted_and_a_pixel_outside_is_cut(tmp_path: Path) -> None:
    values = coco_values()
    values["annotations"][0]["bbox"] = [9, 9, 0, 4]
    values["annotations"][1]["bbox"] = [-0.5, 0, 61, 40.9]
    dataset = open_dataset(str(coco(tmp_path / "x", values)))
    assert dataset.boxes is not None
    assert dataset.boxes.of(0).corners.tolist() == [[0, 0, 40, 60]]
    assert dataset.remarks == (
        f"1 box without an area is left out of the annotations of {tmp_path / 'x'}",
    )


OBJECT = "<object><name>dog</name><bndbox>{}</bndbox></object>"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<annotation><object>", "a Pascal VOC file is XML"),
        (voc_text("a", "<object><name>dog</name></object>"), "no bndbox/ymin"),
        (voc_text("a", OBJECT.format("<xmin>1</xmin><ymin>1</ymin><xmax>99</xmax><ymax>9</ymax>")),
         "a box lies in its photo"),
        (voc_text("b"), "photos of the stated size"),
        ('<!DOCTYPE a [<!ENTITY x "y">]><annotation/>', "a document type"),
    ],
)  # fmt: skip
def test_an_xml_that_breaks_a_rule_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    folder = voc(tmp_path / "x")
    (folder / "Annotations/a.xml").write_text(text)
    with pytest.raises(InvalidInputError, match=message) as caught:
        open_dataset(str(folder))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2 0.5 0.5 0.1 0.1", "numbers from 0 to 1, as many as have names; received 2 in"),
        ("-1 0.5 0.5 0.1 0.1", "numbers from 0 to 1"),
        ("0.5 0.5 0.5 0.1 0.1", "numbers from 0 to 1"),
        ("0 0.5 0.5 0.1", "4 numbers on a line"),
        ("dog 0.5 0.5 0.1 0.1", "a YOLO file has a class number"),
        ("0 0.9 0.5 0.4 0.1", "a box lies in its photo"),
        ("0 5 8 20 30", "a box lies in its photo"),
    ],
)
def test_a_text_that_breaks_a_rule_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    folder = yolo(tmp_path / "x")
    (folder / "labels/a.txt").write_text(text)
    with pytest.raises(InvalidInputError, match=message) as caught:
        open_dataset(str(folder))
    assert len(str(caught.value).splitlines()) == 1


def test_labels_of_other_photos_and_classes_without_names_are_refused(tmp_path: Path) -> None:
    folder = yolo(tmp_path / "x")
    for path in (folder / "labels").iterdir():
        path.rename(path.with_name(f"z{path.name}"))
    with pytest.raises(InvalidInputError, match="have the names of their photos"):
        open_dataset(str(folder))
    folder = yolo(tmp_path / "y")
    (folder / "data.yaml").unlink()
    with pytest.raises(InvalidInputError, match="the names of YOLO's classes are a list"):
        open_dataset(str(folder))


def test_a_json_of_labels_is_none_of_coco(tmp_path: Path) -> None:
    photos(tmp_path / "x")
    (tmp_path / "x/labels.json").write_text(json.dumps({"a.png": "cat", "b.png": "dog"}))
    assert open_dataset(str(tmp_path / "x/labels.json")).boxes is None
