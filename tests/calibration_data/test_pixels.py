"""Images of every shape, mode and number of channels become the tensor of the contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from calibration_data.preprocessing import ChannelOrder, Crop, Interpolation, Preprocessing
from foundation.errors import InvalidInputError
from tests.calibration_data.pictures import smooth

EXACT = Preprocessing(size=(4, 6), crop=Crop.EXACT)
SHAPES = [(300, 400), (333, 500), (600, 300), (231, 231), (97, 61), (37, 500)]


def _resized_then_cropped(image: Image.Image, contract: Preprocessing) -> np.ndarray:
    """Centre crop as in torchvision: integer sides, then offsets by round()."""
    assert contract.resize_short_side is not None
    height, width = contract.size
    short = min(image.size)
    sides = [contract.resize_short_side * side // short for side in image.size]
    whole = image.resize(sides, Image.Resampling[contract.interpolation.name])
    left, top = round((sides[0] - width) / 2), round((sides[1] - height) / 2)
    return np.asarray(whole.crop((left, top, left + width, top + height)))


@pytest.mark.parametrize(
    "interpolation", [way for way in Interpolation if way.name in Image.Resampling.__members__]
)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("size", "short_side"), [((96, 96), 110), ((32, 48), 50), ((96, 96), 96)])
def test_a_centre_crop_is_resize_then_crop(
    interpolation: Interpolation, shape: tuple[int, int], size: tuple[int, int], short_side: int
) -> None:
    contract = Preprocessing(size=size, resize_short_side=short_side, interpolation=interpolation)
    image = Image.fromarray(smooth(*shape))
    got = contract.pixels(image).astype(int)
    levels = np.abs(got - _resized_then_cropped(image, contract)).max()
    # Bilinear resamples only the cropped box, whose rounding changes at most one grey level.
    assert levels <= (1 if interpolation is Interpolation.BILINEAR else 0)


def test_stretching_takes_both_sides_to_size() -> None:
    image = Image.fromarray(smooth(50, 31))
    got = Preprocessing(size=(20, 40), crop=Crop.STRETCH).pixels(image)
    np.testing.assert_array_equal(
        got, np.asarray(image.resize((40, 20), Image.Resampling.BILINEAR))
    )


def test_padding_centres_on_black() -> None:
    picture = np.full((2, 3, 3), 9, np.uint8)
    got = Preprocessing(size=(5, 6), crop=Crop.PAD).pixels(picture)
    expected = np.zeros((5, 6, 3), np.uint8)
    expected[1:3, 1:4] = 9
    np.testing.assert_array_equal(got, expected)


def test_a_letterbox_keeps_the_shape_of_the_image_and_fills_the_rest() -> None:
    image = Image.fromarray(smooth(30, 50))
    contract = Preprocessing(size=(20, 20), crop=Crop.LETTERBOX)
    got = contract.pixels(image)
    inner = np.asarray(image.resize((20, 12), Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(got[4:16], inner)
    assert set(got[:4].ravel()) == set(got[16:].ravel()) == {127}
    place = contract.placement(30, 50)
    assert (place.scale, place.offset) == ((0.4, 0.4), (4.0, 0.0))


@pytest.mark.parametrize("channels", [ChannelOrder.RGB, ChannelOrder.BGR])
@pytest.mark.parametrize("as_array", [False, True])
def test_the_fill_of_a_letterbox_has_the_order_of_the_tensor(
    channels: ChannelOrder, as_array: bool
) -> None:
    contract = Preprocessing(
        (6, 6), Crop.LETTERBOX, channels=channels, fill=(1, 2, 3), mean=(0,), std=(1,)
    )
    picture = np.full((2, 4, 3), 200, np.uint8)
    got = contract.tensor(picture if as_array else Image.fromarray(picture))
    assert got[0, 0].tolist() == [1, 2, 3]
    assert got[3, 3].tolist() == [200, 200, 200]


def test_a_letterbox_of_other_channels_fills_them_all() -> None:
    contract = Preprocessing((4, 4), Crop.LETTERBOX, channels=5, fill=(7,))
    got = contract.pixels(np.full((2, 4, 5), 200, np.uint8))
    assert set(got[0].ravel()) == {7}
    assert set(got[1].ravel()) == {200}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"crop": "letterbox", "fill": 256}, "fill must be one whole number from 0 to 255"),
        ({"crop": "letterbox", "fill": [1, 2]}, "or three"),
        ({"crop": "letterbox", "fill": 1.5}, "1.5 where a whole number belongs"),
        ({"crop": "stretch", "fill": 0}, "fill goes with crop = 'letterbox'"),
    ],
)
def test_a_fill_that_cannot_be_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidInputError, match=words):
        Preprocessing.from_dict({"size": [4, 4], **values})


def test_a_fill_survives_being_written_and_read() -> None:
    contract = Preprocessing((4, 4), Crop.LETTERBOX, fill=(1, 2, 3))
    assert Preprocessing.from_dict(contract.to_dict()) == contract


@pytest.mark.parametrize(
    ("crop", "shape"),
    [(Crop.PAD, (5, 6)), (Crop.PAD, (4, 7)), (Crop.EXACT, (3, 6)), (Crop.EXACT, (6, 4))],
)
def test_pictures_that_do_not_fit_are_refused_with_their_size(
    crop: Crop, shape: tuple[int, int]
) -> None:
    with pytest.raises(InvalidInputError, match=rf"4x6 pixels; received {shape[0]}x{shape[1]}"):
        Preprocessing(size=(4, 6), crop=crop).pixels(np.zeros((*shape, 3), np.uint8))


def test_normalization_is_minus_mean_over_std_a_channel() -> None:
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    contract = Preprocessing(
        size=(4, 6), crop=Crop.EXACT, mean=(1.0, 20.0, 30.0), std=(2.0, 4.0, 0.5)
    )
    got = contract.tensor(picture)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, (picture - np.array([1, 20, 30])) / np.array([2, 4, 0.5]))


def test_bgr_swaps_channels_before_mean_and_std() -> None:
    picture = np.zeros((4, 6, 3), np.uint8) + np.array([10, 20, 30], np.uint8)
    contract = Preprocessing(
        size=(4, 6),
        crop=Crop.EXACT,
        channels=ChannelOrder.BGR,
        mean=(30.0, 0.0, 0.0),
        std=(1.0,) * 3,
    )
    np.testing.assert_array_equal(contract.tensor(picture)[0, 0], [0, 20, 10])


def test_default_mean_and_std_take_pixels_to_minus_one_and_one() -> None:
    ends = EXACT.normalize(np.array([[[0, 0, 0], [255, 255, 255]]], np.uint8))
    assert (ends.min(), ends.max()) == (-1.0, 1.0) == EXACT.value_range


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 1)])
def test_grey_arrays_are_repeated(shape: tuple[int, ...]) -> None:
    grey = np.arange(24, dtype=np.uint8).reshape(shape)
    np.testing.assert_array_equal(EXACT.pixels(grey), np.repeat(grey.reshape(4, 6, 1), 3, axis=2))


@pytest.mark.parametrize(
    ("mode", "colour", "rgb"),
    [
        ("1", 1, (255, 255, 255)),
        ("L", 7, (7, 7, 7)),
        ("LA", (7, 0), (7, 7, 7)),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBA", (1, 2, 3, 0), (1, 2, 3)),
        ("CMYK", (0, 255, 0, 0), (255, 0, 255)),
        ("I;16", 0xABCD, (0xAB, 0xAB, 0xAB)),
        ("I;16B", 0xABCD, (0xAB, 0xAB, 0xAB)),
    ],
)
def test_pillow_images_of_every_mode(mode: str, colour: Any, rgb: tuple[int, int, int]) -> None:
    got = EXACT.pixels(Image.new(mode, (6, 4), colour))
    np.testing.assert_array_equal(got.reshape(-1, 3), np.tile(rgb, (24, 1)))


@pytest.mark.parametrize("transparency", [None, 0, bytes([0, 128])])
def test_palette_images(transparency: int | bytes | None) -> None:
    image = Image.new("P", (6, 4), 1)
    image.putpalette([9, 9, 9, 10, 20, 30])
    if transparency is not None:
        image.info["transparency"] = transparency
    np.testing.assert_array_equal(EXACT.pixels(image)[0, 0], [10, 20, 30])


@pytest.mark.parametrize("mode", ["I", "F", "La"])
def test_modes_without_a_known_range_are_refused(mode: str) -> None:
    with pytest.raises(InvalidInputError, match=f"mode {mode} "):
        EXACT.pixels(Image.new(mode, (6, 4)))


@pytest.mark.parametrize(
    ("array", "received"),
    [
        (np.zeros((4, 6, 3), np.float32), "float32"),
        (np.zeros((4, 6, 3), np.uint16), "uint16"),
        (np.zeros((4, 6, 4), np.uint8), "4 channels"),
        (np.zeros((4, 6, 2), np.uint8), "2 channels"),
        (np.zeros(4, np.uint8), r"\[4\]"),
        (np.zeros((1, 4, 6, 3), np.uint8), r"\[1, 4, 6, 3\]"),
    ],
)
def test_arrays_of_another_type_or_channel_count_are_refused(
    array: np.ndarray, received: str
) -> None:
    with pytest.raises(InvalidInputError, match=received):
        EXACT.tensor(array)
