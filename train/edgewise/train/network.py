"""The networks: a backbone, the global average, dropout and a softmax classifier, in one flat functional graph.

InceptionResNetV2 is built here; the other backbones come from `edgewise.train.applications`.

Source: Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
arXiv:1602.07261, in the form of ``tf_keras.applications.InceptionResNetV2``: the same layers in the same order, so
that its weight files load.

One thing differs. A residual block computes ``relu(x + scale * up(branches))`` there, with a custom layer for the
scale. The up-projection is linear (1x1, with bias, without normalization or activation), so the scale is folded into
its kernel and bias and the block is ``relu(x + up(branches))`` with a plain Add. The result is equal, and every
tool that knows only standard layers can quantize and convert the whole network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgewise.train.applications import application_features
from edgewise.train.architecture import Architecture
from edgewise.train.backbones import INCEPTION_RESNET_V2, STAGES
from edgewise.train.framework import keras

layers = keras.layers

NORMALIZATION_EPSILON = 1e-3
"""Added to the variance in every normalization layer (the Keras default, which the official weights expect)."""

RESIDUAL_SCALE = {"block35": 0.17, "block17": 0.10, "block8": 0.20}
LAST_BLOCK = ("block8", STAGES["block8"])
"""The last block of the full network has scale 1 and no activation."""

BRANCHES: dict[str, tuple[tuple[tuple[int, tuple[int, int]], ...], ...]] = {
    "block35": (
        ((32, (1, 1)),),
        ((32, (1, 1)), (32, (3, 3))),
        ((32, (1, 1)), (48, (3, 3)), (64, (3, 3))),
    ),
    "block17": (
        ((192, (1, 1)),),
        ((128, (1, 1)), (160, (1, 7)), (192, (7, 1))),
    ),
    "block8": (
        ((192, (1, 1)),),
        ((192, (1, 1)), (224, (1, 3)), (256, (3, 1))),
    ),
}
"""Per stage, the branches of its residual block: (filters, kernel size) of each convolution."""


def residual_scale(stage: str, block: int) -> float:
    """The factor that is folded into the up-projection of a block."""
    return 1.0 if (stage, block) == LAST_BLOCK else RESIDUAL_SCALE[stage]


def build(architecture: Architecture, *, top: bool = True, momentum: float = 0.99) -> Any:
    """Build a network with random weights.

    Args:
        architecture: which network.
        top: with dropout and the softmax classifier; without, the output is the pooled features.
        momentum: of the moving normalization statistics, 0-1.

    Returns:
        A ``keras.Model`` from float32 ``(batch, size, size, 3)`` in [-1, 1] to float32 ``(batch, classes)``
        probabilities, or to ``(batch, features)``. It has the name of the backbone, and the layers ``avg_pool``,
        ``dropout`` and ``predictions`` at its end, whatever the backbone.
    """
    inputs = keras.Input(architecture.input_shape, name="pixels")
    if architecture.backbone == INCEPTION_RESNET_V2:
        x = _InceptionResNetV2(momentum).features(inputs, architecture)
    else:
        x = application_features(architecture.backbone, inputs, momentum)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
    if top:
        x = layers.Dropout(architecture.dropout, name="dropout")(x)
        x = layers.Dense(architecture.classes, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, x, name=architecture.backbone)


@dataclass(frozen=True)
class _InceptionResNetV2:
    momentum: float

    def features(self, inputs: Any, architecture: Architecture) -> Any:
        x = self._stem(inputs)
        x = self._blocks(x, "block35", architecture)
        x = self._reduction_a(x)
        x = self._blocks(x, "block17", architecture)
        x = self._reduction_b(x)
        x = self._blocks(x, "block8", architecture)
        return self._conv(x, "conv_7b", 1536, (1, 1))

    def _conv(
        self, x: Any, name: str, filters: int, size: tuple[int, int], strides: int = 1, padding: str = "same"
    ) -> Any:
        x = layers.Conv2D(filters, size, strides=strides, padding=padding, use_bias=False, name=name)(x)
        x = layers.BatchNormalization(
            scale=False, momentum=self.momentum, epsilon=NORMALIZATION_EPSILON, name=f"{name}_bn"
        )(x)
        return layers.Activation("relu", name=f"{name}_ac")(x)

    def _branch(self, x: Any, name: str, convolutions: Sequence[tuple[int, tuple[int, int]]]) -> Any:
        for number, (filters, size) in enumerate(convolutions, 1):
            x = self._conv(x, f"{name}_{number}", filters, size)
        return x

    def _stem(self, x: Any) -> Any:
        x = self._conv(x, "stem_1", 32, (3, 3), strides=2, padding="valid")
        x = self._conv(x, "stem_2", 32, (3, 3), padding="valid")
        x = self._conv(x, "stem_3", 64, (3, 3))
        x = layers.MaxPooling2D(3, strides=2, name="stem_pool_1")(x)
        x = self._conv(x, "stem_4", 80, (1, 1), padding="valid")
        x = self._conv(x, "stem_5", 192, (3, 3), padding="valid")
        x = layers.MaxPooling2D(3, strides=2, name="stem_pool_2")(x)
        branches = [
            self._branch(x, "mixed_5b_b0", [(96, (1, 1))]),
            self._branch(x, "mixed_5b_b1", [(48, (1, 1)), (64, (5, 5))]),
            self._branch(x, "mixed_5b_b2", [(64, (1, 1)), (96, (3, 3)), (96, (3, 3))]),
        ]
        pooled = layers.AveragePooling2D(3, strides=1, padding="same", name="mixed_5b_pool")(x)
        branches.append(self._branch(pooled, "mixed_5b_b3", [(64, (1, 1))]))
        return layers.Concatenate(name="mixed_5b")(branches)

    def _reduction_a(self, x: Any) -> Any:
        first = self._conv(x, "mixed_6a_b0_1", 384, (3, 3), strides=2, padding="valid")
        second = self._branch(x, "mixed_6a_b1", [(256, (1, 1)), (256, (3, 3))])
        second = self._conv(second, "mixed_6a_b1_3", 384, (3, 3), strides=2, padding="valid")
        pooled = layers.MaxPooling2D(3, strides=2, name="mixed_6a_pool")(x)
        return layers.Concatenate(name="mixed_6a")([first, second, pooled])

    def _reduction_b(self, x: Any) -> Any:
        first = self._conv(x, "mixed_7a_b0_1", 256, (1, 1))
        first = self._conv(first, "mixed_7a_b0_2", 384, (3, 3), strides=2, padding="valid")
        second = self._conv(x, "mixed_7a_b1_1", 256, (1, 1))
        second = self._conv(second, "mixed_7a_b1_2", 288, (3, 3), strides=2, padding="valid")
        third = self._branch(x, "mixed_7a_b2", [(256, (1, 1)), (288, (3, 3))])
        third = self._conv(third, "mixed_7a_b2_3", 320, (3, 3), strides=2, padding="valid")
        pooled = layers.MaxPooling2D(3, strides=2, name="mixed_7a_pool")(x)
        return layers.Concatenate(name="mixed_7a")([first, second, third, pooled])

    def _blocks(self, x: Any, stage: str, architecture: Architecture) -> Any:
        for number in architecture.blocks[stage]:
            x = self._block(x, stage, number)
        return x

    def _block(self, x: Any, stage: str, number: int) -> Any:
        name, scale = f"{stage}_{number}", residual_scale(stage, number)
        branches = [
            self._branch(x, f"{name}_b{index}", convolutions) for index, convolutions in enumerate(BRANCHES[stage])
        ]
        mixed = layers.Concatenate(name=f"{name}_mixed")(branches)
        # Glorot's initial kernel times the folded scale: its variance is the scale squared.
        start = keras.initializers.VarianceScaling(scale**2, mode="fan_avg", distribution="uniform")
        up = layers.Conv2D(x.shape[-1], 1, kernel_initializer=start, name=f"{name}_conv")(mixed)
        x = layers.Add(name=f"{name}_add")([x, up])
        return x if (stage, number) == LAST_BLOCK else layers.Activation("relu", name=f"{name}_ac")(x)
