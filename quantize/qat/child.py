"""Training with quantizers, in a separate process: ``python -m quantize.qat.child FOLDER``.

The student starts as the plan and learns to compute the float network's scores on the calibration
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

HELD_OUT = 5
"""One image in so many is held out from training and judges each epoch."""

PROGRESS = "progress "
"""Prefix of a line to the parent, before the number of images that are done."""


def train(job: Job, advance: Callable[[int], None]) -> Trained:
    """Train the integers of a plan.

    Args:
        job: network, plan, at least two images, and settings.
        advance: called with each number of images that are done.

    Raises:
        InvalidInputError: a learning rate at which the loss becomes infinite.
        UnsupportedError: an operator that cannot be trained.
    """
    import tensorflow as tf
    import tf_keras

    settings, count = job.settings, len(job.images)
    tf_keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    order = np.random.default_rng(settings.seed).permutation(count)
    held_out, fit = np.split(order, [max(1, count // HELD_OUT)])
    batch = min(settings.batch, len(fit))
    targets = _scores(network(job.graph, batch), job.images, np.arange(count), batch)
    student = network(job.graph, batch, job.plan)
    powers = [float(np.mean(np.square(target))) or 1.0 for target in targets]

    def noise() -> float:
        outputs = zip(_scores(student, job.images, held_out, batch), targets, powers, strict=True)
        shares = [float(np.mean(np.square(s - t[held_out]))) / power for s, t, power in outputs]
        return sum(shares) / len(shares)

    noises, best, best_epoch = [noise()], _values(student), 0
    step = _step(student, powers, settings.learning_rate, settings.epochs * (len(fit) // batch))
    for epoch in range(1, settings.epochs + 1):
        shuffled = np.random.default_rng((settings.seed, epoch)).permutation(fit)
        for start in range(0, len(fit) - batch + 1, batch):
            numbers = np.sort(shuffled[start : start + batch])
            wanted = [tf.constant(target[numbers]) for target in targets]
            loss = float(step(tf.constant(job.images[numbers]), wanted))
            if not np.isfinite(loss):
                raise InvalidInputError(
                    "training with quantizers stays finite",
                    received=f"a loss of {loss} in epoch {epoch}",
                    remedy="lower --qat-learning-rate",
                )
            advance(batch)
        noises.append(noise())
        if noises[-1] < min(noises[:-1]):
            best, best_epoch = _values(student), epoch
    return _trained(student, best, tuple(noises), best_epoch, (len(fit), len(held_out)))


def _scores(
    student: Network, images: np.ndarray, numbers: np.ndarray, batch: int
) -> list[np.ndarray]:
    """Outputs of a network for the images with these numbers, float32 ``[images, ...]`` each."""
    import tensorflow as tf

    call = tf.function(lambda x: tf.nest.flatten(student.model(x, training=False)))
    batches: list[list[np.ndarray]] = []
    for start in range(0, len(numbers), batch):
        in_batch = numbers[start : start + batch]
        filled = np.resize(in_batch, batch)  # the model takes whole batches
        results = call(tf.constant(images[filled]))
        batches.append([np.asarray(result)[: len(in_batch)] for result in results])
    return [np.concatenate(results) for results in zip(*batches, strict=True)]


def _step(
    student: Network, powers: list[float], rate: float, steps: int
) -> Callable[[Any, Any], Any]:
    """Function that takes one step of Adam on the noise of the outputs.

    The noise is the mean over the outputs of each one's noise relative to its own power.
    """
    import tensorflow as tf
    import tf_keras

    schedule = tf_keras.optimizers.schedules.CosineDecay(rate, max(1, steps))
    optimizer = tf_keras.optimizers.Adam(schedule)
    variables = [v for layer in student.layers for v in (layer.kernel, layer.bias)]

    @tf.function  # type: ignore[untyped-decorator]
    def step(images: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            outputs = tf.nest.flatten(student.model(images, training=True))
            shares = [
                tf.reduce_mean(tf.square(output - target)) / power
                for output, target, power in zip(outputs, targets, powers, strict=True)
            ]
            loss = shares[0] if len(shares) == 1 else tf.add_n(shares) / len(shares)
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
    best_epoch: int,
    counts: tuple[int, int],
) -> Trained:
    weights: dict[str, np.ndarray] = {}
    biases: dict[str, np.ndarray] = {}
    for layer, (kernel, bias) in zip(student.layers, values, strict=True):
        integers = np.clip(np.round(kernel), -layer.limit, layer.limit).astype(np.int8)
        weights[layer.op.name] = from_layer(layer.op, integers)
        biases[layer.op.name] = bias * np.float32(layer.bias_unit)
    return Trained(weights, biases, noise, best_epoch, *counts)


def main(folder: Path) -> int:
    """Train the job in a folder, and write the result or the error there."""
    try:
        write_result(folder, train(read_job(folder), _report))
    except EdgequantError as error:
        write_error(folder, error)
        return error.exit_code
    return 0


def _report(images: int) -> None:
    sys.stdout.write(f"{PROGRESS}{images}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
