"""How much each step loses by quantization: by hand, and in small networks."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgewise.export.layer_errors import LayerError, draw, layer_errors, own_sqnr, worst_steps
from edgewise.export.observation import Observation, observe
from edgewise.export.plain import Operator, Step, Window
from edgewise.export.quantization import Numerics, Weights


@pytest.fixture(scope="module")
def seen(small: Any, photos: Any) -> Observation:
    return observe(small.plain, photos(40, seed=9))


def convolution(*weights: float) -> Step:
    """One channel in, one filter for each weight."""
    kernel = np.array(weights, np.float32).reshape(1, 1, -1, 1)
    return Step(
        *(Operator.CONVOLUTION, "it", ("in",), (4, 4, 1)),
        kernel=kernel, bias=np.zeros(1, np.float32), window=Window((1, 1)),
    )  # fmt: skip


def test_rounding_to_a_step_makes_noise_of_a_twelfth_of_its_square() -> None:
    values = np.random.default_rng(0).uniform(0, 1, (100, 256)).astype(np.float32)
    pool = Step(Operator.MAX_POOL, "it", ("in",), (4, 4, 1), window=Window((2, 2)))
    expected = 10 * np.log10((1 / 3) / ((1 / 255) ** 2 / 12))
    assert own_sqnr(pool, values, (0.0, 1.0)) == pytest.approx(expected, abs=0.1)
    # A range twice as wide has one bit less: 6 dB.
    assert own_sqnr(pool, values, (0.0, 2.0)) == pytest.approx(expected - 6.02, abs=0.1)


def test_cut_activations_are_noise() -> None:
    values = np.array([[1, 1, 1, 10]], np.float32)
    pool = Step(Operator.MAX_POOL, "it", ("in",), (4, 4, 1), window=Window((2, 2)))
    assert own_sqnr(pool, values, (0.0, 5.0)) == pytest.approx(10 * np.log10(103 / 25), abs=0.1)


def test_the_kernels_rounding_counts_too() -> None:
    values = np.random.default_rng(0).uniform(0, 1, (100, 256)).astype(np.float32)
    exact, rounded = convolution(127, 1, 2), convolution(127, 0.5, 1.5, 2.5, 3.5)
    # Half a step off in four of five weights, of which one is large.
    alone = 10 * np.log10((127**2 + 0.25 + 2.25 + 6.25 + 12.25) / 1.0)
    assert own_sqnr(rounded, values, (0.0, 1.0)) < own_sqnr(exact, values, (0.0, 1.0))
    assert own_sqnr(rounded, np.zeros((1, 8), np.float32), (0.0, 1.0)) == pytest.approx(alone, abs=0.1)


def test_a_step_without_noise_has_a_finite_figure() -> None:
    zeros = np.zeros((1, 8), np.float32)
    assert own_sqnr(convolution(127, 1), zeros, (0.0, 1.0)) == pytest.approx(200)


def test_every_step_is_measured_in_order(small: Any, numerics: Any, seen: Observation, photos: Any) -> None:
    errors = layer_errors(small.plain, numerics["int8"], seen, photos(20), threads=1)
    assert [error.name for error in errors] == [step.name for step in small.plain.steps[1:]]
    assert [error.operator for error in errors] == [step.operator.value for step in small.plain.steps[1:]]
    for error in errors:
        assert error.sqnr > 10
        assert 10 < error.own_sqnr <= 200
        assert 0.9 < error.cosine <= 1 + 1e-9
    assert errors[0].to_data() == {
        "name": errors[0].name,
        "operator": errors[0].operator,
        "own_sqnr": errors[0].own_sqnr,
        "sqnr": errors[0].sqnr,
        "cosine": errors[0].cosine,
    }


def test_16_bit_activations_leave_more_signal(small: Any, numerics: Any, seen: Observation, photos: Any) -> None:
    found = [layer_errors(small.plain, numerics[name], seen, photos(8)) for name in ("int8", "w8a16")]
    eight, sixteen = ([error.sqnr for error in errors if error.name == "avg_pool"] for errors in found)
    assert sixteen[0] > eight[0] + 1


def test_a_ruined_step_is_found_and_harms_all_after_it(small: Any, seen: Observation, photos: Any) -> None:
    victim = list(small.plain.weighted())[1].name
    low, high = small.ranges[victim]
    ranges = {**small.ranges, victim: (low * 30, high * 30)}
    assert worst_steps(small.plain, seen, ranges, 1) == (victim,)
    found = worst_steps(small.plain, seen, ranges, 3)
    assert (len(found), found[0]) == (3, victim)
    sound, ruined = (
        {
            error.name: error
            for error in layer_errors(small.plain, Numerics(Weights.INT8, each, floats=small.head), seen, photos(8))
        }
        for each in (small.ranges, ranges)
    )
    assert ruined[victim].own_sqnr < sound[victim].own_sqnr - 10
    assert ruined[victim].sqnr < sound[victim].sqnr - 10
    assert ruined["avg_pool"].sqnr < sound["avg_pool"].sqnr - 3
    assert ruined["avg_pool"].own_sqnr == sound["avg_pool"].own_sqnr


def test_the_worst_steps_come_in_order(small: Any, seen: Observation) -> None:
    count = sum(1 for _ in small.plain.weighted())
    names = worst_steps(small.plain, seen, small.ranges, count)
    assert sorted(names) == sorted(step.name for step in small.plain.weighted())
    noise = [own_sqnr(small.plain.by_name[name], seen.samples[name], small.ranges[name]) for name in names]
    assert noise == sorted(noise)


def test_the_picture_is_a_png() -> None:
    errors = [LayerError(f"step {number}", "mean", 40.0 - number, 38.0 - number, 0.99) for number in range(20)]
    content = draw(errors, "a network")
    with Image.open(io.BytesIO(content)) as picture:
        assert picture.format == "PNG"
        assert picture.size == (1080, 540)
        assert len(set(picture.convert("L").tobytes())) > 20
    assert draw([replace(error, sqnr=10.0) for error in errors], "a network") != content
