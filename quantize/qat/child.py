"""Training with quantizers, in a process of its own: ``python -m quantize.qat.child FOLDER``.

The student starts as the plan and learns to give the float network's scores on the calibration
images (distillation by matching logits: Hinton et al. 2015, arXiv:1503.02531, section 2.1); no
labels are needed. Rounding is simulated in the forward pass, and gradients pass it unchanged (Jacob
et al. 2018, arXiv:1712.05877, section 3).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from foundation.errors import EdgequantError, InvalidInputError
from quantize.qat.exchange import Job, Trained, read_job, write_error, write_result
from quantize.qat.network import Network, from_layer, network
from quantize.qat.quantizers import WEIGHT_LIMIT

HELD_OUT = 5
"""One image in so many is not trained on and judges each epoch."""

PROGRESS = "progress "
"""How a line to the parent begins; the number of images that are done follows."""


def train(job: Job, advance: Callable[[int], None]) -> Trained:
    """Train the integers of a plan.

    Args:
        job: what and how, with two images or more.
        advance: told of images that are done.

    Raises:
        InvalidInputError: a learning rate at which nothing is finite.
        UnsupportedError: an operator that cannot be trained.
    """
    import tensorflow as tf
    import tf_keras

    settings, count = job.settings, len(job.images)
    tf_keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    order = np.random.default_rng(settings.seed).permutation(count)
    held, fit = np.split(order, [max(1, count // HELD_OUT)])
    batch = min(settings.batch, len(fit))
    targets = _scores(network(job.graph, batch), job.images, np.arange(count), batch)
    student = network(job.graph, batch, job.plan)
    power = float(np.mean(np.square(targets))) or 1.0

    def noise() -> float:
        found = _scores(student, job.images, held, batch)
        return float(np.mean(np.square(found - targets[held]))) / power

    seen, best, kept = [noise()], _values(student), 0
    step = _step(student, power, settings.learning_rate, settings.epochs * (len(fit) // batch))
    for epoch in range(1, settings.epochs + 1):
        shuffled = np.random.default_rng((settings.seed, epoch)).permutation(fit)
        for start in range(0, len(fit) - batch + 1, batch):
            chosen = np.sort(shuffled[start : start + batch])
            loss = float(step(tf.constant(job.images[chosen]), tf.constant(targets[chosen])))
            if not np.isfinite(loss):
                raise InvalidInputError(
                    "training with quantizers stays finite",
                    received=f"a loss of {loss} in epoch {epoch}",
                    remedy="lower --qat-learning-rate",
                )
            advance(batch)
        seen.append(noise())
        if seen[-1] < min(seen[:-1]):
            best, kept = _values(student), epoch
    return _trained(student, best, tuple(seen), kept, (len(fit), len(held)))


def _scores(student: Network, images: np.ndarray, which: np.ndarray, batch: int) -> np.ndarray:
    """What a network gives for some images, float32 ``[images, classes]``."""
    import tensorflow as tf

    call = tf.function(lambda x: student.model(x, training=False))
    found = []
    for start in range(0, len(which), batch):
        chosen = which[start : start + batch]
        filled = np.resize(chosen, batch)  # the model takes whole batches
        found.append(np.asarray(call(tf.constant(images[filled])))[: len(chosen)])
    return np.concatenate(found)


def _step(student: Network, power: float, rate: float, steps: int) -> Callable[[Any, Any], Any]:
    """One step of Adam on the noise of the scores, relative to their power."""
    import tensorflow as tf
    import tf_keras

    schedule = tf_keras.optimizers.schedules.CosineDecay(rate, max(1, steps))
    optimizer = tf_keras.optimizers.Adam(schedule)
    variables = [v for layer in student.layers for v in (layer.kernel, layer.bias)]

    @tf.function  # type: ignore[untyped-decorator]
    def step(images: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            scores = student.model(images, training=True)
            loss = tf.reduce_mean(tf.square(scores - targets)) / power
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    optimizer.build(variables)
    return lambda images, targets: step(images, targets)


def _values(student: Network) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(layer.kernel.numpy(), layer.bias.numpy()) for layer in student.layers]


def _trained(
    student: Network,
    values: list[tuple[np.ndarray, np.ndarray]],
    noise: tuple[float, ...],
    kept: int,
    counts: tuple[int, int],
) -> Trained:
    weights: dict[str, np.ndarray] = {}
    biases: dict[str, np.ndarray] = {}
    for layer, (kernel, bias) in zip(student.layers, values, strict=True):
        integers = np.clip(np.round(kernel), -WEIGHT_LIMIT, WEIGHT_LIMIT).astype(np.int8)
        weights[layer.op.name] = from_layer(layer.op, integers)
        biases[layer.op.name] = bias * np.float32(layer.bias_unit)
    return Trained(weights, biases, noise, kept, *counts)


def main(folder: Path) -> int:
    """Train what lies in a folder, and leave the result or the error there."""
    try:
        write_result(folder, train(read_job(folder), _tell))
    except EdgequantError as error:
        write_error(folder, error)
        return error.exit_code
    return 0


def _tell(images: int) -> None:
    sys.stdout.write(f"{PROGRESS}{images}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
