"""Fitting the weights: the head on frozen features, then the whole network."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.spec.progress import Reporter
from edgewise.train.batches import clean_batches, training_batches
from edgewise.train.checkpoint import Epoch, State
from edgewise.train.framework import keras
from edgewise.train.normalization import StatisticsEstimator, normalization_layers
from edgewise.train.pixels import Pixels
from edgewise.train.run import Recipe

PREDICT_BATCH = 32
HEAD_LEARNING_RATE = 1e-3
WARM_UP_SHARE = 0.1
"""Share of all steps in which the learning rate rises to its peak, at most one epoch."""

CLIP_NORM = 1.0
"""Largest norm of all gradients together; larger ones are scaled down."""


def predict(model: Any, images: NDArray[np.uint8], reporter: Reporter, name: str) -> NDArray[np.float32]:
    """Run a network in inference mode.

    Args:
        model: from float32 pictures in [-1, 1].
        images: ``(n, size, size, 3)`` uint8.
        reporter: is told about the progress.
        name: of the task in the progress.

    Returns:
        ``(n, outputs)`` float32.
    """
    results = []
    with reporter.task(name, len(images)) as step:
        for batch in clean_batches(images, PREDICT_BATCH):
            results.append(np.asarray(model.predict_on_batch(batch)))
            step(len(batch))
    return np.concatenate(results)


def fit_head(model: Any, train: Pixels, validation: Pixels, recipe: Recipe, reporter: Reporter) -> float:
    """Train the classifier on features that the frozen backbone computes once.

    Args:
        model: the whole network; its layer ``predictions`` is filled with the best classifier.
        train: photos to learn from.
        validation: photos that choose the best epoch.
        recipe: epochs, patience and seed.
        reporter: is told about the progress.

    Returns:
        Validation accuracy of the best epoch, 0-1.
    """
    backbone = keras.Model(model.input, model.get_layer("avg_pool").output)
    features = predict(backbone, train.images, reporter, "features of training photos")
    held_out = predict(backbone, validation.images, reporter, "features of validation photos")
    classifier = model.get_layer("predictions")
    head = keras.Sequential(
        [
            keras.Input(features.shape[1:]),
            keras.layers.Dropout(model.get_layer("dropout").rate, seed=recipe.seed),
            keras.layers.Dense(classifier.units, activation="softmax"),
        ]
    )
    head.compile(keras.optimizers.AdamW(HEAD_LEARNING_RATE), "sparse_categorical_crossentropy", metrics=["accuracy"])
    stop = keras.callbacks.EarlyStopping("val_accuracy", patience=recipe.patience, restore_best_weights=True)
    with reporter.task("training the head", recipe.head_epochs) as step:
        advance = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda _, logs: step(1, f"validation accuracy {logs['val_accuracy']:.3f}")
        )
        history = head.fit(
            features, train.labels, recipe.batch_size, recipe.head_epochs, verbose=0,
            validation_data=(held_out, validation.labels), callbacks=[stop, advance],
        )  # fmt: skip
    classifier.set_weights(head.layers[-1].get_weights())
    return float(max(history.history["val_accuracy"]))


@dataclass
class Fitting:
    """One training of the whole network, an epoch at a time.

    With given weights the normalization layers stay in inference mode with their statistics; from scratch they learn,
    and their statistics are measured again after every epoch, before validation.
    """

    model: Any
    recipe: Recipe
    train: Pixels
    validation: Pixels
    reporter: Reporter

    def __post_init__(self) -> None:
        self.scratch = self.recipe.weights == "none"
        if not self.scratch:
            for layer in normalization_layers(self.model):
                layer.trainable = False
        self._statistics = StatisticsEstimator(self.model) if self.scratch else None
        self._steps = max(len(self.train.labels) // self.recipe.batch_size, 1)
        self.optimizer = keras.optimizers.AdamW(
            self._schedule(), weight_decay=self.recipe.weight_decay, global_clipnorm=CLIP_NORM
        )
        self.optimizer.build(self.model.trainable_variables)
        self.model.compile(self.optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])

    def _schedule(self) -> Any:
        """Linear warm-up, then a cosine to zero (Loshchilov and Hutter, arXiv:1608.03983)."""
        steps = self._steps * self.recipe.epochs
        warm_up = min(math.ceil(WARM_UP_SHARE * steps), self._steps)
        return keras.optimizers.schedules.CosineDecay(
            0.0, max(steps - warm_up, 1), warmup_target=self.recipe.peak_rate, warmup_steps=warm_up
        )

    def run(self, state: State, after_epoch: Callable[[State], None]) -> State:
        """Train from ``state`` until the last epoch, or until validation has not improved for long enough.

        Args:
            state: where to begin; the model and optimizer are already there.
            after_epoch: called with the new state after every epoch, to save it.
        """
        while state.epoch < self.recipe.epochs and not self._stalled(state):
            epoch = self._epoch(state.epoch + 1)
            state = replace(state, history=(*state.history, epoch))
            after_epoch(state)
            # Told once it is saved: an epoch that was told is never lost.
            self._tell(epoch)
        if state.epoch < self.recipe.epochs:
            self.reporter.say(f"stopped early: no better validation accuracy in {self.recipe.patience} epochs")
        return state

    def _stalled(self, state: State) -> bool:
        return state.epoch - state.best_epoch >= self.recipe.patience

    def _epoch(self, number: int) -> Epoch:
        begin = time.monotonic()
        seed = (self.recipe.seed, number)
        self._seed_dropout(seed)
        batches = training_batches(self.train, self.recipe.batch_size, self.recipe.augmentation, seed)
        title = f"epoch {number}/{self.recipe.epochs}"
        with self.reporter.task(title, self._steps * self.recipe.batch_size) as step:
            fitted = self.model.fit(batches, verbose=0, callbacks=[_progress(step, self.recipe.batch_size)])
        if self._statistics:
            self._statistics.estimate(self.train.images, self.recipe.batch_size, self.recipe.seed + number)
        val_loss, val_accuracy = self._validate()
        return Epoch(
            epoch=number,
            loss=float(fitted.history["loss"][0]),
            accuracy=float(fitted.history["accuracy"][0]),
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            learning_rate=float(np.asarray(self.optimizer.learning_rate)),
            seconds=time.monotonic() - begin,
        )

    def _tell(self, epoch: Epoch) -> None:
        self.reporter.say(
            f"epoch {epoch.epoch}/{self.recipe.epochs}: loss {epoch.loss:.3f}, accuracy {epoch.accuracy:.1%}; "
            f"validation loss {epoch.val_loss:.3f}, accuracy {epoch.val_accuracy:.1%}; {epoch.seconds:.0f} s"
        )

    def _seed_dropout(self, seed: tuple[int, int]) -> None:
        """Start the epoch's dropout at a known state: a resumed epoch then equals an uninterrupted one."""
        state = int(np.random.default_rng(seed).integers(1 << 62))
        for layer in self.model.layers:
            if isinstance(layer, keras.layers.Dropout):
                layer._random_generator._generator.reset_from_seed(state)  # Keras 2 offers no public way

    def _validate(self) -> tuple[float, float]:
        probabilities = predict(self.model, self.validation.images, self.reporter, "validation")
        truth = self.validation.labels
        likelihood = np.clip(probabilities[np.arange(len(truth)), truth], 1e-7, 1)
        return float(-np.log(likelihood).mean()), float((probabilities.argmax(axis=1) == truth).mean())


def _progress(step: Callable[[int, str], None], batch_size: int) -> Any:
    return keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda _, logs: step(batch_size, f"loss {logs['loss']:.3f} accuracy {logs['accuracy']:.3f}")
    )
