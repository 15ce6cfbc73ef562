"""Scales, zero points, int8 kernels, and the ranges that both file formats need."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgewise.export.plain import Activation, Network, Operator, Step, Window
from edgewise.export.quantization import (
    PIXELS,
    PROBABILITIES,
    Affine,
    affine,
    per_output,
    quantized_bias,
    quantized_kernel,
    settled,
)


def convolution(kernel: Any, bias: Any = None, operator: Operator = Operator.CONVOLUTION) -> Step:
    kernel = np.asarray(kernel, np.float32)
    channels = kernel.shape[2] * kernel.shape[3] if operator is Operator.DEPTHWISE else kernel.shape[-1]
    bias = np.zeros(channels, np.float32) if bias is None else np.asarray(bias, np.float32)
    return Step(operator, "it", ("in",), (4, 4, channels), kernel=kernel, bias=bias, window=Window((1, 1)))


def network(*steps: Step) -> Network:
    return Network("steps", (Step(Operator.INPUT, "in", (), (4, 4, 3)), *steps))


def step(operator: Operator, name: str, *inputs: str, activation: Activation = Activation.LINEAR) -> Step:
    return Step(operator, name, inputs, (4, 4, 3), activation)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        (PIXELS, Affine(1.0, 0)),
        (PROBABILITIES, Affine(1 / 256, 0)),
        ((-1.0, 1.5), Affine(float(np.float32(2.5 / 255)), 102)),
        ((-25.5, 0.0), Affine(float(np.float32(0.1)), 255)),
        ((2.0, 25.5), Affine(float(np.float32(0.1)), 0)),
        ((-25.5, -2.0), Affine(float(np.float32(0.1)), 255)),
    ],
)
def test_8_bits_span_the_range_and_zero(bounds: tuple[float, float], expected: Affine) -> None:
    assert affine(bounds) == expected


@pytest.mark.parametrize("bounds", [(-3.0, 1.0), (0.0, 3.0), (-3.0, 0.0)])
def test_16_bits_are_symmetric(bounds: tuple[float, float]) -> None:
    assert affine(bounds, 16) == Affine(float(np.float32(3 / 32767)), 0)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tensor_that_is_always_zero_has_some_scale(bits: int) -> None:
    form = affine((0.0, 0.0), bits)
    assert 0 < form.scale < 1e-9
    assert form.zero_point == 0


def test_zero_is_exact_in_every_range() -> None:
    chance = np.random.default_rng(0)
    for low, high in chance.normal(0, 10, (200, 2)):
        form = affine((min(low, high), max(low, high)))
        assert isinstance(form.zero_point, int)
        assert 0 <= form.zero_point <= 255


def test_every_output_channel_has_its_own_scale_and_uses_all_of_int8() -> None:
    kernel = np.random.default_rng(0).normal(0, 1, (3, 3, 5, 4)) * [1e-4, 1e-2, 1, 100]
    whole, scales = quantized_kernel(convolution(kernel))
    assert (whole.dtype, whole.shape, scales.dtype, scales.shape) == (np.int8, kernel.shape, np.float32, (4,))
    assert np.abs(whole.astype(int)).max(axis=(0, 1, 2)).tolist() == [127] * 4
    assert np.abs(whole * scales - kernel).max(axis=(0, 1, 2)) == pytest.approx(scales / 2, rel=0.05)
    assert (np.abs(whole * scales - kernel).max(axis=(0, 1, 2)) <= scales * 0.5001).all()


def test_minus_128_is_not_used() -> None:
    whole, scales = quantized_kernel(convolution([[[[-1.0], [0.5], [0.0]]]]))
    assert whole.reshape(-1).tolist() == [-127, 64, 0]
    assert scales == pytest.approx(1 / 127)


def test_depthwise_channels_follow_each_other() -> None:
    kernel = np.zeros((1, 1, 2, 3))  # 2 channels in, 3 filters of each
    kernel[0, 0] = [[1, 2, 3], [4, 5, 6]]
    depthwise = convolution(kernel, operator=Operator.DEPTHWISE)
    assert per_output(depthwise).tolist() == [[1, 2, 3, 4, 5, 6]]
    whole, scales = quantized_kernel(depthwise)
    np.testing.assert_allclose(scales * 127, [1, 2, 3, 4, 5, 6], rtol=1e-6)
    assert (whole == 127).all()


def test_a_dead_channel_gives_zeros() -> None:
    kernel = np.ones((1, 1, 3, 2))
    kernel[..., 1] = 0
    whole, scales = quantized_kernel(convolution(kernel))
    assert not whole[..., 1].any()
    assert scales[1] > 0
    assert np.isfinite(quantized_bias(convolution(kernel, [1, 1]), 1.0, scales)).all()


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("weight", [0.0, 1e-9, 0.5])
def test_the_bias_of_a_channel_without_weights_survives(weight: float, bits: int) -> None:
    kernel = np.full((1, 1, 3, 2), 0.5)
    kernel[..., 1] = weight
    it, scale = convolution(kernel, [0.8, -0.8]), affine((0, 6), bits).scale
    whole, scales = quantized_kernel(it, scale, bits)
    bias = quantized_bias(it, scale, scales, bits)
    assert bias * (scale * scales.astype(float)) == pytest.approx([0.8, -0.8], rel=1e-4)
    assert np.abs(bias).max() < 2 ** (31 if bits == 8 else 47)
    assert (whole * scales)[..., 1] == pytest.approx(weight, abs=1e-6)


def test_a_bias_is_in_units_of_both_scales_and_fits_into_32_bits() -> None:
    it = convolution(np.ones((1, 1, 3, 3)), [0.5, -0.5, 1e30])
    bias = quantized_bias(it, 0.1, np.float32([0.01, 0.02, 0.01]))
    assert bias.tolist() == [500, -250, 2**31 - 1]


def test_the_input_keeps_its_pixels_and_the_softmax_its_probabilities() -> None:
    it = network(step(Operator.CONVOLUTION, "a", "in"), step(Operator.SOFTMAX, "out", "a"))
    found = settled(it, {"in": (3, 200), "a": (-1, 2), "out": (0.1, 0.7)})
    assert found == {"in": PIXELS, "a": (-1, 2), "out": PROBABILITIES}


def test_zero_is_within_every_range() -> None:
    it = network(step(Operator.CONVOLUTION, "a", "in"), step(Operator.CONVOLUTION, "b", "a"))
    found = settled(it, {"in": (0, 1), "a": (2, 5), "b": (-5, -2)})
    assert (found["a"], found["b"]) == ((0, 5), (-5, 0))


@pytest.mark.parametrize(
    "mover", [Operator.MAX_POOL, Operator.AVERAGE_POOL, Operator.PADDING, Operator.RESHAPE, Operator.CONCATENATION]
)
def test_what_only_moves_numbers_has_the_range_of_what_it_takes(mover: Operator) -> None:
    it = network(step(Operator.CONVOLUTION, "a", "in"), step(mover, "b", "a"), step(Operator.ADDITION, "c", "a", "b"))
    found = settled(it, {"in": (0, 255), "a": (-1, 2), "b": (-0.5, 1), "c": (-2, 3)})
    assert (found["a"], found["b"], found["c"]) == ((-1, 2), (-1, 2), (-2, 3))


def test_all_that_a_concatenation_joins_shares_one_range() -> None:
    it = network(
        step(Operator.CONVOLUTION, "a", "in"),
        step(Operator.MAX_POOL, "pool", "a"),
        step(Operator.CONVOLUTION, "b", "in"),
        step(Operator.CONCATENATION, "joined", "pool", "b"),
        step(Operator.CONCATENATION, "again", "joined", "a"),
        step(Operator.MEAN, "mean", "again"),
    )
    ranges = {"in": (0, 255), "a": (0, 1), "pool": (0, 1), "b": (-4, 2), "joined": (-4, 2), "again": (-4, 2)}
    found = settled(it, {**ranges, "mean": (-1, 1)})
    assert {found[name] for name in ("a", "pool", "b", "joined", "again")} == {(-4, 2)}
    assert found["mean"] == (-1, 1)


def test_padded_pixels_are_pixels_still() -> None:
    it = network(step(Operator.PADDING, "pad", "in"), step(Operator.CONVOLUTION, "a", "pad"))
    found = settled(it, {"in": (7, 201), "pad": (0, 201), "a": (-1, 1)})
    assert (found["in"], found["pad"]) == (PIXELS, PIXELS)


@pytest.mark.parametrize(("bits", "expected"), [(8, PROBABILITIES), (16, (0, 0.6))])
def test_a_sigmoid_has_the_scale_that_tflite_demands_of_8_bits(bits: int, expected: tuple[float, float]) -> None:
    it = network(
        step(Operator.CONVOLUTION, "a", "in"),
        step(Operator.ACTIVATION, "gate", "a", activation=Activation.SIGMOID),
        step(Operator.RESHAPE, "moved", "gate"),
        step(Operator.MULTIPLICATION, "b", "a", "moved"),
    )
    found = settled(it, {"in": PIXELS, "a": (-3, 3), "gate": (0.2, 0.6), "moved": (0.2, 0.6), "b": (-1, 1)}, bits)
    assert (found["gate"], found["moved"], found["a"], found["b"]) == (expected, expected, (-3, 3), (-1, 1))


def test_a_sigmoid_joined_with_larger_numbers_cuts_none_of_them_off() -> None:
    it = network(
        step(Operator.CONVOLUTION, "a", "in"),
        step(Operator.ACTIVATION, "gate", "a", activation=Activation.SIGMOID),
        step(Operator.CONCATENATION, "joined", "a", "gate"),
    )
    found = settled(it, {"in": PIXELS, "a": (-3, 3), "gate": (0.2, 0.6), "joined": (-3, 3)})
    assert found["joined"] == (-3, 3)
