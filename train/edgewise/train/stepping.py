"""One training step, as one graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.train.devices import FLOAT16, Devices
from edgewise.train.forward import training_answers
from edgewise.train.framework import keras, tf
from edgewise.train.optimization import Optimizer
from edgewise.train.recipe import Recipe

LOSS_SCALE = 1024.0
"""Factor of the loss in 16-bit floats, whose smallest gradients would be zero (Micikevicius et al.,
"Mixed Precision Training", arXiv:1710.03740, section 3.2)."""


class TrainingStep:
    """Forward, backward and update.

    Args:
        model: ends in a softmax; on several devices, their twin of the network.
        optimizer: of its trainable variables.
        recipe: label smoothing and seed.
        weights: float32 ``(classes,)`` weights of the classes in the loss; None: all the same.
        devices: what to compute on.
    """

    def __init__(
        self, model: Any, optimizer: Optimizer, recipe: Recipe, weights: NDArray[np.float32] | None, devices: Devices
    ) -> None:
        self._model, self._optimizer, self._recipe, self._devices = model, optimizer, recipe, devices
        self._weights = None if weights is None else tf.constant(weights)
        self._scale = LOSS_SCALE if devices.precision == FLOAT16 else 1.0
        self._step = devices.parallel(self._train)

    def __call__(self, images: Any, targets: Any) -> tuple[float, int]:
        """Learn from one batch.

        Args:
            images: float32 ``(batch, size, size, 3)`` in [-1, 1].
            targets: float32 ``(batch, classes)``, each row summing to 1.

        Returns:
            The mean loss, and how many answers were the most likely target.
        """
        loss, right = self._step(images, targets)
        return float(loss), int(right)

    def _train(self, images: Any, targets: Any) -> tuple[Any, Any]:
        """The part of one device."""
        variables: Sequence[Any] = self._model.trainable_variables
        count = tf.cast(tf.shape(images)[0] * self._devices.count, tf.float32)
        with tf.GradientTape() as tape:
            probabilities = training_answers(self._model, images, self._recipe.seed, self._optimizer.step)
            losses = keras.losses.categorical_crossentropy(
                targets, probabilities, label_smoothing=self._recipe.label_smoothing
            )
            if self._weights is not None:
                losses *= tf.linalg.matvec(targets, self._weights)
            loss = tf.reduce_sum(losses) / count
            scaled = loss * self._scale
        self._optimizer.apply(self._usable(self._devices.sum(tape.gradient(scaled, variables))))
        right = tf.equal(tf.argmax(probabilities, axis=1), tf.argmax(targets, axis=1))
        total, hits = self._devices.sum([loss, tf.reduce_sum(tf.cast(right, tf.float32))])
        return total, hits

    def _usable(self, gradients: Sequence[Any]) -> Sequence[Any]:
        """Gradients without the scale of the loss; all zero where one of them was too large for 16 bits."""
        if self._scale == 1:
            return gradients
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(gradient)) for gradient in gradients])
        return [tf.where(finite, gradient / self._scale, tf.zeros_like(gradient)) for gradient in gradients]


def class_weights(recipe: Recipe, labels: NDArray[np.int64], classes: int) -> NDArray[np.float32] | None:
    """The weights of the classes in the loss that a recipe asks for; None: all the same."""
    return balanced_weights(labels, classes) if recipe.class_weights == "balanced" else None


def balanced_weights(labels: NDArray[np.int64], classes: int) -> NDArray[np.float32]:
    """Weights with which every class has the same part in the loss; their mean over the photos is 1.

    Args:
        labels: ``(n,)`` class indices; every class occurs.
        classes: how many there are.
    """
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (classes * counts)).astype(np.float32)
