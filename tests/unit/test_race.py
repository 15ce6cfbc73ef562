"""Finding the fastest of several: the right one, without wasting time on the slow."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from edgewise.runtime.race import MOST_ROUNDS, race, typical, winner


def test_the_fastest_wins_though_every_third_measurement_is_disturbed() -> None:
    chance, speeds = random.Random(3), {"a": 1.0, "b": 1.04, "c": 2.0, "d": 10.0}

    def measure(name: str) -> float:
        return speeds[name] * (chance.uniform(2, 5) if chance.random() < 0.33 else chance.uniform(1, 1.02))

    assert winner(race("abcd", measure, lambda: True)) == "a"


def test_the_slow_are_left_out_early_and_the_close_are_measured_to_the_end() -> None:
    counts: Counter[str] = Counter()
    speeds = {"a": 1.0, "b": 1.01, "c": 1.7, "d": 3.0}

    def measure(name: str) -> float:
        counts[name] += 1
        return speeds[name]

    race("abcd", measure, lambda: True)
    assert counts == {"a": MOST_ROUNDS, "b": MOST_ROUNDS, "c": 8, "d": 4}


def test_everyone_is_measured_once_even_without_time() -> None:
    measured = race("ab", {"a": 2.0, "b": 1.0}.__getitem__, lambda: False)
    assert measured == {"a": (2.0,), "b": (1.0,)}
    assert winner(measured) == "b"


def test_one_alone_is_not_measured_for_long() -> None:
    assert race("a", lambda _: 1.0, lambda: True) == {"a": (1.0,)}


@pytest.mark.parametrize(
    ("values", "quartile"), [([3], 3), ([3, 1], 1), ([9, 1, 3, 2, 8], 2), ([5, 4, 3, 2, 1, 0, 9, 9, 9], 2)]
)
def test_what_counts_is_the_lower_quartile(values: list[float], quartile: float) -> None:
    assert typical(values) == quartile
