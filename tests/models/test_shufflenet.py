"""Channel shuffle, grouped convolutions and widths of the two ShuffleNets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foundation.errors import InvalidInputError
from models.loading.files import load_keras_file
from models.shufflenet_v1 import CHANNELS, GroupStage, stem_channels
from models.shufflenet_v2 import STAGES
from models.shuffling import channel_shuffle, conv_norm
from models.spec import model_spec
from tests.models.networks import randomize, scores

NAMES = ("shufflenet_v1_g1", "shufflenet_v1_g3", "shufflenet_v1_g8", "shufflenet_v2")


@settings(max_examples=15, deadline=None)
@given(groups=st.integers(1, 8), each=st.integers(1, 4), size=st.integers(1, 3))
def test_a_shuffle_deals_channels_out_in_turn(groups: int, each: int, size: int) -> None:
    image = keras.Input((size, size + 1, groups * each))
    model = keras.Model(image, channel_shuffle(image, groups, "shuffle"))
    x = np.random.default_rng(0).normal(size=(2, *image.shape[1:])).astype(np.float32)
    dealt = [i * each + j for j in range(each) for i in range(groups)]
    np.testing.assert_array_equal(model(x), x[..., dealt])


def test_a_grouped_convolution_sees_its_group_alone() -> None:
    image = keras.Input((2, 2, 6))
    model = keras.Model(image, conv_norm(image, 9, groups=3, name="grouped"))
    randomize(model)
    x = np.random.default_rng(0).normal(size=(1, 2, 2, 6)).astype(np.float32)
    before = np.asarray(model(x, training=False))
    x[..., 2:4] += 1
    changed = np.abs(np.asarray(model(x, training=False)) - before).max((0, 1, 2)) > 0
    assert changed.tolist() == [False] * 3 + [True] * 3 + [False] * 3


@pytest.mark.parametrize("groups", CHANNELS)
@pytest.mark.parametrize("alpha", [0.25, 0.35, 0.5, 1.0, 1.5, 2.0])
def test_groups_divide_the_channels_of_every_width(groups: int, alpha: float) -> None:
    spec = model_spec(f"shufflenet_v1_g{groups}").resized(32)
    cut = replace(spec, alpha=alpha, stages=tuple(replace(s, repeats=1) for s in spec.stages))
    model = cut.build(cut)
    assert stem_channels(alpha, groups) % groups == 0
    last = model.get_layer("stage4_unit1_join").output.shape[-1]
    assert last == pytest.approx(4 * CHANNELS[groups] * alpha, abs=2 * groups)


@pytest.mark.parametrize(
    ("alpha", "channels"),
    # Ma et al. 2018, table 5; between its widths, in proportion to width 1.0.
    [(0.5, 48), (1.0, 116), (1.5, 176), (2.0, 244), (0.75, 88), (0.01, 2)],
)
def test_widths_of_the_second(alpha: float, channels: int) -> None:
    assert STAGES[0].at(alpha) == channels


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow) if name == "shufflenet_v1_g8" else name
        for name in NAMES
    ],
)
def test_a_saved_network_answers_the_same(name: str, tmp_path: Path) -> None:
    spec = model_spec(name).resized(32)
    contract = spec.preprocessing.with_labels(())
    stages = tuple(replace(s, repeats=2) for s in spec.stages[:2])
    spec = replace(spec, stages=stages, classes=10, alpha=0.5, preprocessing=contract)
    model = spec.build(spec)
    randomize(model)
    model.save(tmp_path / "saved.keras")
    loaded = load_keras_file(tmp_path / "saved.keras")
    np.testing.assert_array_equal(scores(loaded, 32), scores(model, 32))


@pytest.mark.parametrize("row", [(0, 4), (144, 0)])
def test_a_stage_that_no_network_can_have_is_refused(row: tuple[int, int]) -> None:
    with pytest.raises(InvalidInputError, match="at least one unit and one channel"):
        GroupStage(*row)
