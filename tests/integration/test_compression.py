"""Pruned, clustered and quantization-aware networks: what is kept, and that the files compute what was trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.export.compression import Compressed, Compression, compress, sparsity
from edgewise.export.distillation import FineTuning
from edgewise.export.folding import fold
from edgewise.export.keras_network import keras_network
from edgewise.export.observation import answers, observe
from edgewise.export.plain import WEIGHTED, Activation, Network, Operator, Step, Window
from edgewise.export.quantization import (
    PIXELS,
    Numerics,
    Range,
    Weights,
    affine,
    per_output,
    quantized_bias,
    quantized_kernel,
    settled,
)
from edgewise.export.quantize_aware import QuantizeAware
from edgewise.export.reading import read_network
from edgewise.spec import InputError
from edgewise.spec.progress import Silent
from edgewise.train.architecture import choose
from edgewise.train.framework import seed_everything, tf
from edgewise.train.network import build
from edgewise.train.normalization import normalization_layers
from edgewise.train.pixels import Pixels

SIZE = 16
QUICK = FineTuning(epochs=2, batch_size=16)

FUNCTIONS: Mapping[Activation, Any] = {
    Activation.LINEAR: lambda x: x,
    Activation.RELU: tf.nn.relu,
    Activation.RELU6: tf.nn.relu6,
    Activation.HARD_SWISH: lambda x: x * tf.nn.relu6(x + 3) / 6,
}


def pictures(count: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3))
    return np.clip(tf.image.resize(coarse, (size, size)).numpy(), 0, 255).astype(np.uint8)


def drawn(count: int = 48, size: int = SIZE) -> Pixels:
    return Pixels(pictures(count, size), np.arange(count) % 5, (), ())


def tiny() -> Network:
    """Every kind of step that can be quantized, with weights that keep the signal alive."""
    random = np.random.default_rng(1)
    steps = [Step(Operator.INPUT, "pixels", (), (SIZE, SIZE, 3))]

    def add(operator: Operator, inputs: str, shape: tuple[int, ...], **options: Any) -> None:
        steps.append(Step(operator, f"{operator.name.lower()}_{len(steps)}", tuple(inputs.split()), shape, **options))

    def weights(*shape: int, fan: int, scale: float = 1.0) -> dict[str, Any]:
        out = shape[2] * shape[3] if shape[-1] == 1 and len(shape) == 4 else shape[-1]
        kernel = random.normal(0, scale * (2 / fan) ** 0.5, shape).astype(np.float32)
        return {"kernel": kernel, "bias": random.normal(0, 0.1, out).astype(np.float32)}

    relu, three = Activation.RELU, Window((3, 3), same=True)
    add(Operator.CONVOLUTION, "pixels", (8, 8, 16), activation=relu, window=Window((3, 3), (2, 2), same=True),
        **weights(3, 3, 3, 16, fan=27, scale=1 / 128))  # fmt: skip
    add(Operator.DEPTHWISE, "convolution_1", (8, 8, 16), activation=Activation.RELU6, window=three,
        **weights(3, 3, 16, 1, fan=9))  # fmt: skip
    add(Operator.CONVOLUTION, "depthwise_2", (8, 8, 16), window=Window((1, 1)), **weights(1, 1, 16, 16, fan=16))
    add(Operator.ADDITION, "convolution_1 convolution_3", (8, 8, 16), activation=relu)
    add(Operator.MAX_POOL, "addition_4", (4, 4, 16), window=Window((2, 2), (2, 2)))
    add(Operator.AVERAGE_POOL, "addition_4", (4, 4, 16), window=Window((2, 2), (2, 2)))
    add(Operator.CONVOLUTION, "max_pool_5", (4, 4, 8), activation=relu, window=three, **weights(3, 3, 16, 8, fan=144))
    add(Operator.CONCATENATION, "average_pool_6 convolution_7", (4, 4, 24))
    add(Operator.CONVOLUTION, "concatenation_8", (4, 4, 32), window=three, **weights(3, 3, 24, 32, fan=216))
    add(Operator.ACTIVATION, "convolution_9", (4, 4, 32), activation=Activation.HARD_SWISH)
    add(Operator.MEAN, "activation_10", (32,))
    add(Operator.DENSE, "mean_11", (5,), **weights(32, 5, fan=4))
    add(Operator.SOFTMAX, "dense_12", (5,))
    return Network("tiny", tuple(steps))


def simulated(network: Network, ranges: Mapping[str, Range] | None, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The probabilities of a file, independent of the training: in 8 bits with settled ranges, in floats without."""
    scales = {name: affine(bounds) for name, bounds in ranges.items()} if ranges else {}
    made: dict[str, Any] = {}
    for step in network.steps:
        inputs = [made[name] for name in step.inputs]
        output = tf.cast(images, tf.float32)
        if step.operator in WEIGHTED:
            output = weighted(step, inputs[0], scales[step.inputs[0]].scale if ranges else None)
        elif step.operator is not Operator.INPUT:
            output = FUNCTIONS[step.activation](PLAIN[step.operator](step, inputs))
        if ranges:
            by = scales[step.name]
            output = (tf.clip_by_value(tf.round(output / by.scale) + by.zero_point, 0, 255) - by.zero_point) * by.scale
        made[step.name] = output
    return np.asarray(made[network.output.name])


