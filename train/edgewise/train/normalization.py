"""Normalization statistics measured again, once the weights stand still.

During training the moving statistics trail behind the weights; after few epochs from scratch they are far off and the
network answers differently in training and in inference. Averaging the batch statistics of some clean batches with the
weights fixed mends that ("precise BN": Wu and Johnson, "Rethinking 'Batch' in BatchNorm", arXiv:2105.07576, section 3).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from edgewise.train.batches import clean_batches
from edgewise.train.framework import keras, tf
from edgewise.train.pixels import Images

BATCHES = 12
"""Batches that are averaged."""


def normalization_layers(model: Any) -> list[Any]:
    """The normalization layers of a flat network, in order."""
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


class StatisticsEstimator:
    """Re-estimates the statistics of one model; traces its graph once, so keep it for the next epoch."""

    def __init__(self, model: Any) -> None:
        self._variables = [
            (layer.momentum, variable)
            for layer in normalization_layers(model)
            for variable in (layer.moving_mean, layer.moving_variance)
        ]
        self._forward = tf.function(lambda batch: model(batch, training=True), reduce_retracing=True)

    def estimate(self, images: Images, batch_size: int, seed: int) -> None:
        """Replace all moving statistics by the plain average over up to `BATCHES` batches.

        Args:
            images: ``(n, size, size, 3)`` uint8 training photos, n >= 1.
            batch_size: as in training, because the statistics of a batch depend on it.
            seed: chooses the photos.
        """
        chosen = np.random.default_rng(seed).permutation(len(images))[: BATCHES * batch_size]
        usable = max(len(chosen) // batch_size, 1) * batch_size
        sums = [np.zeros(variable.shape, np.float64) for _, variable in self._variables]
        count = 0
        for batch in clean_batches(images[np.sort(chosen[:usable])], batch_size):
            for _, variable in self._variables:
                variable.assign(tf.zeros_like(variable))
            self._forward(batch)
            # A moving average that starts at zero holds (1 - momentum) times the statistic of its one batch.
            for total, (momentum, variable) in zip(sums, self._variables, strict=True):
                total += variable.numpy() / (1 - momentum)
            count += 1
        for total, (_, variable) in zip(sums, self._variables, strict=True):
            variable.assign((total / count).astype(np.float32))
