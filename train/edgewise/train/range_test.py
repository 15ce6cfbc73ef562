"""A learning rate found by trying: the rate grows step by step, and the loss says when it was too much.

Source: Smith, "Cyclical Learning Rates for Training Neural Networks", arXiv:1506.01186, section 3.3.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from edgewise.spec.progress import Reporter
from edgewise.train.batches import training_batches
from edgewise.train.devices import Devices
from edgewise.train.framework import seed_everything, tf
from edgewise.train.freezing import freeze
from edgewise.train.optimization import Optimizer
from edgewise.train.pixels import Pixels
from edgewise.train.plots import PAPER, save
from edgewise.train.recipe import Recipe
from edgewise.train.stepping import TrainingStep

STEPS = 100
LOWEST, HIGHEST = 1e-6, 1.0
"""Learning rates of the first and the last step."""

SMOOTHING = 0.9
"""Of the loss, which differs from batch to batch."""

DIVERGED = 3.0
"""So many times the smallest loss, the test has seen enough."""

MARGIN = 10
"""The rate that is taken is so many times smaller than that of the smallest loss, where learning is about to break."""

SETTLED = 10
"""Steps after which the smoothed loss says something: it stands for about as many batches."""

FALL = 0.02
"""Share by which the loss has to fall from there on, or nothing was learned: chance moves it by a third of that."""


@dataclass(frozen=True)
class RangeTest:
    """What the test measured."""

    rates: tuple[float, ...]  # of the steps, ascending
    losses: tuple[float, ...]  # smoothed, after each
    usual: float  # learning rate for where the test says nothing

    @property
    def conclusive(self) -> bool:
        """Whether the loss fell at some rate."""
        return len(self.losses) > SETTLED and min(self.losses[SETTLED:]) <= (1 - FALL) * self.losses[SETTLED]

    @property
    def best(self) -> float:
        """The learning rate to take; the usual one where the test is not conclusive."""
        if not self.conclusive:
            return self.usual
        return self.rates[min(range(SETTLED, len(self.losses)), key=self.losses.__getitem__)] / MARGIN

    def save(self, path: Path) -> None:
        """Draw the loss over the learning rate as PNG. Raises OutputError."""
        figure = Figure(figsize=(PAPER.width, 4), layout="constrained")
        axes = figure.subplots()
        axes.plot(self.rates, self.losses, color=PAPER.first)
        axes.axvline(
            self.best,
            color=PAPER.second,
            linestyle=":",
            label=f"taken: {self.best:.2g}" + ("" if self.conclusive else ", the usual one"),
        )
        axes.set(xscale="log", xlabel="learning rate", ylabel="loss, smoothed", title="Learning rate range test")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
        save(figure, path)


def find_rate(model: Any, recipe: Recipe, train: Pixels, reporter: Reporter) -> RangeTest:
    """Try learning rates from `LOWEST` to `HIGHEST` on a network, which has its old weights again afterwards.

    Args:
        model: with the weights that the training will begin with.
        recipe: of the training.
        train: photos to learn from.
        reporter: is told about the progress.
    """
    # A training that is continued has drawn fewer random numbers until here.
    seed_everything(recipe.seed)
    freeze(model, recipe)
    before = model.get_weights()
    optimizer = Optimizer(
        model.trainable_variables, recipe, lambda step: LOWEST * tf.pow(HIGHEST / LOWEST, _share(step))
    )
    training = TrainingStep(model, optimizer, recipe, None, Devices())
    rates: list[float] = []
    losses: list[float] = []
    average = 0.0
    with reporter.task("looking for a learning rate", STEPS) as step:
        for number, (images, targets) in zip(range(STEPS), _endless(train, recipe, model), strict=False):
            loss, _ = training(images, targets)
            average = SMOOTHING * average + (1 - SMOOTHING) * loss
            # The average begins at zero; dividing by its weight takes that out.
            smoothed = average / (1 - SMOOTHING ** (number + 1))
            if not math.isfinite(loss) or (losses and smoothed > DIVERGED * min(losses)):
                break
            rates.append(optimizer.learning_rate)
            losses.append(smoothed)
            step(1, f"loss {smoothed:.3f}")
    model.set_weights(before)
    return RangeTest(tuple(rates), tuple(losses), recipe.peak_rate)


def _share(step: Any) -> Any:
    return tf.cast(step, tf.float32) / (STEPS - 1)


def _endless(train: Pixels, recipe: Recipe, model: Any) -> Iterator[Any]:
    """Batches of one pass over the photos after another, none of which the training itself will make."""
    epoch = recipe.epochs
    while True:
        epoch += 1
        yield from training_batches(train, recipe, model.output_shape[-1], epoch)
