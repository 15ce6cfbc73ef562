"""One training step, as one graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.train.framework import keras, tf
from edgewise.train.optimization import Optimizer
from edgewise.train.recipe import Recipe


class TrainingStep:
    """Forward, backward and update.

    Args:
        model: ends in a softmax.
        optimizer: of its trainable variables.
        label_smoothing: share of each target that is spread over all classes, 0-0.9.
        class_weights: float32 ``(classes,)`` weights of the classes in the loss; None: all the same.
    """

    def __init__(
        self, model: Any, optimizer: Optimizer, label_smoothing: float, class_weights: NDArray[np.float32] | None
    ) -> None:
        self._model, self._optimizer, self._smoothing = model, optimizer, label_smoothing
        self._weights = None if class_weights is None else tf.constant(class_weights)
        self._step = tf.function(self._train, reduce_retracing=True)

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
        variables: Sequence[Any] = self._model.trainable_variables
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            probabilities = self._model(images, training=True)
            losses = keras.losses.categorical_crossentropy(targets, probabilities, label_smoothing=self._smoothing)
            if self._weights is not None:
                losses *= tf.linalg.matvec(targets, self._weights)
            loss = tf.reduce_mean(losses)
        self._optimizer.apply(tape.gradient(loss, variables))
        right = tf.equal(tf.argmax(probabilities, axis=1), tf.argmax(targets, axis=1))
        return loss, tf.reduce_sum(tf.cast(right, tf.int32))


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
