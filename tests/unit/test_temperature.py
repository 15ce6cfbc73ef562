"""Temperature, calibration error and threshold against figures worked out by hand, and files nobody trusts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.spec import ModelError
from edgewise.train.temperature import (
    TemperatureScaling,
    calibration_error,
    fit,
    negative_log_likelihood,
    read_scaling,
    reliability,
    rescale,
)

TWO = np.array([[0.9, 0.1], [0.9, 0.1], [0.8, 0.2], [0.4, 0.6]], np.float32)
TRUTH = np.array([0, 1, 0, 1])
FITTED = TemperatureScaling(1.5, 0.4, 0.95, 0.6, 0.5, 0.2, 0.1, 100)


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float32]:
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def overconfident(factor: float, photos: int = 2000) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Answers whose scores are ``factor`` times as large as honest ones, with truths drawn from the honest ones."""
    random = np.random.default_rng(0)
    scores = random.normal(0, 2, (photos, 4))
    honest = softmax(scores)
    truth = (honest.cumsum(axis=1) > random.random((photos, 1))).argmax(axis=1)
    return softmax(factor * scores), truth


def test_calibration_error_by_hand() -> None:
    # Bins of answers: 0.9 (two, half of them right), 0.8 (right) and 0.6 (right).
    assert calibration_error(TWO, TRUTH) == pytest.approx((2 * 0.4 + 0.2 + 0.4) / 4)
    full = {round(part.confidence, 2): part for part in reliability(TWO, TRUTH) if part.photos}
    assert {sure: (part.photos, part.accuracy) for sure, part in full.items()} == {
        0.6: (1, 1.0),
        0.8: (1, 1.0),
        0.9: (2, 0.5),
    }
    assert len(reliability(TWO, TRUTH)) == 15


def test_negative_log_likelihood_by_hand() -> None:
    expected = -np.log([0.9, 0.1, 0.8, 0.6]).mean()
    assert negative_log_likelihood(TWO, TRUTH) == pytest.approx(expected, rel=1e-5)
    impossible = np.array([[1, 0]], np.float32)
    assert 80 < negative_log_likelihood(impossible, np.array([1])) < 100


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_rescaling_equals_dividing_the_scores(temperature: float) -> None:
    scores = np.random.default_rng(1).normal(0, 4, (50, 6))
    expected = softmax(scores / temperature)
    np.testing.assert_allclose(rescale(softmax(scores), temperature), expected, atol=1e-5)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_factor_of_overconfidence_is_found(factor: float) -> None:
    probabilities, truth = overconfident(factor)
    scaling = fit(probabilities, truth)
    assert scaling.temperature == pytest.approx(factor, rel=0.1)
    assert scaling.nll_after <= scaling.nll_before
    assert scaling.ece_after < 0.04
    if factor == 3:
        assert scaling.ece_before > 0.15
    assert (scaling.photos, scaling.remark) == (2000, "")


@pytest.mark.parametrize("share", [0.5, 0.95, 1.0])
def test_the_threshold_keeps_the_chosen_share_of_right_answers(share: float) -> None:
    probabilities, truth = overconfident(3.0)
    scaling = fit(probabilities, truth, share)
    scaled = rescale(probabilities, scaling.temperature)
    right = scaled.argmax(axis=1) == truth
    assert scaling.unknown_threshold is not None
    kept = (scaled.max(axis=1)[right] >= scaling.unknown_threshold).mean()
    assert share <= kept <= share + 0.01


def test_answers_that_are_all_right_fit_no_temperature() -> None:
    probabilities, truth = softmax(np.eye(3)[np.arange(60) % 3] * 4), np.arange(60) % 3
    scaling = fit(probabilities, truth)
    assert scaling.temperature == 1
    assert scaling.remark == "every validation answer is right, which says nothing about how sure the network may be"
    assert scaling.unknown_threshold is not None
    assert scaling.nll_before == scaling.nll_after


def test_answers_that_are_all_wrong_fit_nothing() -> None:
    probabilities = softmax(np.eye(3)[np.arange(60) % 3] * 9)
    scaling = fit(probabilities, (np.arange(60) + 1) % 3)
    assert (scaling.temperature, scaling.unknown_threshold) == (1, None)
    assert scaling.remark == "no temperature makes the validation answers believable"


def test_few_photos_fit_nothing() -> None:
    scaling = fit(TWO, TRUTH)
    assert (scaling.temperature, scaling.unknown_threshold, scaling.photos) == (1, None, 4)
    assert scaling.remark == "4 validation photos are too few to fit a temperature"


def write(path: Path, data: Any) -> Path:
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return path


def test_what_was_written_is_read(tmp_path: Path) -> None:
    assert read_scaling(write(tmp_path / "metrics.json", {"top1": 1, "calibration": FITTED.to_data()})) == FITTED
    without = TemperatureScaling(photos=4)
    assert read_scaling(write(tmp_path / "metrics.json", {"calibration": without.to_data()})) == without


def test_runs_without_calibration_change_nothing(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.json", write(tmp_path / "old.json", {"top1": 0.5})):
        assert read_scaling(path) == TemperatureScaling()
        assert read_scaling(path).temperature == 1
        assert read_scaling(path).unknown_threshold is None


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("temperature", 0, "a number from 0.05 to 20"),
        ("temperature", float("nan"), "a number from 0.05 to 20"),
        ("temperature", float("inf"), "a number from 0.05 to 20"),
        ("temperature", True, "a number from 0.05 to 20"),
        ("temperature", "1.5", "a number from 0.05 to 20"),
        ("temperature", None, "a number from 0.05 to 20"),
        ("unknown_threshold", 1.5, "a number from 0 to 1"),
        ("kept_share", -1, "a number from 0 to 1"),
        ("photos", [], "a number from 0 to 2.14748e+09"),
        ("ece_after", {"a": 1}, "a number from 0 to 1"),
    ],
)
def test_a_figure_out_of_range_is_named(tmp_path: Path, key: str, value: object, expected: str) -> None:
    path = write(tmp_path / "metrics.json", {"calibration": {**FITTED.to_data(), key: value}})
    with pytest.raises(ModelError) as error:
        read_scaling(path)
    assert error.value.got.startswith(f"{path}: '{key}' of its calibration is ")
    assert (error.value.expected, error.value.do) == (expected, "train again")


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("", "is not JSON"),
        ("{" * 100_000, "is not JSON"),
        ("[1]", "holds [1]"),
        ('{"calibration": 3}', ": its calibration is 3"),
        ('{"calibration": {}}', ": 'temperature' of its calibration is None"),
    ],
)
def test_what_no_training_wrote(tmp_path: Path, text: str, got: str) -> None:
    path = write(tmp_path / "metrics.json", text)
    with pytest.raises(ModelError) as error:
        read_scaling(path)
    assert got in error.value.got


def test_a_folder_in_place_of_the_figures(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        read_scaling(tmp_path)