def weighted(step: Step, x: Any, input_scale: float | None) -> Any:
    kernel, bias = step.kernel, step.bias
    assert kernel is not None
    if input_scale is not None:
        whole, scales = quantized_kernel(step)
        flat = whole.reshape(-1, len(scales)) * scales
        bias = (quantized_bias(step, input_scale, scales) * (input_scale * scales)).astype(np.float32)
        kernel = flat.reshape(kernel.shape).astype(np.float32)
    if step.operator is Operator.DENSE:
        return FUNCTIONS[step.activation](x @ kernel + bias)
    assert step.window is not None
    padding, strides = padded(step), step.window.strides
    if step.operator is Operator.DEPTHWISE:
        product = tf.nn.depthwise_conv2d(x, kernel, (1, *strides, 1), padding)
    else:
        product = tf.nn.conv2d(x, kernel, strides, padding)
    return FUNCTIONS[step.activation](product + bias)


def padded(step: Step) -> str:
    assert step.window is not None
    return "SAME" if step.window.same else "VALID"


PLAIN: Mapping[Operator, Any] = {
    Operator.MAX_POOL: lambda s, x: tf.nn.max_pool2d(x[0], s.window.size, s.window.strides, padded(s)),
    Operator.AVERAGE_POOL: lambda s, x: tf.nn.avg_pool2d(x[0], s.window.size, s.window.strides, padded(s)),
    Operator.MEAN: lambda _, x: tf.reduce_mean(x[0], axis=(1, 2)),
    Operator.CONCATENATION: lambda _, x: tf.concat(x, axis=-1),
    Operator.ADDITION: lambda _, x: x[0] + x[1],
    Operator.ACTIVATION: lambda _, x: x[0],
    Operator.SOFTMAX: lambda _, x: tf.nn.softmax(x[0]),
}


