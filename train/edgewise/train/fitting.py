"""Fitting the whole network, an epoch at a time."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from edgewise.spec import InputError
from edgewise.spec.progress import Reporter
from edgewise.train.batches import training_batches
from edgewise.train.checkpoint import Epoch, Partial, State
from edgewise.train.devices import Devices
from edgewise.train.freezing import freeze, rate_multipliers
from edgewise.train.inference import predict
from edgewise.train.normalization import StatisticsEstimator
from edgewise.train.optimization import Optimizer, Schedule
from edgewise.train.pixels import Pixels
from edgewise.train.recipe import Recipe
from edgewise.train.stepping import TrainingStep, class_weights

Save = Callable[[State], None]


@dataclass
class Fitting:
    """One training of the whole network.

    With given weights the normalization layers stay in inference mode with their statistics; from scratch they learn,
    and their statistics are measured again after every epoch, before validation.

    Args:
        model: the network.
        recipe: how to train it.
        train: photos to learn from.
        validation: photos that choose the best epoch.
        reporter: is told about the progress.
        peak_rate: largest learning rate; None: the recipe's.
        save_every: seconds between two calls of ``save`` within an epoch.
        devices: what to compute on.
    """

    model: Any
    recipe: Recipe
    train: Pixels
    validation: Pixels
    reporter: Reporter
    peak_rate: float | None = None
    save_every: float = float("inf")
    devices: Devices = field(default_factory=Devices)

    def __post_init__(self) -> None:
        freeze(self.model, self.recipe)
        self._twin = self.devices.twin(self.model)
        self._classes = self.model.output_shape[-1]
        self._statistics = StatisticsEstimator(self.model) if self.recipe.from_scratch else None
        self._batch_size = min(self.recipe.batch_size, len(self.train.labels))
        self._steps = len(self.train.labels) // self._batch_size
        self.devices.check_batch(self._batch_size)
        variables = self._twin.trainable_variables
        with self.devices.scope():
            self.optimizer = Optimizer(
                variables,
                self.recipe,
                Schedule(self.peak_rate or self.recipe.peak_rate, self._steps, self.recipe.epochs),
                rate_multipliers(self._twin, variables, self.recipe.layer_decay),
            )
        weights = class_weights(self.recipe, self.train.labels, self._classes)
        self._step = TrainingStep(self._twin, self.optimizer, self.recipe, weights, self.devices)

    def run(self, state: State, keep: Save, save: Save) -> State:
        """Train from ``state`` until the last epoch, or until validation has not improved for long enough.

        Args:
            state: where to begin; the model and optimizer are already there.
            keep: called after every epoch, while the network has the weights that were validated.
            save: called after that, and every ``save_every`` seconds within an epoch, while it has those to go on with.
        """
        self.devices.share(self.model, self._twin, self.optimizer.state)
        while state.epoch < self.recipe.epochs and not self._stalled(state):
            partial = self._train_epoch(state, save)
            state = self._finish_epoch(replace(state, partial=None), partial, keep)
            save(state)
            # Told once it is saved: an epoch that was told is never lost.
            self._tell(state.history[-1])
        if state.epoch < self.recipe.epochs:
            self.reporter.say(f"stopped early: no better validation accuracy in {self.recipe.patience} epochs")
        return state

    def _stalled(self, state: State) -> bool:
        return state.epoch - state.best_epoch >= self.recipe.patience

    def _train_epoch(self, state: State, save: Save) -> Partial:
        begin = saved = time.monotonic()
        number, partial = state.epoch + 1, state.partial or Partial(0, 0.0, 0, 0.0)
        batches = training_batches(self.train, self.recipe, self._classes, number, partial.step)
        total = self._steps * self._batch_size
        before = partial.seconds
        with self.reporter.task(f"epoch {number}/{self.recipe.epochs}", total) as step:
            step(partial.step * self._batch_size)
            for images, targets in batches:
                loss, right = self._step(images, targets)
                partial = replace(
                    partial, step=partial.step + 1, loss=partial.loss + loss, right=partial.right + right,
                    seconds=before + time.monotonic() - begin,
                )  # fmt: skip
                if time.monotonic() - saved > self.save_every and partial.step < self._steps:
                    self.devices.fetch(self.model, self._twin)
                    save(replace(state, partial=partial))
                    saved = time.monotonic()
                seen = partial.step * self._batch_size
                step(self._batch_size, f"loss {partial.loss / partial.step:.3f} accuracy {partial.right / seen:.3f}")
        return partial

    def _finish_epoch(self, state: State, partial: Partial, keep: Save) -> State:
        with self.optimizer.averaged():
            self.devices.fetch(self.model, self._twin)
            epoch = self.devices.agree(lambda: json.dumps(asdict(self._assess(state.epoch + 1, partial))))
            state = replace(state, history=(*state.history, Epoch(**json.loads(epoch))))
            keep(state)
        self.devices.fetch(self.model, self._twin)
        return state

    def _assess(self, number: int, partial: Partial) -> Epoch:
        begin = time.monotonic()
        if self._statistics:
            self._statistics.estimate(self.train.images, self.recipe.seed + number)
        val_loss, val_accuracy = self._validate()
        if not math.isfinite(val_loss):
            raise InputError(
                f"after epoch {number} the network's answers are no numbers any more: its weights have grown too large",
                "a loss that falls",
                "train again with a lower --learning-rate, or with --clip-norm 1",
            )
        return Epoch(
            epoch=number,
            loss=partial.loss / partial.step,
            accuracy=partial.right / (partial.step * self._batch_size),
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            learning_rate=self.optimizer.learning_rate,
            seconds=partial.seconds + time.monotonic() - begin,
        )

    def _tell(self, epoch: Epoch) -> None:
        self.reporter.say(
            f"epoch {epoch.epoch}/{self.recipe.epochs}: loss {epoch.loss:.3f}, accuracy {epoch.accuracy:.1%}; "
            f"validation loss {epoch.val_loss:.3f}, accuracy {epoch.val_accuracy:.1%}; {epoch.seconds:.0f} s"
        )

    def _validate(self) -> tuple[float, float]:
        probabilities = predict(self.model, self.validation.images, self.reporter, "validation")
        truth = self.validation.labels
        likelihood = np.clip(probabilities[np.arange(len(truth)), truth], 1e-7, 1)
        return float(-np.log(likelihood).mean()), float((probabilities.argmax(axis=1) == truth).mean())
