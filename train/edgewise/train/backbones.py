"""The backbones that can be fine-tuned, as data: sizes, cost, official weights, and where each can be cut.

Nothing here needs TensorFlow, so that the table can be shown at once. Parameters and multiply-accumulates are counted
on the built networks by a test, which fails where a figure of this table is another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

INCEPTION_RESNET_V2 = "inception_resnet_v2"
DEFAULT_BACKBONE = INCEPTION_RESNET_V2

SIGNED = "x / 127.5 - 1"
STANDARDIZED = "(x / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)"

STAGES: Mapping[str, int] = {"block35": 10, "block17": 20, "block8": 10}
"""Residual blocks per stage of the full InceptionResNetV2."""


@dataclass(frozen=True)
class Backbone:
    """A network without its classifier."""

    name: str  # as a person types it
    title: str  # as its paper calls it
    image_size: int  # pixels, square: what the official weights were trained with
    min_image_size: int  # pixels, the smallest that Keras builds
    features: int  # values after the global average
    parameters: int  # all of them, normalization statistics included
    macs: int  # multiply-accumulates for one picture of image_size
    preprocessing: str  # what the official network computes from raw RGB pixels x, 0-255
    points: tuple[str, ...]  # blocks from input to output, where a network can be cut; all layers lie in one
    weights_file: str  # official weights without classifier, below the folder of Keras' applications
    weights_md5: str | None  # None: Keras knows none
    weights_sizes: tuple[int, ...] = ()  # pixels: there is one file for each of these, with {size} in its name
    top_layers: int = 1  # layers with weights that an official file with classifier has more

    def official_file(self, image_size: int) -> str:
        """The weights file for a network of this size, by the rule of Keras."""
        size = image_size if image_size in self.weights_sizes else self.image_size
        return self.weights_file.format(size=size)

    @property
    def fp32_bytes(self) -> int:
        """About the size of an exported float file: 4 bytes per parameter."""
        return 4 * self.parameters

    @property
    def int8_bytes(self) -> int:
        """About the size of an exported int8 file: 1 byte per parameter."""
        return self.parameters


def _numbered(prefix: str, numbers: range) -> tuple[str, ...]:
    return tuple(f"{prefix}{number}" for number in numbers)


_INCEPTION_RESNET_V2 = Backbone(
    name=INCEPTION_RESNET_V2,
    title="InceptionResNetV2",
    image_size=299,
    min_image_size=75,
    features=1536,
    parameters=54_336_736,
    macs=13_154_258_016,
    preprocessing=SIGNED,
    points=(
        "stem",
        *_numbered("block35_", range(1, 11)),
        "mixed_6a",
        *_numbered("block17_", range(1, 21)),
        "mixed_7a",
        *_numbered("block8_", range(1, 11)),
        "conv_7b",
    ),
    weights_file="inception_resnet_v2/inception_resnet_v2_weights_tf_dim_ordering_tf_kernels_notop.h5",
    weights_md5="d19885ff4a710c122648d3b5c3b684e4",
)

_INCEPTION_V3 = Backbone(
    name="inception_v3",
    title="InceptionV3",
    image_size=299,
    min_image_size=75,
    features=2048,
    parameters=21_802_784,
    macs=5_711_168_096,
    preprocessing=SIGNED,
    points=("stem", *_numbered("mixed", range(11))),
    weights_file="inception_v3/inception_v3_weights_tf_dim_ordering_tf_kernels_notop.h5",
    weights_md5="bcbd6486424b2319ff4ef7d526e38f63",
)

_MOBILENET_V2 = Backbone(
    name="mobilenet_v2",
    title="MobileNetV2",
    image_size=224,
    min_image_size=32,
    features=1280,
    parameters=2_257_984,
    macs=299_494_272,
    preprocessing=SIGNED,
    points=("Conv1", "expanded_conv", *_numbered("block_", range(1, 17)), "Conv_1"),
    weights_file="mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_{size}_no_top.h5",
    weights_md5=None,
    weights_sizes=(96, 128, 160, 192, 224),
)

_MOBILENET_V3_SMALL = Backbone(
    name="mobilenet_v3_small",
    title="MobileNetV3 small",
    image_size=224,
    min_image_size=32,
    features=576,
    parameters=939_120,
    macs=54_896_576,
    preprocessing=SIGNED,
    points=("Conv", "expanded_conv", *_numbered("expanded_conv_", range(1, 11)), "Conv_1"),
    weights_file="mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
    weights_md5="d3e8ec802a04aa4fc771ee12a9a9b836",
    top_layers=2,
)

_MOBILENET_V3_LARGE = Backbone(
    name="mobilenet_v3_large",
    title="MobileNetV3 large",
    image_size=224,
    min_image_size=32,
    features=960,
    parameters=2_996_352,
    macs=214_080_960,
    preprocessing=SIGNED,
    points=("Conv", "expanded_conv", *_numbered("expanded_conv_", range(1, 15)), "Conv_1"),
    weights_file="mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
    weights_md5="07fb09a5933dd0c8eaafa16978110389",
    top_layers=2,
)

_EFFICIENTNET_V2_B0 = Backbone(
    name="efficientnet_v2_b0",
    title="EfficientNetV2-B0",
    image_size=224,
    min_image_size=32,
    features=1280,
    parameters=5_919_312,
    macs=716_806_176,
    preprocessing=STANDARDIZED,
    points=(
        "stem",
        "block1a",
        *(f"block2{letter}" for letter in "ab"),
        *(f"block3{letter}" for letter in "ab"),
        *(f"block4{letter}" for letter in "abc"),
        *(f"block5{letter}" for letter in "abcde"),
        *(f"block6{letter}" for letter in "abcdefgh"),
        "top",
    ),
    weights_file="efficientnet_v2/efficientnetv2-b0_notop.h5",
    weights_md5="893217f2bb855e2983157299931e43ff",
)

BACKBONES: Mapping[str, Backbone] = {
    backbone.name: backbone
    for backbone in (
        _INCEPTION_RESNET_V2,
        _INCEPTION_V3,
        _MOBILENET_V2,
        _MOBILENET_V3_SMALL,
        _MOBILENET_V3_LARGE,
        _EFFICIENTNET_V2_B0,
    )
}
"""All of them by name; the first is the default."""
