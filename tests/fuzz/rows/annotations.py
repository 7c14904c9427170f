"""What is known of pictures: labels, targets, boxes and masks."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from tests.fuzz.parser import Parser
from tests.fuzz.rows.pictures import read_images, write_image, write_list


def _label_csv(path: Path) -> None:
    write_list(path)
    names = path.read_text(encoding="utf-8").splitlines()
    lines = ["file,label", *(f"{name},class {name}" for name in names)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _label_json(path: Path) -> None:
    write_list(path)
    names = path.read_text(encoding="utf-8").splitlines()
    labels = {name: number for number, name in enumerate(names)}
    path.write_text(json.dumps(labels), encoding="utf-8")


def _target_csv(path: Path) -> None:
    write_list(path)
    names = path.read_text(encoding="utf-8").splitlines()
    lines = ["file,age,glad", *(f"{name},{number}.5,1" for number, name in enumerate(names))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _target_json(path: Path) -> None:
    write_list(path)
    names = path.read_text(encoding="utf-8").splitlines()
    rows = {name: {"age": number + 0.5, "glad": 1} for number, name in enumerate(names)}
    path.write_text(json.dumps(rows), encoding="utf-8")


def _read_boxes(path: Path) -> object:
    from calibration_data.datasets.base import open_dataset

    dataset = open_dataset(str(path))
    assert dataset.boxes is not None
    return [dataset.boxes.of(i) for i in range(len(dataset))]


def _coco(path: Path) -> None:
    write_image(path.parent / "0.png")
    values = {
        "images": [{"id": 1, "file_name": "0.png", "width": 24, "height": 24}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 3, "bbox": [2, 3, 4.5, 6], "area": 20}
        ],
        "categories": [{"id": 3, "name": "dog"}],
    }
    path.write_text(json.dumps(values), encoding="utf-8")


def _coco_masks(path: Path) -> None:
    write_image(path.parent / "0.png")
    runs = {"counts": [100, 30, 446], "size": [24, 24]}
    values = {
        "images": [{"id": 1, "file_name": "0.png", "width": 24, "height": 24}],
        "annotations": [
            {"image_id": 1, "category_id": 3, "segmentation": [[2, 2, 9, 2, 9, 9, 2, 9]]},
            {"image_id": 1, "category_id": 5, "iscrowd": 1, "segmentation": runs},
        ],
        "categories": [{"id": 3, "name": "dog"}, {"id": 5, "name": "cat"}],
    }
    path.write_text(json.dumps(values), encoding="utf-8")


def _read_coco_masks(path: Path) -> object:
    from calibration_data.coco_masks import read_coco_masks

    found = read_coco_masks(path)
    return [found.mask(i) for i in range(len(found.images))]


def _mask(path: Path) -> None:
    from PIL import Image

    image = Image.fromarray(np.arange(144, dtype=np.uint8).reshape(12, 12) % 3)
    image.putpalette(list(range(256)) * 3)
    image.save(path)


def _read_mask(path: Path) -> object:
    from calibration_data.mask_files import read_mask

    return read_mask(path)


def _voc(path: Path) -> None:
    write_image(path.with_suffix(".png"))
    path.write_text(
        "<annotation><size><width>24</width><height>24</height></size><object><name>dog</name>"
        "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>9</xmax><ymax>20</ymax></bndbox></object>"
        "</annotation>",
        encoding="utf-8",
    )


def _read_voc(path: Path) -> object:
    return _read_boxes(path.parent)


def _yolo(path: Path) -> None:
    path.write_text("0 0.5 0.5 0.25 0.5\n1 0.4 0.4 0.3 0.3\n", encoding="utf-8")


def _read_yolo(path: Path) -> object:
    with tempfile.TemporaryDirectory(dir=path.parent) as name:
        folder = Path(name)
        for inside in ("images", "labels"):
            (folder / inside).mkdir()
        write_image(folder / "images/0.png")
        (folder / "classes.txt").write_text("dog\ncat\n", encoding="utf-8")
        shutil.copy(path, folder / "labels/0.txt")
        return _read_boxes(folder)


def _names(path: Path) -> None:
    path.write_text("train: images\nnc: 2\nnames:\n  0: dog\n  1: 'cat'\n", encoding="utf-8")


def _read_names(path: Path) -> object:
    from calibration_data.datasets.yolo import class_names

    return class_names(path.parent, path.parent)


ANNOTATIONS = (
    Parser("label csv", "data.csv", _label_csv, read_images),
    Parser("label json", "data.json", _label_json, read_images),
    Parser("target csv", "data.csv", _target_csv, read_images),
    Parser("target json", "data.json", _target_json, read_images),
    Parser("coco json", "boxes.json", _coco, _read_boxes),
    Parser("coco masks", "masks.json", _coco_masks, _read_coco_masks),
    Parser("mask", "mask.png", _mask, _read_mask),
    Parser("voc xml", "0.xml", _voc, _read_voc),
    Parser("yolo text", "0.txt", _yolo, _read_yolo),
    Parser("yolo names", "data.yaml", _names, _read_names),
)
