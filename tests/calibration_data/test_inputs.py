"""Contracts of grey and n-channel images, and of plain arrays of numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from calibration_data.channels import ChannelOrder, channels_name, parsed_channels
from calibration_data.contract import ContractRequest, resolve_contract
from calibration_data.contract_file import read_contract
from calibration_data.datasets.base import open_dataset
from calibration_data.image_files import decode_file
from calibration_data.preprocessing import Crop, Preprocessing
from calibration_data.stream import require_fit, stream
from foundation.errors import InvalidInputError

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8)
GREY = Preprocessing((9, 12), Crop.EXACT, channels=ChannelOrder.GREY)
FOUR = Preprocessing((9, 12), Crop.EXACT, channels=4, mean=(0.0,), std=(1.0,))
VECTOR = Preprocessing.of_arrays((3,), mean=(1.0, 2.0, 3.0), std=(2.0,))


@pytest.mark.parametrize(
    ("contract", "shape"),
    [
        (GREY, (9, 12, 1)),
        (FOUR, (9, 12, 4)),
        (Preprocessing((9, 12), Crop.EXACT), (9, 12, 3)),
        (VECTOR, (3,)),
        (Preprocessing.of_arrays((49, 10, 1)), (49, 10, 1)),
    ],
)
def test_the_shape_is_that_of_the_tensor(contract: Preprocessing, shape: tuple[int, ...]) -> None:
    assert contract.shape == shape
    assert Preprocessing.from_dict(contract.to_dict()) == contract


def test_colours_become_luminance_for_grey_and_grey_stays() -> None:
    expected = np.asarray(Image.fromarray(PIXELS).convert("L"))
    for picture in (PIXELS, Image.fromarray(PIXELS), expected, expected[..., None]):
        np.testing.assert_array_equal(GREY.pixels(picture), expected[..., None])
    np.testing.assert_allclose(
        GREY.tensor(PIXELS)[..., 0], (expected - 127.5) / 127.5, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("crop", [Crop.STRETCH, Crop.CENTER, Crop.PAD])
def test_grey_images_are_fitted_as_colours_are(crop: Crop) -> None:
    size, short = ((12, 14), None) if crop is Crop.PAD else ((6, 5), 7 * (crop is Crop.CENTER))
    grey = np.repeat(PIXELS[..., :1], 3, axis=-1)
    colours = Preprocessing(size, crop, short or None)
    single = Preprocessing(size, crop, short or None, channels=ChannelOrder.GREY)
    np.testing.assert_array_equal(single.pixels(grey)[..., 0], colours.pixels(grey)[..., 1])


def test_channels_without_names_are_resized_one_by_one() -> None:
    pixels = np.concatenate([PIXELS, np.zeros((9, 12, 1), np.uint8)], axis=-1)
    contract = Preprocessing((5, 6), Crop.STRETCH, channels=4)
    fitted = contract.pixels(pixels)
    assert fitted.shape == (5, 6, 4)
    rgb = Preprocessing((5, 6), Crop.STRETCH).pixels(PIXELS)
    np.testing.assert_array_equal(fitted[..., :3], rgb)  # not weighted by a transparent channel
    assert not fitted[..., 3].any()


def test_transparency_stays_for_four_channels_alone(tmp_path: Path) -> None:
    alpha = np.arange(108, dtype=np.uint8).reshape(9, 12)
    whole = np.dstack([PIXELS, alpha])
    Image.fromarray(whole, "RGBA").save(tmp_path / "a.png")
    decoded = decode_file(tmp_path / "a.png")
    np.testing.assert_array_equal(FOUR.pixels(decoded), whole)
    rgb = Preprocessing((9, 12), Crop.EXACT)
    np.testing.assert_array_equal(rgb.pixels(decoded), PIXELS)
    with pytest.raises(InvalidInputError, match="4 channels; received 3 channels"):
        FOUR.pixels(Image.fromarray(PIXELS))


def test_arrays_are_fed_with_mean_and_std_of_each_feature() -> None:
    assert VECTOR.tensor(np.array([3, 2, 1])).tolist() == [1.0, 0.0, -1.0]
    assert VECTOR.tensor(np.array([3.0, 2.0, 1.0])).dtype == np.float32
    as_it_is = Preprocessing.of_arrays((2, 3, 1))
    values = np.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(as_it_is.tensor(values), values[..., None])


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (np.zeros((3, 1, 1)), r"shape \[3\].*received \[3, 1, 1\]"),
        (np.zeros(4), r"shape \[3\].*received \[4\]"),
        (np.array([0.0, np.nan, 0.0]), "finite"),
        (np.array([0.0, 1e39, 0.0]), "beyond 3.4e38"),
        (np.array([1j, 0, 0]), "complex128"),
        (Image.new("RGB", (3, 3)), "received an image of 3x3"),
    ],
)
def test_other_examples_are_refused(example: Any, words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        VECTOR.tensor(example)


def test_a_dataset_of_vectors_is_streamed(tmp_path: Path) -> None:
    values = np.arange(15, dtype=np.float64).reshape(5, 3)
    np.savez(tmp_path / "a.npz", x=values, y=np.arange(5))
    dataset = open_dataset(str(tmp_path / "a.npz"))
    require_fit(dataset, VECTOR)
    (batch,) = stream(dataset, VECTOR)
    np.testing.assert_allclose(batch.images, (values - [1, 2, 3]) / 2)
    with pytest.raises(InvalidInputError, match=r"image 0 of .*a\.npz"):
        require_fit(dataset, GREY)


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ('size = [9, 12]\nchannels = "grey"\nmean = 0\nstd = 255\n', (9, 12, 1)),
        ("size = [9, 12]\nchannels = 1\n", (9, 12, 1)),
        ("size = [9, 12]\nchannels = 4\nmean = [1, 2, 3, 4]\n", (9, 12, 4)),
        ("shape = [49, 10, 1]\n", (49, 10, 1)),
        ("shape = [3]\nmean = [1, 2, 3]\nstd = [1, 2, 3]\n", (3,)),
    ],
)
def test_contracts_in_toml(tmp_path: Path, text: str, shape: tuple[int, ...]) -> None:
    (tmp_path / "a.toml").write_text(text, encoding="utf-8")
    assert read_contract(tmp_path / "a.toml").shape == shape


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"size": [8, 8], "channels": "cmyk"}, "cmyk"),
        ({"size": [8, 8], "channels": 0}, "channels = 0"),
        ({"size": [8, 8], "channels": True}, "channels = True"),
        ({"size": [8, 8], "channels": "grey", "mean": [1, 2, 3]}, "as many as channels"),
        ({"size": [8, 8], "channels": 4, "std": [1, 2]}, "4, one per channel"),
        ({"shape": [3], "size": [8, 8]}, "which are not resized; received size"),
        ({"shape": [3], "channels": "grey"}, "which are not resized; received channels"),
        ({"shape": []}, "whole numbers above zero"),
        ({"shape": [0]}, "whole numbers above zero"),
        ({"shape": 3}, "shape = 3"),
        ({"shape": [2.5]}, "2.5"),
        ({"shape": [4, 3], "mean": [1, 2]}, "one per entry of the last axis"),
        ({"mean": 1}, "needs size"),
    ],
)
def test_impossible_contracts_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        Preprocessing.from_dict(values)


def test_one_and_three_channels_have_names() -> None:
    assert [parsed_channels(n) for n in (1, 3, "4", "gray")] == [
        ChannelOrder.GREY, ChannelOrder.RGB, 4, ChannelOrder.GREY,
    ]  # fmt: skip
    assert channels_name(4) == "4_channels"


def _resolved(shape: tuple[int, ...], **changes: Any) -> Preprocessing:
    pixels = changes.pop("takes_pixels", False)
    own = changes.pop("own", None)
    request = ContractRequest(**changes)
    model = Path("net.keras")
    return resolve_contract(request, own=own, model_path=model, shape=shape, takes_pixels=pixels)


@pytest.mark.parametrize(
    ("shape", "changes", "expected"),
    [
        ((7,), {}, Preprocessing.of_arrays((7,))),
        ((49, 10), {"std": (2.0,)}, Preprocessing.of_arrays((49, 10), std=(2.0,))),
        ((49, 10, 1), {"plain": True}, Preprocessing.of_arrays((49, 10, 1))),
        (
            (8, 9, 1),
            {"mean": (0.0,), "std": (255.0,)},
            Preprocessing(
                (8, 9), Crop.STRETCH, channels=ChannelOrder.GREY, mean=(0.0,), std=(255.0,)
            ),
        ),
        (
            (8, 9, 3),
            {"takes_pixels": True},
            Preprocessing((8, 9), Crop.STRETCH, mean=(0.0,), std=(1.0,)),
        ),
    ],
)
def test_a_contract_follows_from_the_shape_of_the_input(
    shape: tuple[int, ...], changes: dict[str, Any], expected: Preprocessing
) -> None:
    assert _resolved(shape, **changes) == expected


@pytest.mark.parametrize(
    ("shape", "changes", "words"),
    [
        ((9, 12, 3), {"own": GREY}, "which has 3; received channels = 'grey', which is 1"),
        ((9, 12, 1), {"own": GREY, "channels": 4}, "give --channels grey"),
        ((9, 12), {"own": GREY}, r"received \[9, 12, 1\], of images"),
        ((4,), {"own": VECTOR}, r"\[4\]; received \[3\]"),
        ((3,), {"own": VECTOR, "crop": Crop.EXACT}, "received --crop"),
        ((9, 12, 3), {"takes_pixels": True, "mean": (1.0,)}, "mean 0 and std 1"),
        ((49, 10, 1), {}, "--channels plain"),
    ],
)
def test_contracts_that_do_not_fit_the_model(
    shape: tuple[int, ...], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        _resolved(shape, **changes)
