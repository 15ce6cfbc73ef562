"""Optimizers: the same steps as Keras' own, with rates per layer, averaged weights and a schedule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.train.framework import keras, tf
from edgewise.train.optimization import Optimizer, Schedule
from edgewise.train.recipe import Recipe

RATE = 0.01


def variables() -> list[Any]:
    random = np.random.default_rng(0)
    return [tf.Variable(random.normal(size=shape).astype(np.float32)) for shape in ((3, 4), (4,))]


def gradients(step: int) -> list[Any]:
    random = np.random.default_rng(step + 1)
    return [tf.constant(random.normal(size=shape).astype(np.float32)) for shape in ((3, 4), (4,))]


def steady(_: Any) -> Any:
    return tf.constant(RATE)


@pytest.mark.parametrize(
    ("recipe", "reference"),
    [
        (Recipe(weight_decay=0, clip_norm=0), keras.optimizers.Adam(RATE)),
        (Recipe(weight_decay=0, clip_norm=1), keras.optimizers.Adam(RATE, global_clipnorm=1.0)),
        (Recipe(weight_decay=0.3, clip_norm=0), keras.optimizers.AdamW(RATE, weight_decay=0.3)),
        (
            Recipe(optimizer="sgd", weight_decay=0.3, clip_norm=0),
            keras.optimizers.SGD(RATE, 0.9, nesterov=True, weight_decay=0.3),
        ),
    ],
)
def test_steps_are_those_of_keras(recipe: Recipe, reference: Any) -> None:
    ours, theirs = variables(), variables()
    if recipe.weight_decay:
        reference.exclude_from_weight_decay([theirs[1]])
    reference.build(theirs)
    optimizer = Optimizer(ours, recipe, steady)
    for step in range(5):
        optimizer.apply(gradients(step))
        reference.apply_gradients(zip(gradients(step), theirs, strict=True))
        for got, expected in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_multiplier_slows_one_variable_down() -> None:
    plain, slowed = variables(), variables()
    for each, multipliers in ((plain, [1.0, 1.0]), (slowed, [0.5, 1.0])):
        Optimizer(each, Recipe(weight_decay=0), steady, multipliers).apply(gradients(0))
    moved = [np.asarray(each[0] - variables()[0]) for each in (plain, slowed)]
    np.testing.assert_allclose(moved[1], moved[0] / 2, rtol=1e-4)
    np.testing.assert_array_equal(plain[1], slowed[1])


def test_averaged_weights_are_there_for_a_while() -> None:
    ours = variables()
    optimizer = Optimizer(ours, Recipe(ema=0.9), steady)
    seen = []
    for step in range(40):
        optimizer.apply(gradients(step))
        seen.append(ours[0].numpy())
    latest = ours[0].numpy()
    with optimizer.averaged():
        averaged = ours[0].numpy()
    assert not np.array_equal(averaged, latest)
    # An average with decay 0.9 is about that of the last 20 steps.
    np.testing.assert_allclose(averaged, np.mean(seen[-20:], axis=0), atol=0.02)
    np.testing.assert_array_equal(ours[0].numpy(), latest)


def test_without_averages_the_weights_stay() -> None:
    ours = variables()
    optimizer = Optimizer(ours, Recipe(), steady)
    with optimizer.averaged():
        np.testing.assert_array_equal(ours[0].numpy(), variables()[0].numpy())


def test_the_rate_rises_to_its_peak_and_falls_to_zero() -> None:
    schedule = Schedule(0.5, steps_per_epoch=50, epochs=4)
    rates = [float(schedule(tf.constant(step))) for step in range(200)]
    assert rates[0] == pytest.approx(0.025)
    assert rates[19] == pytest.approx(0.5)
    assert max(rates) == pytest.approx(0.5)
    assert rates[:20] == sorted(rates[:20])
    assert rates[20:] == sorted(rates[20:], reverse=True)
    assert rates[-1] < 1e-3


def test_the_rate_that_is_told_is_that_of_the_last_step() -> None:
    schedule = Schedule(0.5, steps_per_epoch=10, epochs=1)
    optimizer = Optimizer(variables(), Recipe(), schedule)
    optimizer.apply(gradients(0))
    optimizer.apply(gradients(1))
    assert optimizer.learning_rate == pytest.approx(float(schedule(tf.constant(1))))
