"""Development images: the last of the training set."""

from __future__ import annotations

import numpy as np
import pytest

from calibration_data.datasets.base import SplitRole
from foundation.errors import InvalidInputError
from models.training.data import split_holdout
from tests.models.networks import pictures


def test_the_last_images_are_held_out() -> None:
    dataset = pictures(20)
    fit, development = split_holdout(dataset, 5)
    assert (len(fit), len(development)) == (15, 5)
    np.testing.assert_array_equal(development.labels, dataset.labels[15:])
    np.testing.assert_array_equal(np.asarray(development.decode(0)), np.asarray(dataset.decode(15)))


@pytest.mark.parametrize("role", [SplitRole.TEST, SplitRole.DEVELOPMENT, SplitRole.CALIBRATION])
def test_splits_that_are_not_for_training_are_refused(role: SplitRole) -> None:
    with pytest.raises(InvalidInputError, match=f"a {role.value} split: give the :train split"):
        split_holdout(pictures(20, role), 5)


@pytest.mark.parametrize("holdout", [0, -1, 20, 21])
def test_a_held_out_part_that_leaves_nothing_is_refused(holdout: int) -> None:
    with pytest.raises(InvalidInputError, match=f"{holdout} of 20 images"):
        split_holdout(pictures(20), holdout)