def probabilities(model: Any, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    return np.asarray(tf.nn.softmax(model(images.astype(np.float32), training=False)))


def kernels(network: Network) -> dict[str, NDArray[np.float32]]:
    """Of what is pruned and clustered."""
    return {
        s.name: s.kernel for s in network.weighted() if s.operator is not Operator.DEPTHWISE and s.kernel is not None
    }


def codes(network: Network) -> dict[str, NDArray[np.int8]]:
    return {step.name: quantized_kernel(step)[0] for step in network.weighted() if step.name in kernels(network)}


def fours_have_two_zeros(kernel: NDArray[Any]) -> bool:
    """Along the input channels; the last four may be fewer, of which two may be other than zero as well."""
    channels = kernel.shape[-2]
    return all(
        (np.count_nonzero(kernel[..., start : start + 4, :], axis=-2) <= 2).all() for start in range(0, channels, 4)
    )


@pytest.fixture(scope="module")
def network() -> Network:
    return tiny()


@pytest.fixture(scope="module")
def quantized(network: Network) -> Compressed:
    return compress(network, Compression(quantize=True), drawn(), settings=QUICK)


@pytest.fixture(scope="module")
def everything(network: Network) -> Compressed:
    return compress(network, Compression(prune=0.6, cluster=8, quantize=True), drawn(), settings=QUICK)


def test_keras_computes_what_the_steps_say(network: Network) -> None:
    images = pictures(8, SIZE, seed=5)
    np.testing.assert_allclose(
        probabilities(keras_network(network), images), simulated(network, None, images), atol=1e-5
    )


def test_pruning_makes_the_share_of_zeros_that_was_asked_for(network: Network) -> None:
    before = {step.name: step.kernel for step in network.weighted()}
    result = compress(network, Compression(prune=0.6), drawn(), settings=QUICK)
    for kernel in kernels(result.network).values():
        assert (kernel == 0).mean() == pytest.approx(0.6, abs=1 / kernel.size)
    assert result.figures["sparsity"] == sparsity(result.network) == pytest.approx(0.6, abs=0.001)
    assert np.count_nonzero(result.network.by_name["depthwise_2"].kernel) == 144
    assert result.ranges is None
    assert before == {step.name: step.kernel for step in network.weighted()}, "the network that was given has changed"


def test_fine_tuning_repairs_what_pruning_broke(network: Network) -> None:
    images = drawn().images[:]
    wanted = simulated(network, None, images)

    def distance(rate: float) -> float:
        settings = FineTuning(epochs=8, batch_size=16, learning_rate=rate)
        result = compress(network, Compression(prune=0.7), drawn(), settings=settings)
        answers = simulated(result.network, None, images)
        return float(np.sum(wanted * np.log(wanted / answers), axis=1).mean())

    assert distance(3e-2) < 0.7 * distance(1e-9)


def test_pattern_holds_in_every_group_and_through_int8(network: Network) -> None:
    result = compress(network, Compression(pattern="2:4", quantize=True), drawn(), settings=QUICK)
    assert not any(map(fours_have_two_zeros, kernels(network).values()))
    assert all(map(fours_have_two_zeros, kernels(result.network).values()))
    assert all(map(fours_have_two_zeros, codes(result.network).values()))


def test_clusters_are_counted(network: Network) -> None:
    result = compress(network, Compression(cluster=6), drawn(), settings=QUICK)
    counts = [len(np.unique(kernel)) for kernel in kernels(result.network).values()]
    assert max(counts) == result.figures["distinct"] == 6


def test_zeros_and_clusters_survive_quantization(everything: Compressed) -> None:
    for name, kernel in kernels(everything.network).items():
        whole = codes(everything.network)[name]
        assert len(np.unique(kernel)) <= 8
        assert (kernel == 0).mean() >= 0.6 - 1 / kernel.size
        assert (whole[kernel == 0] == 0).all()
        assert all(len(np.unique(channel)) <= 8 for channel in whole.reshape(-1, whole.shape[-1]).T)
    assert everything.figures["epochs"] == 6
    assert everything.figures["steps"] == 18


def test_every_step_has_a_range(quantized: Compressed) -> None:
    assert quantized.ranges is not None
    assert set(quantized.ranges) == {step.name for step in quantized.network.steps}
    assert quantized.ranges["pixels"] == PIXELS
    assert all(low <= 0 < high for low, high in quantized.ranges.values())


def test_trained_integers_are_the_integers_of_the_file(quantized: Compressed) -> None:
    for step in quantized.network.weighted():
        whole, scales = quantized_kernel(step)
        assert np.abs(per_output(step)).max(axis=0) == pytest.approx(scales * 127, rel=1e-6)
        np.testing.assert_allclose(whole.reshape(-1, len(scales)) * scales, per_output(step), rtol=1e-6)


@pytest.mark.parametrize("which", ["quantized", "everything"])
def test_file_computes_what_was_trained(which: str, request: pytest.FixtureRequest) -> None:
    result: Compressed = request.getfixturevalue(which)
    same(result, pictures(64, SIZE, seed=7), 0.02)


def same(result: Compressed, images: NDArray[np.uint8], tolerance: float) -> None:
    assert result.ranges is not None
    trained = probabilities(QuantizeAware(result.network, result.ranges).model, images)
    written = simulated(result.network, settled(result.network, result.ranges), images)
    np.testing.assert_allclose(trained, written, atol=tolerance)
    unsure = np.sort(written, axis=1)[:, -1] - np.sort(written, axis=1)[:, -2] < 2 * tolerance
    assert (unsure | (trained.argmax(axis=1) == written.argmax(axis=1))).all()


def test_moving_ranges_follow_the_activations(network: Network) -> None:
    wide = {name: (low * 4, high * 4) for name, (low, high) in observe(network, drawn().images[:]).bounds().items()}
    settings = FineTuning(epochs=3, batch_size=16, range_decay=0.8)
    result = compress(network, Compression(quantize=True), drawn(), ranges=wide, settings=settings)
    assert result.ranges is not None
    assert result.ranges["mean_11"][1] < wide["mean_11"][1] / 2
    same(result, pictures(16, SIZE, seed=8), 0.02)


def test_given_ranges_stay_unless_told_otherwise(network: Network, quantized: Compressed) -> None:
    assert quantized.ranges is not None
    wide = {name: (low * 4, high * 4) for name, (low, high) in quantized.ranges.items()}
    result = compress(network, Compression(quantize=True), drawn(), ranges=wide, settings=QUICK)
    assert result.ranges is not None
    assert result.ranges["mean_11"] == pytest.approx(wide["mean_11"], rel=1e-6)


def test_steps_in_floats_are_not_rounded(network: Network) -> None:
    head = frozenset({"dense_12", "softmax_13"})
    result = compress(network, Compression(quantize=True), drawn(), floats=head, settings=QUICK)
    assert result.ranges is not None
    step = result.network.by_name["dense_12"]
    whole, scales = quantized_kernel(step)
    assert step.kernel is not None
    assert np.abs(whole * scales - step.kernel).max() > scales.min() / 4
    images = pictures(32, SIZE, seed=7)
    trained = probabilities(QuantizeAware(result.network, result.ranges, floats=head).model, images)
    numerics = Numerics(Weights.INT8, settled(result.network, result.ranges), floats=head)
    np.testing.assert_allclose(trained, answers(result.network, numerics, images), atol=0.02)


def test_same_seed_gives_the_same_network(network: Network, quantized: Compressed) -> None:
    again = compress(network, Compression(quantize=True), drawn(), settings=QUICK)
    for step in quantized.network.weighted():
        np.testing.assert_allclose(again.network.by_name[step.name].kernel, step.kernel, atol=1e-4)


def test_inception_resnet_is_trained_as_its_file_computes() -> None:
    seed_everything(0)
    model = build(choose("inception_resnet_v2", 5, image_size=75, counts=(1, 1, 1)), momentum=0.0)
    photos = drawn(16, 75)
    model(photos.images[:] / np.float32(127.5) - 1, training=True)  # without momentum: the statistics of these
    assert len(normalization_layers(model)) == 38
    network = read_network(fold(model))
    result = compress(network, Compression(quantize=True), photos, settings=FineTuning(epochs=1, batch_size=8))
    assert result.ranges is not None
    assert set(result.ranges) == {step.name for step in network.steps}
    same(result, pictures(16, 75, seed=9), 0.1)


def test_photos_and_ranges_must_fit(network: Network) -> None:
    wanted = Compression(quantize=True)
    with pytest.raises(InputError, match=r"photos of 20 x 20 pixels\nExpected: 16 x 16, as the network takes them"):
        compress(network, wanted, drawn(4, 20))
    photos = drawn(8)
    with pytest.raises(InputError, match=r"photos whose classes the network does not know\nExpected: .* 5 classes"):
        compress(network, wanted, Pixels(photos.images, photos.labels + 3, (), ()))
    with pytest.raises(InputError, match="no range of 'convolution_1'"):
        compress(network, wanted, photos, ranges={"pixels": PIXELS})


def test_interruption_passes_through(network: Network) -> None:
    class Impatient(Silent):
        def task(self, name: str, total: int) -> Any:  # noqa: ARG002 - the Protocol's signature
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress(network, Compression(prune=0.5), drawn(), settings=QUICK, reporter=Impatient())
