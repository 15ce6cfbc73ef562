"""Which ranges calibration chooses: every method is tried, and the answers decide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgewise.export import calibration
from edgewise.export.calibration import Calibration, Trial, calibrate, float_head
from edgewise.export.observation import answers, observe
from edgewise.export.plain import Network, Operator, Step
from edgewise.export.quantization import PIXELS, PROBABILITIES, Numerics, Weights, settled
from edgewise.export.ranges import METHODS, min_max
from edgewise.spec.progress import Silent


class Watcher(Silent):
    """Remembers what a run was told to be doing."""

    def __init__(self) -> None:
        self.tasks: list[tuple[str, int | None]] = []

    def task(self, description: str, total: int | None = None) -> Any:
        self.tasks.append((description, total))
        return super().task(description, total)


@pytest.fixture(scope="module")
def found(small: Any, photos: Any) -> Calibration:
    return calibrate(small.plain, photos(40, seed=9), Silent())


def test_every_method_is_tried_and_the_best_comes_first(found: Calibration) -> None:
    assert {trial.method for trial in found.trials} == set(METHODS)
    order = [(-trial.agreement, trial.divergence) for trial in found.trials]
    assert order == sorted(order)
    assert found.best is found.trials[0]
    assert found.best.agreement > 0.9
    assert 0 < found.best.divergence < 0.02


def test_a_trials_figures_are_those_of_its_int8_network(small: Any, photos: Any, found: Calibration) -> None:
    batch = photos(40, seed=9)
    expected = observe(small.plain, batch).probabilities
    for trial in found.trials:
        got = answers(small.plain, Numerics(Weights.INT8, trial.ranges, floats=small.head), batch)
        agreement = (got.argmax(axis=1) == expected.argmax(axis=1)).mean()
        divergence = (expected * np.log(expected / got)).sum(axis=1).mean()
        assert trial.agreement == pytest.approx(agreement)
        assert trial.divergence == pytest.approx(divergence, abs=1e-5)
        assert trial.figures() == {
            "method": trial.method,
            "agreement": trial.agreement,
            "divergence": trial.divergence,
        }


def test_ranges_are_settled_and_come_from_the_typical_photos(small: Any, photos: Any, found: Calibration) -> None:
    everything = observe(small.plain, photos(40, seed=9))
    assert len(found.seen.probabilities) == 36
    assert found.widest == everything.bounds()
    (plain,) = [trial for trial in found.trials if trial.method == "min-max"]
    assert plain.ranges == settled(small.plain, min_max(everything.typical()))
    for trial in found.trials:
        assert trial.ranges.keys() == small.plain.by_name.keys()
        assert trial.ranges["pixels"] == PIXELS
        assert trial.ranges["predictions"] == PROBABILITIES


@pytest.mark.parametrize(("method", "broken"), [("min-max", (0.0, 1e-3)), ("entropy", (0.0, 1e5))])
def test_a_method_whose_network_answers_badly_comes_last(
    small: Any, photos: Any, monkeypatch: pytest.MonkeyPatch, method: str, broken: tuple[float, float]
) -> None:
    methods = {**METHODS, method: lambda seen: dict.fromkeys(seen.names, broken)}
    monkeypatch.setattr(calibration, "METHODS", methods)
    trials = calibrate(small.plain, photos(40, seed=9), Silent()).trials
    assert trials[-1].method == method
    assert trials[-1].agreement < trials[0].agreement
    assert trials[-1].divergence > trials[0].divergence


def test_of_networks_that_agree_equally_the_least_divergence_wins(small: Any, found: Calibration) -> None:
    one, other = Trial("a", small.ranges, 0.9, 0.02), Trial("b", small.ranges, 0.9, 0.01)
    ordered = tuple(sorted((one, other), key=lambda trial: (-trial.agreement, trial.divergence)))
    assert replace(found, trials=ordered).best is other


def test_progress_is_told_and_only_some_photos_answer_again(
    small: Any, photos: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "TRIAL_PHOTOS", 4)
    watcher = Watcher()
    found = calibrate(small.plain, photos(12), watcher)
    assert watcher.tasks == [("calibrating", 12), ("trying calibrations", 4)]
    assert {trial.agreement * 4 % 1 for trial in found.trials} == {0.0}


def test_one_photo_is_enough(small: Any, photos: Any) -> None:
    found = calibrate(small.plain, photos(1), Silent())
    assert len(found.seen.probabilities) == 1
    assert found.best.agreement == 1


def test_the_head_is_the_classifier_and_its_softmax(small: Any) -> None:
    assert float_head(small.plain) == {"predictions_logits", "predictions"}


def test_a_network_without_softmax_has_no_float_head() -> None:
    steps = (Step(Operator.INPUT, "in", (), (2, 2, 3)), Step(Operator.MEAN, "mean", ("in",), (3,)))
    assert float_head(Network("mean", steps)) == frozenset()
