"""The preprocessing contract as a value: accepted and refused values, and storage."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from calibration_data.channels import channel_count
from calibration_data.contract_file import read_contract, read_labels
from calibration_data.labels import FASHION_MNIST_LABELS, KNOWN_LABELS
from calibration_data.preprocessing import (
    ChannelOrder,
    Crop,
    Interpolation,
    Preprocessing,
)
from calibration_data.segmentation import Segmenter, Upsampling
from foundation.errors import InvalidInputError

STRETCH: dict[str, Any] = {"size": (8, 8), "crop": Crop.STRETCH}

numbers = st.floats(-1e5, 1e5)
scales = st.floats(1e-3, 1e5)
words = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=6)


@st.composite
def contracts(draw: st.DrawFn) -> Preprocessing:
    size = (draw(st.integers(1, 300)), draw(st.integers(1, 300)))
    crop = draw(st.sampled_from(Crop))
    longest = max(size)
    channels = draw(st.sampled_from([*ChannelOrder, 2, 4, 7]))
    count = channel_count(channels)
    return Preprocessing(
        size=size,
        crop=crop,
        resize_short_side=draw(st.integers(longest, 600)) if crop is Crop.CENTER else None,
        interpolation=draw(st.sampled_from(Interpolation)),
        channels=channels,
        mean=tuple(draw(st.lists(numbers, min_size=count, max_size=count))),
        std=tuple(draw(st.lists(scales, min_size=count, max_size=count))),
        labels=tuple(draw(st.lists(words, unique=True, max_size=4))),
    )


@given(contracts())
def test_from_dict_reads_what_to_dict_wrote_through_json(contract: Preprocessing) -> None:
    assert Preprocessing.from_dict(json.loads(json.dumps(contract.to_dict()))) == contract


@given(contracts())
def test_value_range_is_where_pixels_go(contract: Preprocessing) -> None:
    low, high = contract.value_range
    ends = [
        (pixel - m) / s
        for pixel in (0, 255)
        for m, s in zip(contract.mean, contract.std, strict=True)
    ]
    assert low == pytest.approx(min(ends))
    assert high == pytest.approx(max(ends))


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"size": (0, 8)}, "size must be two positive"),
        ({"size": (8, 8, 3)}, "size must be two positive"),
        ({"crop": Crop.CENTER}, "resize_short_side goes with"),
        ({"resize_short_side": 9}, "resize_short_side goes with"),
        ({"crop": Crop.CENTER, "resize_short_side": 7}, "at least the longer side"),
        ({"mean": (1.0, 2.0)}, "mean must be"),
        ({"mean": (float("nan"),) * 3}, "mean must be"),
        ({"std": (float("inf"),) * 3}, "std must be"),
        ({"std": (1.0, 0.0, 1.0)}, "std must be above zero"),
        ({"std": (1.0, -1.0, 1.0)}, "std must be above zero"),
        ({"std": (1e-46,) * 3}, "std must be above zero"),
        ({"labels": ("a", "b", "a")}, "labels must be unique.*'a'"),
        ({"labels": ("a", "")}, "one line of text"),
        ({"labels": ("a", "b\nc")}, "one line of text"),
        ({"labels": ("a", " b")}, "one line of text"),
    ],
)
def test_a_meaningless_contract_is_refused(changes: dict[str, Any], rule: str) -> None:
    with pytest.raises(InvalidInputError, match=rule):
        Preprocessing(**{**STRETCH, **changes})


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "needs size"),
        ({"size": [8, 8], "colour": "rgb"}, "colour"),
        ({"size": 224}, "size = 224"),
        ({"size": [8]}, "height, width"),
        ({"size": [8, 8, 3]}, "height, width"),
        ({"size": "88"}, "height, width"),
        ({"size": [8.5, 8.5]}, "8.5"),
        ({"size": [True, True]}, "True"),
        ({"size": [8, 8], "crop": "middle"}, "middle"),
        ({"size": [8, 8], "crop": 5}, "5"),
        ({"size": [8, 8], "interpolation": "cubic"}, "cubic"),
        ({"size": [8, 8], "channels": "gbr"}, "gbr"),
        ({"size": [8, 8], "mean": "123"}, "'123'"),
        ({"size": [8, 8], "mean": [1, 2]}, "one finite number or three"),
        ({"size": [8, 8], "std": [1, "2", 3]}, "'2'"),
        ({"size": [8, 8], "std": True}, "True"),
        ({"size": [8, 8], "resize_short_side": 9.9}, "9.9"),
        ({"size": [8, 8], "labels": "abc"}, "'abc'"),
        ({"size": [8, 8], "labels": [1, 2]}, "labels"),
    ],
)
def test_plain_values_of_the_wrong_kind_are_refused_by_name(
    values: dict[str, Any], named: str
) -> None:
    with pytest.raises(InvalidInputError, match=named):
        Preprocessing.from_dict(values)


def test_one_number_stands_for_three_channels() -> None:
    contract = Preprocessing.from_dict({"size": [8, 8], "mean": 0, "std": [255]})
    assert contract.mean == (0.0, 0.0, 0.0)
    assert contract.std == (255.0, 255.0, 255.0)


def test_a_short_side_means_a_centre_crop_and_none_means_stretching() -> None:
    assert Preprocessing.from_dict({"size": [8, 8]}).crop is Crop.STRETCH
    assert Preprocessing.from_dict({"size": [8, 8], "resize_short_side": 9}).crop is Crop.CENTER


def test_a_contract_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Preprocessing(**STRETCH).mean = (0.0, 0.0, 0.0)  # type: ignore[misc]


def _toml(folder: Path, text: str) -> Path:
    path = folder / "net.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_toml_with_a_list_of_labels(tmp_path: Path) -> None:
    path = _toml(
        tmp_path,
        'size = [2, 3]\nmean = [1, 2.5, 3]\nstd = 4\nchannels = "bgr"\nlabels = ["a", "b"]',
    )
    assert read_contract(path) == Preprocessing(
        size=(2, 3),
        crop=Crop.STRETCH,
        channels=ChannelOrder.BGR,
        mean=(1.0, 2.5, 3.0),
        std=(4.0, 4.0, 4.0),
        labels=("a", "b"),
    )


@pytest.mark.parametrize("name", sorted(KNOWN_LABELS))
def test_toml_with_a_known_label_list(tmp_path: Path, name: str) -> None:
    labels = read_contract(_toml(tmp_path, f'size = [2, 3]\nlabels = "{name}"')).labels
    assert labels == KNOWN_LABELS[name]()
    assert len(set(labels)) == len(labels) > 1


def test_known_label_lists_are_the_published_ones() -> None:
    imagenet = KNOWN_LABELS["imagenet-1k"]()
    assert (len(imagenet), imagenet[0], imagenet[-1]) == (1000, "n01440764", "n15075141")
    assert list(imagenet) == sorted(imagenet)
    assert KNOWN_LABELS["fashion-mnist"]() == FASHION_MNIST_LABELS
    assert len(FASHION_MNIST_LABELS) == 10


def test_toml_with_a_label_file_beside_it(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes("\ufeffcat\r\ndög \r\n\r\n".encode())
    assert read_contract(_toml(tmp_path, 'size = [2, 3]\nlabels = "names.txt"')).labels == (
        "cat",
        "dög",
    )


def test_toml_with_a_remark_in_place_of_labels(tmp_path: Path) -> None:
    path = _toml(tmp_path, 'size = [2, 3]\nlabels = "as in the paper"')
    assert read_contract(path).labels == ()


@pytest.mark.parametrize("content", [b"size = [", b"\xff\xfe", b"size = [2, 3]\nlabels = 'no.txt'"])
def test_toml_that_cannot_be_read_is_refused_by_path(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.toml"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=str(tmp_path)):
        read_contract(path)
    with pytest.raises(InvalidInputError, match="can be read"):
        read_contract(tmp_path / "absent.toml")
    with pytest.raises(InvalidInputError, match="can be read"):
        read_contract(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a\n\nb\n", b"\xff\xff"])
def test_label_lists_with_holes_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=r"label list.*labels\.txt"):
        read_labels(path)


@pytest.mark.parametrize("shape", [(0, 8, 3), (8, 0, 3), (0, 0), (0, 8, 1)])
@pytest.mark.parametrize("crop", [Crop.STRETCH, Crop.PAD, Crop.CENTER])
def test_an_image_without_a_pixel_is_refused(shape: tuple[int, ...], crop: Crop) -> None:
    short_side = 8 if crop is Crop.CENTER else None
    contract = Preprocessing(size=(8, 8), crop=crop, resize_short_side=short_side)
    with pytest.raises(InvalidInputError, match="one row and one column of pixels") as caught:
        contract.tensor(np.zeros(shape, np.uint8))
    assert f"{shape[0]}x{shape[1]}" in str(caught.value)
    if len(shape) == 2 or shape[2] == 3:
        with pytest.raises(InvalidInputError, match="one row and one column of pixels"):
            contract.pixels(Image.new("RGB", (shape[1], shape[0])))


@pytest.mark.parametrize("crop", [Crop.STRETCH, Crop.LETTERBOX, Crop.CENTER])
@pytest.mark.parametrize("size", [(37, 61), (20, 90)])
def test_the_resize_of_tensorflow_1(crop: Crop, size: tuple[int, int]) -> None:
    import tensorflow as tf

    photo = np.random.default_rng(0).integers(0, 256, (*size, 3)).astype(np.uint8)
    short = 24 if crop is Crop.CENTER else None
    contract = Preprocessing((24, 24), crop, short, Interpolation.TF1_BILINEAR)
    found = contract.pixels(photo)
    place = contract.placement(*size)
    height, width = (round(side * by) for side, by in zip(size, place.scale, strict=True))
    whole = tf.compat.v1.image.resize_bilinear(photo[None], (height, width))[0].numpy()
    canvas = np.full((24, 24, 3), 127.0)
    top, left = (int(offset) for offset in place.offset)
    rows, columns = slice(max(top, 0), top + height), slice(max(left, 0), left + width)
    canvas[rows, columns] = whole[max(-top, 0) :, max(-left, 0) :][:24, :24]
    assert np.abs(found - canvas).max() <= 0.51
    grey = contract.pixels(photo[..., 0])
    np.testing.assert_array_equal(grey[..., 0], found[..., 0])


def test_the_table_of_a_segmenter_states_the_enlargement() -> None:
    values = {"ignored": 255, "upsampling": "align_corners"}
    found = Segmenter.from_dict(values)
    assert found.upsampling is Upsampling.ALIGN_CORNERS
    assert found.to_dict() == values
    assert "upsampling" not in Segmenter().to_dict()
    with pytest.raises(InvalidInputError, match="half_pixel, align_corners; received both"):
        Segmenter.from_dict({"upsampling": "both"})
