"""The first phase with given weights: a classifier on features that the frozen backbone computes once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.spec.progress import Reporter
from edgewise.train.batches import augmented_batches
from edgewise.train.framework import keras, seed_everything
from edgewise.train.inference import PREDICT_BATCH, predict, predict_batches
from edgewise.train.pixels import Pixels
from edgewise.train.recipe import Recipe
from edgewise.train.stepping import class_weights

HEAD_LEARNING_RATE = 1e-3


def fit_head(model: Any, train: Pixels, validation: Pixels, recipe: Recipe, reporter: Reporter) -> float:
    """Train the classifier.

    The backbone sees every photo ``recipe.head_passes`` times, not once per epoch: as it is, and augmented differently
    each further time.

    Args:
        model: the whole network; its layer ``predictions`` is filled with the best classifier.
        train: photos to learn from.
        validation: photos that choose the best epoch.
        recipe: epochs, passes, patience and seed.
        reporter: is told about the progress.

    Returns:
        Validation accuracy of the best epoch, 0-1.
    """
    # A training that is continued has drawn fewer random numbers until here.
    seed_everything(recipe.seed)
    backbone = keras.Model(model.input, model.get_layer("avg_pool").output)
    features = _features(backbone, train, recipe, reporter)
    held_out = predict(backbone, validation.images, reporter, "features of validation photos")
    classifier = model.get_layer("predictions")
    head = keras.Sequential(
        [
            keras.Input(features.shape[1:]),
            keras.layers.Dropout(model.get_layer("dropout").rate, seed=recipe.seed),
            keras.layers.Dense(classifier.units, activation="softmax"),
        ]
    )
    loss = keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing)
    head.compile(keras.optimizers.AdamW(HEAD_LEARNING_RATE), loss, metrics=["accuracy"])
    stop = keras.callbacks.EarlyStopping("val_accuracy", patience=recipe.patience, restore_best_weights=True)
    with reporter.task("training the head", recipe.head_epochs) as step:
        advance = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda _, logs: step(1, f"validation accuracy {logs['val_accuracy']:.3f}")
        )
        targets = np.eye(classifier.units, dtype=np.float32)
        weights = class_weights(recipe, train.labels, classifier.units)
        history = head.fit(
            features, targets[np.tile(train.labels, recipe.head_passes)], recipe.batch_size, recipe.head_epochs,
            verbose=0, validation_data=(held_out, targets[validation.labels]), callbacks=[stop, advance],
            class_weight=None if weights is None else dict(enumerate(weights.tolist())),
        )  # fmt: skip
    classifier.set_weights(head.layers[-1].get_weights())
    return float(max(history.history["val_accuracy"]))


def _features(backbone: Any, train: Pixels, recipe: Recipe, reporter: Reporter) -> NDArray[np.float32]:
    """Features of every pass: ``(passes * n, features)``."""
    passes = [predict(backbone, train.images, reporter, "features of training photos")]
    for number in range(1, recipe.head_passes):
        batches = augmented_batches(train, PREDICT_BATCH, recipe.augmentation, recipe.seed + number)
        title = f"features of augmented photos, {number}/{recipe.head_passes - 1}"
        passes.append(predict_batches(backbone, batches, len(train.labels), reporter, title))
    return np.concatenate(passes)
