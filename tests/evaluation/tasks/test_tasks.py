"""Metrics of the tasks on arrays whose answers are known by hand or by another formula."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, ttest_1samp

from calibration_data.targets import Truth
from calibration_data.task import OutputTask, Task
from evaluation.bootstrap import bootstrap_drop
from evaluation.metrics import AccuracyDrop
from evaluation.scores import Outputs
from evaluation.task import TaskKind, evaluate, task_kinds
from evaluation.tasks.embedding import nearest
from foundation.errors import InvalidInputError
from tests.evaluation.detections import drawn_detections
from tests.evaluation.segments import drawn_masks

KINDS = task_kinds()
EVERY = pytest.mark.parametrize("kind", KINDS.values(), ids=str)


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float32)[:, None]


def drawn(kind: TaskKind, n: int = 40, seed: int = 0) -> Outputs:
    """Outputs of a file near those of a float network, with targets that both mostly meet."""
    if kind.task is Task.DETECTION:
        return drawn_detections(n, seed=seed)
    if kind.task is Task.SEGMENTATION:
        return drawn_masks(n, seed=seed)
    rng = np.random.default_rng(seed)
    width = 1 if kind.task is Task.BINARY else 4
    exact = rng.normal(0, 1, (n, width))
    noisy = exact + rng.normal(0, 0.4, exact.shape)
    if kind.task.decides:
        targets = (exact + rng.normal(0, 0.5, exact.shape) > 0).astype(np.int64)
        exact, noisy = 1 / (1 + np.exp(-exact)), 1 / (1 + np.exp(-noisy))
        targets = targets[:, 0] if width == 1 else targets
    elif kind.task is Task.REGRESSION:
        targets = exact + rng.normal(0, 0.5, exact.shape)
    else:
        targets = rng.integers(0, 4, n)
    return kind.scores(noisy.astype(np.float32), targets, exact.astype(np.float32))


def test_every_task_has_its_file() -> None:
    assert list(KINDS) == list(Task)


@EVERY
def test_rows_of_a_task_are_whole(kind: TaskKind) -> None:
    names = [metric.name for metric in kind.metrics]
    assert len(set(names)) == len(names)
    assert "sqnr_db" in names
    assert kind.first.needs_targets
    assert not kind.first.needs_reference
    likeness = kind.metric(kind.likeness)
    assert likeness.needs_reference
    assert not likeness.needs_targets
    for metric in kind.metrics:
        text = metric.function.__doc__ or ""
        assert text.split("\n")[0].endswith((".", "``."))


@EVERY
def test_what_is_measured_depends_on_targets_and_reference(kind: TaskKind) -> None:
    both = drawn(kind)
    result = evaluate(both, kind)
    assert set(result.values) == {metric.name for metric in kind.metrics}
    assert all(math.isfinite(value) for value in result.values.values())
    assert result.drop.low <= result.drop.points <= result.drop.high
    assert result.drop.n == 40
    unlabelled = evaluate(kind.scores(both.outputs, None, both.reference), kind)
    assert set(unlabelled.values) == {m.name for m in kind.metrics if not m.needs_targets}
    assert unlabelled.drop is None
    alone = evaluate(kind.scores(both.outputs, both.targets), kind)
    assert set(alone.values) == {m.name for m in kind.metrics if not m.needs_reference}
    for name, value in {**unlabelled.values, **alone.values}.items():
        assert value == result.values[name]


@EVERY
def test_the_drop_is_the_difference_of_the_primary_metric(kind: TaskKind) -> None:
    both = drawn(kind, seed=3)
    before = evaluate(kind.scores(both.reference, both.targets), kind).values
    result = evaluate(both, kind)
    sign = -1 if kind.lower_is_better else 1
    for name, drop in {kind.primary: result.drop, **result.drops}.items():
        lost = sign * (before[name] - result.values[name])
        assert drop.points == pytest.approx(lost, abs=1e-9), name
        assert drop.low < drop.high
    for part in result.parts:
        assert part.drop is not None


@EVERY
def test_equal_outputs_lose_nothing_and_intervals_repeat(kind: TaskKind) -> None:
    both = drawn(kind, seed=5)
    outputs = both.outputs.copy()
    for name in {"noise", "changed"}.intersection(outputs.dtype.names or ()):
        outputs[name] = 0  # rows hold the differences to what they were compared with
    same = evaluate(kind.scores(outputs, both.targets, outputs), kind)
    assert same.drop.points == 0
    assert same.drop.low <= 0 <= same.drop.high
    assert same.sqnr_db == math.inf
    assert same.changed in (0, None)
    assert evaluate(both, kind) == evaluate(both, kind)


def test_binary_by_hand() -> None:
    kind = KINDS[Task.BINARY]
    reference = column(0.9, 0.8, 0.4, 0.2)
    outputs = column(0.9, 0.3, 0.6, 0.2)
    result = evaluate(Outputs(outputs, np.array([1, 1, 0, 0]), reference), kind)
    assert result.values["accuracy"] == 50
    # Pairs of yes and no: .9>.6, .9>.2, .3<.6, .3>.2.
    assert result.values["roc_auc"] == pytest.approx(3 / 4)
    assert result.values["f1"] == 50  # TP 1, FP 1, FN 1
    assert result.values["agreement"] == 50
    drop = result.drop
    assert isinstance(drop, AccuracyDrop)
    assert (drop.points, drop.right_to_wrong, drop.wrong_to_right, drop.changed) == (50, 2, 0, 2)
    assert result.drops["roc_auc"].points == pytest.approx(0.25)
    flips = kind.flips(Outputs(outputs, np.array([1, 1, 0, 0]), reference), str, 9)
    assert [(f.image, f.label, f.before, f.after) for f in flips] == [(1, 1, 1, 0), (2, 0, 0, 1)]
    assert flips[0].margin == pytest.approx(0.3)
    assert flips[0].to_dict(("cat", "dog"))["before"] == "dog"
    assert flips[0].to_dict(("dog",))["after"] == "dog: no"
    assert flips[0].to_dict()["label"] == "yes"


def test_the_auc_is_that_of_mann_and_whitney() -> None:
    rng = np.random.default_rng(1)
    scores = rng.integers(0, 12, 200) / 12  # many ties, as in int8
    true = rng.integers(0, 2, 200)
    expected = mannwhitneyu(scores[true == 1], scores[true == 0]).statistic
    found = evaluate(Outputs(scores.astype(np.float32)[:, None], true), KINDS[Task.BINARY])
    pairs = int(true.sum()) * int((1 - true).sum())
    assert found.values["roc_auc"] == pytest.approx(expected / pairs)


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_a_threshold_is_a_probability_for_logits_too(threshold: float) -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 3, (50, 1)).astype(np.float32)
    true, kind = rng.integers(0, 2, 50), KINDS[Task.BINARY]
    probabilities = (1 / (1 + np.exp(-logits.astype(np.float64)))).astype(np.float32)
    both = [evaluate(Outputs(x, true, None, threshold), kind) for x in (logits, probabilities)]
    assert both[0].values == pytest.approx(both[1].values)


def test_one_answer_alone_has_no_auc() -> None:
    kind = KINDS[Task.BINARY]
    result = evaluate(Outputs(column(0.9, 0.1), np.array([0, 0]), column(0.9, 0.2)), kind)
    assert "roc_auc" not in result.values
    assert set(result.drops) == set()
    assert result.values["f1"] == 0
    quiet = evaluate(Outputs(column(0.1, 0.1), np.array([0, 0])), kind)
    assert set(quiet.values) == {"accuracy"}


def test_multi_label_by_hand() -> None:
    kind = KINDS[Task.MULTI_LABEL]
    true = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 0]])
    outputs = np.array(
        [[0.9, 0.8, 0.1], [0.4, 0.7, 0.2], [0.6, 0.1, 0.6], [0.2, 0.3, 0.1]], np.float32
    )
    reference = outputs.copy()
    reference[0, 1], reference[2, 2] = 0.1, 0.1
    result = evaluate(Outputs(outputs, true, reference), kind)
    # Label 0: yes at ranks 1 and 3; label 1: yes at ranks 2 and 4; label 2 never.
    assert result.values["map"] == pytest.approx(100 * ((1 + 2 / 3) / 2 + (1 / 2 + 2 / 4) / 2) / 2)
    assert result.values["f1_micro"] == pytest.approx(100 * 4 / (4 + 3 + 2))
    assert result.values["f1_macro"] == pytest.approx(50)
    assert result.values["agreement"] == pytest.approx(100 * 10 / 12)
    assert result.values["subset_agreement"] == 50
    assert result.changed == 2
    # In float label 1 is at ranks 1 and 3: 0.7 (yes), 0.3, then 0.1 twice with one yes.
    before = 100 * (1 + 2 / 4) / 2
    assert [(part.index, part.n, part.value, part.drop) for part in result.parts] == [
        (0, 2, pytest.approx(250 / 3), 0),
        (1, 2, pytest.approx(50), pytest.approx(before - 50)),
    ]
    flips = kind.flips(Outputs(outputs, true, reference), str, 9)
    assert [f.to_dict(("cat", "dog"))["after"] for f in flips] == ["dog: yes", "label 2: yes"]


def test_average_precision_takes_equal_scores_together() -> None:
    true = np.array([[1, 1], [0, 1], [1, 0], [0, 1]])
    outputs = np.array([[0.5, 0.9]] * 4, np.float32)
    result = evaluate(Outputs(outputs, true), KINDS[Task.MULTI_LABEL])
    assert result.values["map"] == pytest.approx(100 * (2 / 4 + 3 / 4) / 2)


def test_regression_by_hand() -> None:
    kind = KINDS[Task.REGRESSION]
    targets = np.array([[1.0, 10], [2, 20], [3, 30]])
    outputs = np.array([[1, 12], [2, 20], [4, 29]], np.float32)
    reference = np.array([[1, 11], [2, 20], [3, 30]], np.float32)
    result = evaluate(Outputs(outputs, targets, reference), kind)
    assert result.values["mae"] == pytest.approx((0 + 2 + 0 + 0 + 1 + 1) / 6)
    assert result.values["rmse"] == pytest.approx(math.sqrt((4 + 1 + 1) / 6))
    assert result.values["r2"] == pytest.approx(((1 - 1 / 2) + (1 - 5 / 200)) / 2)
    assert result.values["mean_change"] == pytest.approx(3 / 6)
    assert result.values["max_change"] == 1
    lost = np.array([0.5, 0, 1])
    assert result.drop.points == pytest.approx(0.5)
    expected = ttest_1samp(lost, 0).confidence_interval(0.95)
    assert (result.drop.low, result.drop.high) == pytest.approx((expected.low, expected.high))
    assert [(p.value, p.drop) for p in result.parts] == [
        (pytest.approx(1 / 3), pytest.approx(1 / 3)),
        (pytest.approx(1), pytest.approx(2 / 3)),
    ]
    constant = evaluate(Outputs(outputs, np.ones((3, 2))), kind)
    assert set(constant.values) == {"mae", "rmse"}


def test_maps_are_compared_value_by_value() -> None:
    rng = np.random.default_rng(4)
    reference = rng.normal(0, 1, (3, 4, 5, 2)).astype(np.float32)
    outputs = reference + np.float32(0.5)
    result = evaluate(Outputs(outputs, None, reference), KINDS[Task.REGRESSION])
    assert result.values["max_change"] == pytest.approx(0.5, abs=1e-6)
    assert result.classes == 2


def test_embedding_by_hand() -> None:
    kind = KINDS[Task.EMBEDDING]
    labels = np.array([0, 0, 1, 1, 2])
    reference = np.array([[1, 0], [9, 1], [0, 1], [1, 9], [-1, -1]], np.float32)
    outputs = reference.copy()
    outputs[1] = [1, 4]  # now nearest to 3, of another label; 3 is nearer to 2
    result = evaluate(Outputs(outputs, labels, reference), kind)
    assert nearest(reference).tolist() == [1, 0, 3, 2, 0]
    assert nearest(outputs).tolist() == [1, 3, 3, 2, 0]
    assert result.values["retrieval_at_1"] == 75  # of the four whose label occurs twice
    assert result.values["agreement"] == 80
    turned = (9 * 1 + 1 * 4) / math.sqrt(82 * 17)
    assert result.values["cosine"] == pytest.approx((4 + turned) / 5)
    assert (result.drop.points, result.drop.right_to_wrong, result.drop.n) == (25, 1, 4)


def test_neighbours_in_blocks_are_those_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(6).normal(0, 1, (23, 5))
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    whole = unit @ unit.T - 3 * np.eye(23)
    monkeypatch.setattr("evaluation.tasks.embedding._BLOCK", 4)
    assert nearest(rows).tolist() == whole.argmax(axis=1).tolist()


INTEGERS = np.array([0, 1, 1, 0])
TABLE = np.array([[0, 1, 1], [1, 0, 0], [1, 1, 0], [0, 0, 0]])
FLOATS = np.array([[0.5], [1], [1.5], [2]])


def truth(array: np.ndarray, names: tuple[str, ...] = ()) -> Truth:
    if array.ndim == 1:
        return Truth("set", array, names)
    return Truth("set", None, (), array)


@pytest.mark.parametrize(
    ("task", "array", "width", "expected"),
    [
        (Task.CLASSIFICATION, INTEGERS, 2, INTEGERS),
        (Task.CLASSIFICATION, np.eye(3, dtype=int), 3, np.arange(3)),
        (Task.BINARY, INTEGERS, 1, INTEGERS),
        (Task.BINARY, INTEGERS[:, None] / 1.0, 1, INTEGERS),
        (Task.MULTI_LABEL, TABLE, 3, TABLE),
        (Task.REGRESSION, FLOATS, 1, FLOATS),
        (Task.REGRESSION, INTEGERS, 1, INTEGERS[:, None]),
        (Task.EMBEDDING, INTEGERS, 64, INTEGERS),
        (Task.EMBEDDING, INTEGERS[:, None], 64, INTEGERS),
    ],
)
def test_targets_of_the_task_are_taken(
    task: Task, array: np.ndarray, width: int, expected: np.ndarray
) -> None:
    found = KINDS[task].check(truth(array), OutputTask(task), (width,))
    assert np.array_equal(found, expected)
    assert found.dtype == (np.float64 if task is Task.REGRESSION else np.int64)


@pytest.mark.parametrize(
    ("task", "array", "width", "match"),
    [
        (Task.CLASSIFICATION, FLOATS, 2, "one class for each image; received other targets in set"),
        (Task.CLASSIFICATION, TABLE, 3, "give --task multi-label or --task regression"),
        (Task.CLASSIFICATION, INTEGERS + 1, 2, "labels count the 2 outputs from 0"),
        (Task.BINARY, INTEGERS + 1, 1, "0 for no and 1 for yes.*values from 1 to 2"),
        (Task.BINARY, TABLE, 1, "received 3 columns"),
        (Task.BINARY, FLOATS, 1, "values from 0.5 to 2"),
        (Task.MULTI_LABEL, INTEGERS, 2, "table of 0 and 1, 2 for each.*one class for each image"),
        (Task.MULTI_LABEL, TABLE, 4, "received 3 columns"),
        (Task.MULTI_LABEL, TABLE * 2, 3, "values from 0 to 2"),
        (Task.MULTI_LABEL, TABLE * 0, 3, "zeros only"),
        (Task.REGRESSION, FLOATS, 2, "2 values for each.*received 1 for each image"),
        (Task.REGRESSION, FLOATS[:1], 1, "two images or more; received one image"),
        (Task.EMBEDDING, FLOATS, 8, "which images belong together; received other targets"),
        (Task.EMBEDDING, np.arange(4), 8, "no two images of one identity"),
    ],
)
def test_targets_of_another_task_are_refused_in_one_sentence(
    task: Task, array: np.ndarray, width: int, match: str
) -> None:
    with pytest.raises(InvalidInputError, match=match):
        KINDS[task].check(truth(array), OutputTask(task), (width,))


def test_class_folders_are_no_and_yes_by_the_names_of_the_contract() -> None:
    check = KINDS[Task.BINARY].check
    folders = truth(INTEGERS, ("cat", "dog"))
    assert check(folders, OutputTask(Task.BINARY), (1,)).tolist() == [0, 1, 1, 0]
    turned = OutputTask(Task.BINARY, labels=("dog", "cat"))
    assert check(folders, turned, (1,)).tolist() == [1, 0, 0, 1]
    with pytest.raises(InvalidInputError, match="dog, which is neither of cat, bird"):
        check(folders, OutputTask(Task.BINARY, labels=("cat", "bird")), (1,))
    with pytest.raises(InvalidInputError, match="3 classes"):
        check(truth(INTEGERS, ("a", "b", "c")), OutputTask(Task.BINARY), (1,))
    with pytest.raises(InvalidInputError, match="class names"):
        KINDS[Task.REGRESSION].check(folders, OutputTask(Task.REGRESSION), (1,))


def test_outputs_are_checked_for_every_task() -> None:
    good = np.ones((3, 2), np.float32)
    broken = good.copy()
    broken[1, 0] = np.nan
    with pytest.raises(InvalidInputError, match="NaN or infinity on 1 of 3"):
        Outputs(broken)
    with pytest.raises(InvalidInputError, match="2 targets for 3 images"):
        Outputs(good, np.zeros(2))
    with pytest.raises(InvalidInputError, match="an image and a value"):
        Outputs(good[:0])
    with pytest.raises(InvalidInputError, match="same images"):
        Outputs(good, None, good[:, :1])


def test_many_images_of_many_labels_get_fewer_resamples() -> None:
    def mean(values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        return lambda weights: weights @ values / weights.sum(axis=1)

    rng = np.random.default_rng(0)
    before, after = rng.normal(0, 1, 400), rng.normal(-0.2, 1, 400)
    few = bootstrap_drop(mean(before), mean(after), 400, width=5000)
    many = bootstrap_drop(mean(before), mean(after), 400)
    assert "of 200 resamples" in few.method
    assert "of 2,000 resamples" in many.method
    lost = before - after
    reach = 1.96 * lost.std() / math.sqrt(400)
    assert many.low == pytest.approx(lost.mean() - reach, abs=0.1 * reach)
    assert many.high == pytest.approx(lost.mean() + reach, abs=0.1 * reach)
    assert few.points == many.points == pytest.approx(lost.mean())
    turned = bootstrap_drop(mean(before), mean(after), 400, rises=True)
    assert (turned.low, turned.high) == pytest.approx((-many.high, -many.low))
