"""Checkpoints: two are kept, damaged ones are passed over, and the best epoch is well defined."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.spec import ModelError, OutputError
from edgewise.train.checkpoint import Epoch, Partial, State, load_checkpoint, newest_state, save_checkpoint
from edgewise.train.framework import keras, seed_everything, tf
from edgewise.train.optimization import Optimizer, Schedule
from edgewise.train.recipe import Recipe


def epoch(number: int, accuracy: float, loss: float = 1.0) -> Epoch:
    return Epoch(number, 1.5, 0.5, loss, accuracy, 1e-3, 2.5)


def state(*accuracies: float, head: float | None = None) -> State:
    return State(tuple(epoch(number, value) for number, value in enumerate(accuracies, 1)), head)


def network(seed: int = 0, units: int = 2) -> tuple[Any, Optimizer]:
    """A model and an optimizer that have taken a few steps."""
    seed_everything(seed)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, name="dense")])
    optimizer = Optimizer(model.trainable_variables, Recipe(), Schedule(0.01, 10, 1))
    return model, optimizer


def train(model: Any, optimizer: Optimizer, steps: int) -> None:
    random = np.random.default_rng(steps)
    for _ in range(steps):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(random.normal(size=(8, 4))) - random.normal(size=(8, 2))) ** 2)
        optimizer.apply(tape.gradient(loss, model.trainable_variables))


def numbers(model: Any, optimizer: Optimizer) -> list[Any]:
    return [v.numpy() for v in (*model.weights, *optimizer.state)]


def test_a_training_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    model, optimizer = network()
    train(model, optimizer, 3)
    save_checkpoint(tmp_path, model, optimizer.state, state(0.5))
    other, other_optimizer = network(seed=9)
    found = newest_state(tmp_path)
    assert found is not None
    assert found[1] == state(0.5)
    load_checkpoint(found[0], other, other_optimizer.state)
    for got, expected in zip(numbers(other, other_optimizer), numbers(model, optimizer), strict=True):
        np.testing.assert_array_equal(got, expected)
    train(model, optimizer, 2)
    train(other, other_optimizer, 2)
    for got, expected in zip(numbers(other, other_optimizer), numbers(model, optimizer), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_the_two_newest_are_kept(tmp_path: Path) -> None:
    model, optimizer = network()
    for count in range(12):
        save_checkpoint(tmp_path, model, optimizer.state, state(*[0.5] * count))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-00010", "epoch-00011"]


def test_half_a_checkpoint_does_not_take_the_place_of_a_whole_one(tmp_path: Path) -> None:
    model, optimizer = network()
    for count in (1, 2):
        save_checkpoint(tmp_path, model, optimizer.state, state(*[0.5] * count))
    half = tmp_path / "epoch-00002-step-0000005"
    half.mkdir()
    (half / "model.weights.h5").touch()  # the process was killed here
    save_checkpoint(tmp_path, model, optimizer.state, State(state(0.5, 0.5).history, partial=Partial(7, 1.0, 1, 1.0)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-00002", "epoch-00002-step-0000007"]


@pytest.mark.parametrize("free", [0, 2500])
def test_a_full_disk_leaves_the_older_ones_and_nothing_half_written(
    tmp_path: Path, free: int, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
    model, optimizer = network()
    save_checkpoint(tmp_path, model, optimizer.state, state(0.1))
    save_checkpoint(tmp_path, model, optimizer.state, state(0.1, 0.2))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    with pytest.raises(OutputError, match=r"(?i)cannot write .*epoch-00003.*: file too large"), full_disk(free):
        save_checkpoint(tmp_path, model, optimizer.state, state(0.1, 0.2, 0.3))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
    assert newest_state(tmp_path) == (tmp_path / "epoch-00002", state(0.1, 0.2))
    assert not (tmp_path / "epoch-00003").exists()


def test_head_and_rate_are_steps_before_the_first_epoch(tmp_path: Path) -> None:
    model, _ = network()
    found = []
    for begun in (State(), State(head_accuracy=0.5), State(head_accuracy=0.5, peak_rate=0.1)):
        save_checkpoint(tmp_path, model, (), begun)
        found.append(newest_state(tmp_path))
    names = ["epoch-00000", "epoch-00000-head", "epoch-00000-rate"]
    assert [each and each[0].name for each in found] == names
    save_checkpoint(tmp_path, model, (), State(head_accuracy=0.5, peak_rate=0.1, partial=Partial(1, 1.0, 1, 1.0)))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["epoch-00000-rate", "epoch-00000-step-0000001"]


def test_none_where_there_is_none(tmp_path: Path) -> None:
    assert newest_state(tmp_path / "nowhere") is None


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace_by_text(path: Path) -> None:
    path.write_text("{}")


DAMAGES: list[tuple[str, Callable[[Path], None]]] = [
    ("model.weights.h5", truncate),
    ("model.weights.h5", change_a_byte),
    ("model.weights.h5", Path.unlink),
    ("optimizer.h5", truncate),
    ("optimizer.h5", Path.unlink),
    ("state.json", truncate),
    ("state.json", replace_by_text),
    ("state.json", Path.unlink),
]


@pytest.mark.parametrize(("name", "damage"), DAMAGES)
def test_a_damaged_newest_one_is_passed_over(tmp_path: Path, name: str, damage: Callable[[Path], None]) -> None:
    model, optimizer = network()
    save_checkpoint(tmp_path, model, optimizer.state, state(0.1))
    save_checkpoint(tmp_path, model, optimizer.state, state(0.1, 0.2))
    damage(tmp_path / "epoch-00002" / name)
    found = newest_state(tmp_path)
    assert found is not None
    assert found == (tmp_path / "epoch-00001", state(0.1))
    damage(tmp_path / "epoch-00001" / name)
    assert newest_state(tmp_path) is None


def test_strange_states_are_passed_over(tmp_path: Path) -> None:
    model, optimizer = network()
    save_checkpoint(tmp_path, model, optimizer.state, state(0.1))
    path = tmp_path / "epoch-00001" / "state.json"
    good = json.loads(path.read_text())
    for data in (
        [],
        None,
        {**good, "history": 3},
        {**good, "history": [{"epoch": 1}]},
        {**good, "sha256": None},
        {**good, "partial": 3},
        {**good, "partial": {"step": "x"}},
    ):
        path.write_text(json.dumps(data))
        assert newest_state(tmp_path) is None


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    model, optimizer = network()
    save_checkpoint(tmp_path, model, optimizer.state, state(0.1))
    other, other_optimizer = network(units=3)
    with pytest.raises(ModelError, match=r"'dense/kernel' in .* has shape"):
        load_checkpoint(tmp_path / "epoch-00001", other, other_optimizer.state)


def test_a_state_within_an_epoch_comes_before_its_end_and_after_its_beginning(tmp_path: Path) -> None:
    model, optimizer = network()
    within = State((epoch(1, 0.5),), 0.25, 3e-4, Partial(7, 3.5, 40, 1.25))
    save_checkpoint(tmp_path, model, optimizer.state, state(0.5))
    save_checkpoint(tmp_path, model, optimizer.state, within)
    assert newest_state(tmp_path) == (tmp_path / "epoch-00001-step-0000007", within)
    save_checkpoint(tmp_path, model, optimizer.state, state(0.5, 0.6))
    assert newest_state(tmp_path) == (tmp_path / "epoch-00002", state(0.5, 0.6))


def test_the_best_epoch_is_the_earliest_of_equals() -> None:
    assert state().best_epoch == 0
    assert state(0.2, 0.5, 0.5, 0.4).best_epoch == 2
    assert State((epoch(1, 0.5, 1.0), epoch(2, 0.5, 0.9))).best_epoch == 2


def test_a_head_that_was_better_is_the_best() -> None:
    assert state(0.2, 0.5, head=0.6).best_epoch == 0
    assert state(0.2, 0.6, head=0.6).best_epoch == 2
    assert state(head=0.6).best_epoch == 0
