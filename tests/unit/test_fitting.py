"""Fitting on a tiny network: both phases, early stopping, and an epoch that can be repeated."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.spec import InputError
from edgewise.spec.progress import Silent, Step
from edgewise.train.augmentation import Augmentation
from edgewise.train.batches import clean_batches
from edgewise.train.checkpoint import State
from edgewise.train.fitting import Fitting
from edgewise.train.framework import keras, seed_everything, tf
from edgewise.train.head import fit_head
from edgewise.train.inference import predict
from edgewise.train.normalization import StatisticsEstimator, normalization_layers
from edgewise.train.pixels import Pixels
from edgewise.train.range_test import RangeTest, find_rate
from edgewise.train.recipe import Recipe
from edgewise.train.stepping import balanced_weights

SCRATCH = Recipe(
    weights="none", epochs=4, batch_size=8, learning_rate=0.01, augmentation=Augmentation(zoom=0.1, light=0.05)
)
GIVEN = replace(SCRATCH, weights="given.h5", head_epochs=3)


def tiny() -> Any:
    """The layers that fitting looks for, in a network that learns in a second."""
    seed_everything(0)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, name="conv", use_bias=False)(inputs)
    x = keras.layers.BatchNormalization(scale=False, momentum=0.9, name="conv_bn")(x)
    x = keras.layers.Activation("relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = keras.layers.Dropout(0.2, name="dropout")(x)
    return keras.Model(inputs, keras.layers.Dense(2, activation="softmax", name="predictions")(x))


def pictures(count: int, seed: int, *, swapped: bool = False) -> Pixels:
    """Reddish pictures are 0 and bluish ones 1; or, swapped, the other way round."""
    random = np.random.default_rng(seed)
    images = random.integers(60, 140, (count, 8, 8, 3)).astype(np.uint8)
    labels = np.arange(count) % 2
    images[labels == 0, ..., 0] += 90
    images[labels == 1, ..., 2] += 90
    return Pixels(images, 1 - labels if swapped else labels, (), ())


TRAIN, VALIDATION = pictures(48, 1), pictures(16, 2)


class Recorder(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def nothing(_: State) -> None:
    return


def fit(model: Any, recipe: Recipe, validation: Pixels = VALIDATION) -> tuple[State, Recorder, list[State]]:
    recorder, seen = Recorder(), []
    state = Fitting(model, recipe, TRAIN, validation, recorder).run(State(), seen.append, nothing)
    return state, recorder, seen


def accuracy(model: Any, data: Pixels) -> float:
    return float((predict(model, data.images, Silent(), "x").argmax(axis=1) == data.labels).mean())


def test_from_scratch_it_learns_and_tells() -> None:
    model = tiny()
    state, recorder, seen = fit(model, SCRATCH)
    assert [epoch.epoch for epoch in state.history] == [1, 2, 3, 4]
    assert [each.epoch for each in seen] == [1, 2, 3, 4]
    assert state.history[-1].val_accuracy == accuracy(model, VALIDATION) == 1
    assert state.history[-1].loss < state.history[0].loss
    assert recorder.said[0].startswith("epoch 1/4: loss ")
    assert state.history[0].learning_rate > state.history[-1].learning_rate


def test_from_scratch_statistics_fit_the_weights_after_each_epoch() -> None:
    model = tiny()
    batch = next(clean_batches(TRAIN.images, 48))
    gaps: list[float] = []

    def gap(_: State) -> None:
        features = keras.Model(model.input, model.get_layer("avg_pool").output)
        trained, inferred = features(batch, training=True).numpy(), features(batch, training=False).numpy()
        gaps.append(float(np.abs(trained - inferred).mean() / np.abs(trained).mean()))

    Fitting(model, replace(SCRATCH, epochs=2), TRAIN, VALIDATION, Silent()).run(State(), gap, nothing)
    assert max(gaps) < 0.1


def statistics(model: Any) -> list[NDArray[np.float32]]:
    return [array for layer in normalization_layers(model) for array in layer.get_weights()]


def test_with_given_weights_normalization_stays_and_the_rest_learns() -> None:
    model = tiny()
    (layer,) = normalization_layers(model)
    random = np.random.default_rng(5)
    layer.set_weights([random.normal(0, 0.1, 8), random.normal(0, 0.1, 8), random.uniform(0.1, 0.3, 8)])
    before, kernel = statistics(model), model.get_layer("conv").get_weights()[0]
    fit(model, GIVEN)
    for got, expected in zip(statistics(model), before, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert not np.array_equal(model.get_layer("conv").get_weights()[0], kernel)


def test_the_head_learns_on_a_backbone_that_stands_still() -> None:
    model = tiny()
    before = {layer.name: layer.get_weights() for layer in model.layers}
    reached = fit_head(model, TRAIN, VALIDATION, replace(GIVEN, head_epochs=20, patience=20), Silent())
    for layer in model.layers:
        for got, was in zip(layer.get_weights(), before[layer.name], strict=True):
            assert np.array_equal(got, was) == (layer.name != "predictions")
    assert 0 <= reached <= 1


@pytest.mark.parametrize("epochs", [1, 5, 20])
def test_the_accuracy_of_the_head_is_that_of_the_classifier_it_leaves(epochs: int) -> None:
    model = tiny()
    validation = pictures(17, 7)
    reached = fit_head(model, TRAIN, validation, replace(GIVEN, head_epochs=epochs, patience=2), Silent())
    assert reached == pytest.approx(accuracy(model, validation))


def test_it_stops_where_validation_gets_no_better() -> None:
    recipe = replace(SCRATCH, epochs=30, patience=2)
    state, recorder, _ = fit(tiny(), recipe, pictures(16, 2, swapped=True))
    assert state.epoch < 30
    assert state.epoch - state.best_epoch == 2
    assert recorder.said[-1] == "stopped early: no better validation accuracy in 2 epochs"


def test_fewer_photos_than_a_batch_still_train() -> None:
    state, _, _ = fit(tiny(), replace(SCRATCH, batch_size=512, epochs=2))
    assert state.epoch == 2


def test_equal_seeds_give_equal_trainings() -> None:
    first, again, other = (fit(tiny(), replace(SCRATCH, epochs=2, seed=seed))[0].history for seed in (1, 1, 2))
    same = [(a.loss, a.val_loss) == (b.loss, b.val_loss) for a, b in zip(first, again, strict=True)]
    assert same == [True, True]
    assert first[-1].loss != other[-1].loss


class StoppedError(Exception):
    """Somebody pulled the plug."""


def stopped_and_continued(recipe: Recipe, when: Callable[[State], bool], save_every: float = float("inf")) -> State:
    """Stop a training at the first saved state for which ``when`` is true, and go on from it with a fresh network."""
    model, kept = tiny(), []
    first = Fitting(model, recipe, TRAIN, VALIDATION, Silent(), save_every=save_every)

    def stop(state: State) -> None:
        if when(state):
            kept.extend([state, model.get_weights(), [v.numpy() for v in first.optimizer.state]])
            raise StoppedError

    with pytest.raises(StoppedError):
        first.run(State(), nothing, stop)
    reached, weights, values = kept
    fresh = tiny()
    second = Fitting(fresh, recipe, TRAIN, VALIDATION, Silent())
    fresh.set_weights(weights)
    for variable, value in zip(second.optimizer.state, values, strict=True):
        variable.assign(value)
    return second.run(reached, nothing, nothing)


def test_a_training_that_was_interrupted_gives_the_same_history() -> None:
    whole, _, _ = fit(tiny(), SCRATCH)
    state = stopped_and_continued(SCRATCH, lambda state: state.epoch == 2)
    assert [epoch.epoch for epoch in state.history] == [1, 2, 3, 4]
    for got, expected in zip(state.history, whole.history, strict=True):
        assert (got.loss, got.val_loss) == pytest.approx((expected.loss, expected.val_loss), abs=1e-4)


def test_an_epoch_that_was_interrupted_goes_on_where_it_was() -> None:
    recipe = replace(SCRATCH, epochs=3, ema=0.9, mixup=0.2, label_smoothing=0.1)
    whole, _, _ = fit(tiny(), recipe)

    def within_the_second(state: State) -> bool:
        return state.epoch == 1 and state.partial is not None and state.partial.step == 3

    state = stopped_and_continued(recipe, within_the_second, save_every=0)
    for got, expected in zip(state.history, whole.history, strict=True):
        assert (got.loss, got.accuracy, got.val_loss) == pytest.approx(
            (expected.loss, expected.accuracy, expected.val_loss), abs=1e-4
        )


def test_what_is_kept_is_what_was_validated() -> None:
    model, kept = tiny(), []
    recipe = replace(SCRATCH, epochs=2, ema=0.8)
    fitting = Fitting(model, recipe, TRAIN, VALIDATION, Silent())
    state = fitting.run(State(), lambda _: kept.append(model.get_weights()), nothing)
    assert not all(np.array_equal(a, b) for a, b in zip(kept[-1], model.get_weights(), strict=True))
    model.set_weights(kept[-1])
    assert accuracy(model, VALIDATION) == state.history[-1].val_accuracy


@pytest.mark.parametrize(
    "values",
    [
        {"optimizer": "sgd", "learning_rate": 0.05},
        {"label_smoothing": 0.1, "class_weights": "balanced"},
        {"mixup": 0.2, "cutmix": 1.0},
        {"ema": 0.9},
        {"clip_norm": 0.0, "weight_decay": 0.0},
    ],
)
def test_every_way_of_training_learns(values: dict[str, Any]) -> None:
    model = tiny()
    fit(model, replace(SCRATCH, epochs=8, **values))
    assert accuracy(model, VALIDATION) >= 0.9


def test_balanced_weights_give_every_class_the_same_part() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2])
    weights = balanced_weights(labels, 3)
    parts = [float(weights[index] * (labels == index).sum()) for index in range(3)]
    assert parts == pytest.approx([10 / 3] * 3)


def test_several_passes_for_the_head_see_varied_photos() -> None:
    class Titles(Silent):
        def __init__(self) -> None:
            self.names: list[str] = []

        @contextmanager
        def task(self, name: str, total: int) -> Iterator[Step]:
            self.names.append(f"{name}: {total}")
            with super().task(name, total) as step:
                yield step

    titles = Titles()
    fit_head(tiny(), TRAIN, VALIDATION, replace(GIVEN, head_passes=3), titles)
    assert titles.names[:3] == [
        "features of training photos: 48",
        "features of augmented photos, 1/2: 48",
        "features of augmented photos, 2/2: 48",
    ]


def test_a_range_test_finds_a_rate_and_leaves_the_weights(tmp_path: Path) -> None:
    model = tiny()
    before = model.get_weights()
    tested = find_rate(model, SCRATCH, TRAIN, Silent())
    for got, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert 1e-5 < tested.best < 0.5
    assert list(tested.rates) == sorted(tested.rates)
    tested.save(tmp_path / "rates.png")
    assert (tmp_path / "rates.png").read_bytes().startswith(b"\x89PNG")
    state, _, _ = fit(tiny(), replace(SCRATCH, learning_rate=tested.best))
    assert state.history[-1].loss < state.history[0].loss


def test_a_range_test_that_saw_nothing_fall_takes_the_usual_rate(tmp_path: Path) -> None:
    rates = tuple(1e-6 * 1.15**step for step in range(100))
    # Chance alone: the smallest loss is the very first one, at a rate with which nothing would ever be learned.
    tested = RangeTest(rates, (2.25, *(2.3 + 0.01 * math.sin(step) for step in range(99))), usual=0.003)
    assert not tested.conclusive
    assert tested.best == 0.003
    tested.save(tmp_path / "rates.png")
    assert not RangeTest((), (), usual=0.003).conclusive
    # One that fell and rose again is believed.
    losses = tuple(2.3 - 0.5 * max(1 - abs(step - 60) / 30, 0) for step in range(100))
    assert RangeTest(rates, losses, usual=0.003).best == pytest.approx(rates[60] / 10)


def test_a_head_does_not_depend_on_what_was_drawn_before_it() -> None:
    # A training that is continued did not draw what came before the head.
    found = []
    for draws in (1, 4):
        model = tiny()
        for _ in range(draws):
            keras.initializers.GlorotUniform()((2, 2))
            tf.random.uniform((2,))
        fit_head(model, TRAIN, VALIDATION, GIVEN, Silent())
        found.append(model.get_layer("predictions").get_weights()[0])
    np.testing.assert_array_equal(*found)


def test_statistics_do_not_depend_on_what_is_dropped_at_random() -> None:
    seed_everything(0)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Dropout(0.5, name="block_drop")(keras.layers.Conv2D(4, 3)(inputs))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization(name="bn")(x))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    estimator, found = StatisticsEstimator(model), []
    for _ in range(2):
        estimator.estimate(TRAIN.images, 0)
        found.append(model.get_layer("bn").moving_variance.numpy())
    np.testing.assert_array_equal(*found)
    assert model.get_layer("block_drop").rate == 0.5
    model.get_layer("block_drop").rate = 0.0
    StatisticsEstimator(model).estimate(TRAIN.images, 0)
    np.testing.assert_allclose(model.get_layer("bn").moving_variance.numpy(), found[0], rtol=1e-6)


def test_weights_that_are_no_numbers_end_the_training_with_advice() -> None:
    model = tiny()
    kernel = model.get_layer("predictions").kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(InputError, match=r"after epoch 1 the network's answers are no numbers any more") as caught:
        fit(model, GIVEN)
    assert caught.value.do == "train again with a lower --learning-rate, or with --clip-norm 1"
