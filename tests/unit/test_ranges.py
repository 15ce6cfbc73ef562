"""The ways to choose a range, on activations made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.export.observation import Observation
from edgewise.export.ranges import METHODS, PERCENTILE, least_error, min_max, percentile, quantized

CUTTING = ("percentile", "least error", "entropy")


def seen(values: NDArray[np.float32], *, low: float | None = None, high: float | None = None) -> Observation:
    """What calibration saw of one step: a sample ``(photos, n)``, and its ends where the sample missed them."""
    lows, highs = values.min(axis=1, keepdims=True), values.max(axis=1, keepdims=True)
    if low is not None:
        lows[0] = low
    if high is not None:
        highs[0] = high
    return Observation(("step",), lows, highs, {"step": values}, np.ones((len(values), 1), np.float32))


def bell(outliers: tuple[float, ...] = (), *, positive: bool = False) -> NDArray[np.float32]:
    """100 photos with 256 activations each of about the size 1, and some far away."""
    values = np.random.default_rng(0).normal(0, 1, (100, 256)).astype(np.float32)
    if positive:
        values = np.maximum(values, 0)
    values[: len(outliers), 0] = outliers
    return values


def error(values: NDArray[np.float32], bounds: tuple[float, float]) -> float:
    return float(np.square(values - quantized(values, bounds)).mean())


def test_the_methods_have_the_names_that_manifests_tell() -> None:
    assert list(METHODS) == ["min-max", "percentile", "least error", "entropy"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("positive", [False, True])
def test_no_range_is_wider_than_what_was_seen_and_all_hold_nearly_everything(method: str, positive: bool) -> None:
    values = bell(positive=positive)
    (low, high), widest = METHODS[method](seen(values))["step"], (values.min(), values.max())
    assert widest[0] <= low <= 0 < high <= widest[1]
    assert ((values >= low) & (values <= high)).mean() > 0.99
    assert bool(low == 0) is positive


@pytest.mark.parametrize("method", METHODS)
def test_only_the_plainest_method_stretches_its_range_to_a_far_outlier(method: str) -> None:
    # One activation in millions after a ReLU: too rare to be in the sample.
    low, high = METHODS[method](seen(bell(positive=True), high=60))["step"]
    assert low == 0
    assert high == 60 if method == "min-max" else 3 < high <= 0.3 * 60 + 1e-6


@pytest.mark.parametrize("method", CUTTING)
def test_a_far_outlier_costs_the_others_no_precision(method: str) -> None:
    values = bell(positive=True)
    found, widest = METHODS[method](seen(values, high=60))["step"], min_max(seen(values, high=60))["step"]
    assert error(values, found) < 0.3 * error(values, widest)


@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_an_outlier_that_is_in_the_sample_is_cut_off_too(method: str) -> None:
    assert 3 < METHODS[method](seen(bell((60.0,))))["step"][1] < 15


def test_the_least_error_moves_both_ends_together() -> None:
    low, high = least_error(seen(bell(), high=60))["step"]
    assert high < 0.7 * 60
    assert low / high == pytest.approx(bell().min() / 60)


def test_the_least_error_cuts_off_only_what_costs_less_than_finer_steps() -> None:
    # Cutting 60 off by 30 would cost 900 / 25,600 of mean squared error; the steps of the wide range cost 0.005.
    assert least_error(seen(bell((60.0,))))["step"][1] > 50
    assert least_error(seen(bell((6.0,))))["step"][1] > 5


def test_an_outlier_below_zero_is_cut_off_as_well() -> None:
    low, high = percentile(seen(bell((-60.0,))))["step"]
    assert -8 < low < -3
    assert 3 < high < 8


def test_min_max_holds_what_the_sample_missed() -> None:
    assert min_max(seen(bell(), low=-70, high=80))["step"] == (-70, 80)


def test_the_percentile_is_of_the_sizes_of_all_activations() -> None:
    values = np.arange(100_000, dtype=np.float32).reshape(100, -1)
    low, high = percentile(seen(values))["step"]
    assert (low, high) == (0, pytest.approx(PERCENTILE / 100 * 99_999, rel=1e-4))


def test_the_least_error_is_the_least_of_all_shares() -> None:
    values = bell((25.0, -9.0))
    best = least_error(seen(values))["step"]
    errors = [error(values, (share * -9.0, share * 25.0)) for share in np.linspace(0.3, 1, 29)]
    assert error(values, best) == pytest.approx(min(errors))
    assert best[0] / best[1] == pytest.approx(-9 / 25)


def test_entropy_is_not_moved_by_how_many_zeros_there_are() -> None:
    values = bell(positive=True)
    more = np.concatenate([values, np.zeros((100, 256 * 20), np.float32)], axis=1)
    assert METHODS["entropy"](seen(more)) == METHODS["entropy"](seen(values))


@pytest.mark.parametrize("method", METHODS)
def test_a_step_that_is_always_zero_has_an_empty_range(method: str) -> None:
    assert METHODS[method](seen(np.zeros((5, 8), np.float32)))["step"] == (0, 0)


def test_rounding_keeps_zero_and_stays_within_half_a_step() -> None:
    bounds = (-1.3, 4.1)
    values = np.linspace(*bounds, 1001).astype(np.float32)
    got = quantized(values, bounds)
    step = (bounds[1] - bounds[0]) / 255
    assert np.abs(got - values).max() <= step + 1e-6  # the ends lie up to half a step beside the grid
    assert np.abs(got - values)[10:-10].max() <= step / 2 + 1e-6
    assert quantized(np.zeros(3, np.float32), bounds).tolist() == [0, 0, 0]
    assert len(np.unique(got)) <= 256
    assert np.abs(quantized(np.float32([-9, 9]), bounds) - bounds).max() <= step
