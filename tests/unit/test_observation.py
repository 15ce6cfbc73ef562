"""What calibration sees of a network's activations, and which photos it takes for typical."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.export.observation import SAMPLES, Observation, answers, observe
from edgewise.export.plain import Activation, Network, Operator, Step, Window
from edgewise.export.quantization import Numerics

SIZE = 12


def brightness(threshold: float, size: int = SIZE) -> Network:
    """A network in which only what is brighter than ``threshold`` has activations; the classes are dark and bright."""
    kernel, bias = np.full((1, 1, 3, 2), 1 / 3, np.float32), np.full(2, -threshold, np.float32)
    head = np.array([[-0.1, 0.1], [-0.1, 0.1]], np.float32)
    steps = (
        Step(Operator.INPUT, "pixels", (), (size, size, 3)),
        Step(
            *(Operator.CONVOLUTION, "seen", ("pixels",), (size, size, 2), Activation.RELU),
            kernel=kernel, bias=bias, window=Window((1, 1)),
        ),
        Step(Operator.MEAN, "mean", ("seen",), (2,)),
        Step(Operator.DENSE, "logits", ("mean",), (2,), kernel=head, bias=np.array([5, -5], np.float32)),
        Step(Operator.SOFTMAX, "classes", ("logits",), (2,)),
    )  # fmt: skip
    return Network("brightness", steps)


def gray(*levels: int, size: int = SIZE) -> NDArray[np.uint8]:
    """One flat photo per level, each with one pixel that is a little brighter."""
    photos = np.repeat(np.array(levels, np.uint8), size * size * 3).reshape(-1, size, size, 3)
    photos[:, 3, 4] += 1
    return photos


def levels_kept(threshold: float, levels: list[int]) -> list[int]:
    """Which photos are typical, told by the largest pixel of each."""
    seen = observe(brightness(threshold), gray(*levels)).typical()
    found = [int(high) - 1 for high in seen.highs[:, seen.names.index("pixels")]]
    assert len(set(levels)) == len(levels)
    return [levels.index(level) for level in found]


def test_every_activation_is_seen() -> None:
    # Of the photo of 200 both features are 100, of the others at most 30.
    seen = observe(brightness(100), gray(40, 130, 200))
    assert seen.names == ("pixels", "seen", "mean", "logits", "classes")
    bounds = seen.bounds()
    assert bounds["pixels"] == (40, 201)
    assert bounds["seen"] == pytest.approx((0, 101), abs=1e-3)
    mean = 100 + 1 / SIZE**2
    assert bounds["mean"] == pytest.approx((0, mean), abs=1e-3)
    assert bounds["logits"] == pytest.approx((5 - 0.2 * mean, -5 + 0.2 * mean), abs=1e-3)
    np.testing.assert_allclose(seen.probabilities.sum(axis=1), 1, atol=1e-6)
    assert seen.probabilities.argmax(axis=1).tolist() == [0, 1, 1]


def test_the_smallest_activations_are_seen_where_nothing_cuts_them_off() -> None:
    seen = observe(brightness(0), gray(10, 250))
    lows = seen.lows[:, seen.names.index("logits")]
    # 5 and -5 plus 0.2 of the brightness, which is about 10 and 250.
    np.testing.assert_allclose(lows, [-5 + 0.2 * 10.007, 5 - 0.2 * 250.007], atol=0.01)


def test_a_sample_of_every_photo_comes_from_all_over_the_picture() -> None:
    size = 64
    photos = np.zeros((2, size, size, 3), np.uint8)
    photos[1] = np.arange(size, dtype=np.uint8)[:, None, None] * 3 + np.arange(3, dtype=np.uint8)
    seen = observe(brightness(0, size), photos)
    counts = {name: values.shape for name, values in seen.samples.items()}
    assert [counts[name] for name in ("mean", "logits", "classes")] == [(2, 2)] * 3
    assert 0.9 * SAMPLES < counts["pixels"][1] <= SAMPLES
    assert 0.9 * SAMPLES < counts["seen"][1] <= SAMPLES
    assert not seen.samples["pixels"][0].any()
    sample = seen.samples["pixels"][1]
    assert {int(value) % 3 for value in sample} == {0, 1, 2}  # every channel
    assert len({int(value) // 3 for value in sample}) > 0.9 * size  # nearly every row


def test_the_network_is_seen_in_the_same_way_in_many_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = gray(*range(10, 30))
    whole = observe(brightness(15), photos)
    monkeypatch.setattr("edgewise.export.observation._MEMORY", 3 * 4 * SIZE * SIZE * 5)
    parts = observe(brightness(15), photos)
    np.testing.assert_array_equal(parts.highs, whole.highs)
    np.testing.assert_array_equal(parts.lows, whole.lows)
    np.testing.assert_array_equal(parts.samples["seen"], whole.samples["seen"])
    np.testing.assert_allclose(parts.probabilities, whole.probabilities, atol=1e-6)


def test_the_photos_with_the_largest_activations_are_left_out() -> None:
    levels = [50 + number for number in range(18)]
    levels[3], levels[11] = 240, 250
    assert levels_kept(40, [*levels, 70, 71]) == [number for number in range(20) if number not in (3, 11)]


def test_a_tensor_that_most_photos_leave_at_zero_does_not_judge() -> None:
    # `seen` and `mean` are zero for the first 15; the pixels and the logits say that bright photos stand out.
    assert levels_kept(200, [*range(100, 115), 201, 210, 220, 230, 250])[:15] == list(range(15))


@pytest.mark.parametrize(("photos", "kept"), [(1, 1), (2, 2), (5, 4), (9, 8), (10, 9), (35, 32)])
def test_about_nine_tenths_are_kept_and_at_least_one(photos: int, kept: int) -> None:
    seen = observe(brightness(0), gray(*range(10, 10 + photos)), threads=1).typical()
    assert [len(seen.lows), len(seen.highs), len(seen.probabilities)] == [kept] * 3
    assert {len(values) for values in seen.samples.values()} == {kept}


def test_photos_that_nothing_sets_apart_are_kept_from_the_first() -> None:
    still = np.zeros((20, 2), np.float32)
    seen = Observation(("a", "b"), still, still, {"a": np.arange(20, dtype=np.float32)[:, None]}, np.eye(20, dtype="f"))
    kept = seen.typical()
    assert kept.samples["a"][:, 0].tolist() == list(range(18))
    assert kept.probabilities.argmax(axis=1).tolist() == list(range(18))


def test_a_large_negative_activation_stands_out_as_well() -> None:
    lows, highs = np.full((10, 1), -1, np.float32), np.ones((10, 1), np.float32)
    lows[4] = -30
    seen = Observation(("a",), lows, highs, {"a": highs}, np.ones((10, 1), np.float32))
    assert seen.bounds() == {"a": (-30.0, 1.0)}
    assert seen.typical().bounds() == {"a": (-1.0, 1.0)}


def test_answers_are_those_of_all_photos() -> None:
    photos = gray(*range(20, 220, 5))
    got = answers(brightness(0), Numerics(), photos, threads=1)
    expected: Any = observe(brightness(0), photos).probabilities
    assert got.shape == (40, 2)
    np.testing.assert_allclose(got, expected, atol=1e-6)
