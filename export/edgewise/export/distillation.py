"""Training a changed network to give the answers that the network it was made from gives.

Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", https://arxiv.org/abs/1503.02531. The
teacher answers the very pictures that the student sees, augmented (Beyer et al. 2022, "Knowledge distillation: a good
teacher is patient and consistent", https://arxiv.org/abs/2106.05237): few photos are then enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgewise.spec import InputError
from edgewise.spec.progress import Reporter
from edgewise.train.augmentation import Augmentation, augment
from edgewise.train.batches import Batches
from edgewise.train.framework import tf
from edgewise.train.optimization import Optimizer, Schedule
from edgewise.train.pixels import Pixels
from edgewise.train.recipe import Recipe

SMALLEST = 1e-4
"""Least size of a variable that its learning rate is a share of, so that zeros can learn."""


@dataclass(frozen=True)
class FineTuning:
    """How a network is trained after each of its changes.

    Raises:
        InputError: a field is out of range.
    """

    epochs: int = 3  # >= 1, for each of pruning, clustering and quantization
    learning_rate: float = 3e-4
    """Peak, as a share of the typical size (root mean square) of each kernel and bias, above 0 and at most 1. Rounding
    asks for little change; pruning and clustering, of which more has to be repaired, for about 0.003."""
    batch_size: int = 32  # photos, >= 1; fewer photos than that make one batch
    labels: float = 0.0  # weight of the labels in the loss, 0-1; the rest is the teacher's
    optimizer: str = "adamw"  # or "sgd", with Nesterov momentum
    range_decay: float = 1.0  # of the moving averages of activations' ranges, above 0; 1: they stay as calibrated
    seed: int = 0
    augmentation: Augmentation = field(default_factory=lambda: Augmentation(zoom=0.3, light=0.2))

    def __post_init__(self) -> None:
        for name, fits, expected in (
            ("epochs", 1 <= self.epochs <= 1000, "1 to 1000"),
            ("learning_rate", 0 < self.learning_rate <= 1, "above 0, at most 1, usually 0.0001 to 0.01"),
            ("batch_size", 1 <= self.batch_size <= 4096, "1 to 4096"),
            ("labels", 0 <= self.labels <= 1, "0 to 1"),
            ("optimizer", self.optimizer in ("adamw", "sgd"), "adamw or sgd"),
            ("range_decay", 0 < self.range_decay <= 1, "above 0, at most 1"),
        ):
            if not fits:
                raise InputError(f"fine-tuning with {name} {getattr(self, name)!r}", expected)

    def steps(self, photos: int) -> int:
        """Of one training with so many photos; what is left over after the last whole batch of an epoch is not used."""
        return photos // min(self.batch_size, photos) * self.epochs


@dataclass(frozen=True)
class Progress:
    """How a fine-tuning went."""

    steps: int
    loss: float  # mean of the last epoch
    agreement: float  # share of the augmented photos of the last epoch with the teacher's answer, 0-1


def fine_tune(
    student: Any,
    teacher: Any,
    photos: Pixels,
    settings: FineTuning,
    reporter: Reporter,
    *,
    name: str,
    after_epoch: Callable[[], None] = lambda: None,
) -> Progress:
    """Train a network.

    Args:
        student: a ``keras.Model`` from float32 pixels 0-255 to logits; is changed.
        teacher: another.
        photos: training photos and their classes.
        settings: how.
        reporter: is told about the progress.
        name: of the task in the progress.
        after_epoch: is called after each.
    """
    batch_size = min(settings.batch_size, len(photos.labels))
    steps = settings.steps(len(photos.labels))
    train = _Step(student, teacher, settings, steps // settings.epochs)
    with reporter.task(name, steps) as advance:
        for epoch in range(settings.epochs):
            losses, same = [], []
            for images, labels in _batches(photos, settings, batch_size, epoch):
                loss, hits = train(images, labels)
                losses.append(loss)
                same.append(hits / batch_size)
                advance(1, f"loss {loss:.3f}")
            after_epoch()
    return Progress(steps, float(np.mean(losses)), float(np.mean(same)))


def _batches(photos: Pixels, settings: FineTuning, batch_size: int, epoch: int) -> Batches:
    """Of (float32 whole pixels 0-255, int64 labels)."""
    order = np.random.default_rng((settings.seed, epoch)).permutation(len(photos.labels))
    base = int(np.random.default_rng((settings.seed, epoch, 1)).integers(1 << 30))

    def prepare(images: Any, labels: Any, number: Any) -> tuple[Any, Any]:
        # A device is given whole numbers: its input is not rounded any further.
        return tf.round(augment(images, settings.augmentation, (base, number))), labels

    count = len(order) // batch_size
    chosen = [order[number * batch_size : (number + 1) * batch_size] for number in range(count)]
    return Batches(photos, chosen, 0, prepare)


class _Step:
    """One training step, as one graph."""

    def __init__(self, student: Any, teacher: Any, settings: FineTuning, steps: int) -> None:
        self._student, self._teacher, self._settings = student, teacher, settings
        # Folded kernels differ by orders of magnitude, so one step for all would be too long for some.
        self._variables = student.trainable_variables
        recipe = Recipe(weights="none", optimizer=settings.optimizer, weight_decay=0.0, seed=settings.seed)
        self._optimizer = Optimizer(
            self._variables, recipe, Schedule(settings.learning_rate, steps, settings.epochs),
            [_size(variable) for variable in self._variables],
        )  # fmt: skip
        self._train = tf.function(self._graph)

    def __call__(self, images: Any, labels: Any) -> tuple[float, int]:
        """Learn from one batch; gives the loss and how many answers were the teacher's."""
        loss, same = self._train(images, labels)
        return float(loss), int(same)

    def _graph(self, images: Any, labels: Any) -> tuple[Any, Any]:
        taught = tf.stop_gradient(self._teacher(images, training=False))
        with tf.GradientTape() as tape:
            logits = self._student(images, training=True)
            loss = self._loss(logits, taught, labels)
        # The variables of clustered kernels are not used any more.
        unused = tf.UnconnectedGradients.ZERO
        self._optimizer.apply(tape.gradient(loss, self._variables, unconnected_gradients=unused))
        same = tf.equal(tf.argmax(logits, axis=1), tf.argmax(taught, axis=1))
        return loss, tf.reduce_sum(tf.cast(same, tf.int32))

    def _loss(self, logits: Any, taught: Any, labels: Any) -> Any:
        """Kullback-Leibler divergence from the teacher's probabilities, and cross-entropy of the labels."""
        answers, wanted = tf.nn.log_softmax(logits), tf.nn.log_softmax(taught)
        divergence = tf.reduce_sum(tf.exp(wanted) * (wanted - answers), axis=1)
        surprise = -tf.gather(answers, labels, axis=1, batch_dims=1)
        return tf.reduce_mean((1 - self._settings.labels) * divergence + self._settings.labels * surprise)


def _size(variable: Any) -> float:
    return max(math.sqrt(float(tf.reduce_mean(tf.square(variable)))), SMALLEST)
