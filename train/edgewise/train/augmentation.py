"""What a photo may look like otherwise and still be the same thing: made in the graph, equal for equal seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from edgewise.spec import InputError
from edgewise.train.framework import tf

OPERATIONS = ("rotate", "shear_x", "shear_y", "shift_x", "shift_y", "saturation", "contrast", "brightness", "erase")
"""Further changes of which each photo gets some."""

MAX_ANGLE, MAX_SHEAR, MAX_SHIFT = math.pi / 6, 0.3, 0.3
"""At full magnitude: radians, and shares of the side."""

MAX_COLOR = 0.9
"""At full magnitude: relative change of saturation, contrast and brightness."""

MAX_ERASED = 0.5
"""At full magnitude: side of the erased square as a share of the photo's."""


@dataclass(frozen=True)
class Augmentation:
    """How much a photo is varied.

    By default not at all: in short trainings mirroring earned nothing, and zoom and light together cost 7 points of
    accuracy (benchmarks/README.md). Long ones may want them.
    """

    flip: bool = False  # left and right may be exchanged; wrong for text and arrows
    zoom: float = 0.0  # largest share of each side that is cropped away, 0-0.9
    light: float = 0.0  # largest relative change of brightness and of contrast, 0-0.9
    operations: int = 0  # how many of `OPERATIONS` each photo gets, chosen at random
    magnitude: float = 0.5  # how strong these are at most, 0-1

    def __post_init__(self) -> None:
        whole = isinstance(self.operations, int) and 0 <= self.operations <= len(OPERATIONS)
        if not (isinstance(self.flip, bool) and 0 <= self.zoom <= 0.9 and 0 <= self.light <= 0.9):
            raise InputError("the augmentation is out of range", "flip true or false, zoom and light from 0 to 0.9")
        if not (whole and 0 <= self.magnitude <= 1):
            raise InputError(
                "the augmentation is out of range", f"0 to {len(OPERATIONS)} operations, magnitude from 0 to 1"
            )


def augment(images: Any, augmentation: Augmentation, seed: tuple[int, Any]) -> Any:
    """Crop, flip and relight every picture of a batch differently, and vary it further.

    Args:
        images: ``(batch, size, size, 3)``, 0-255.
        augmentation: what is varied.
        seed: two whole numbers; equal seeds give equal pictures.

    Returns:
        float32 of the same shape, 0-255.
    """
    count, size = tf.shape(images)[0], images.shape[1]
    key = tf.stack([tf.cast(part, tf.int32) for part in seed])
    draw = tf.random.stateless_uniform((7, count), key)
    images = tf.cast(images, tf.float32)
    if augmentation.zoom or augmentation.flip:
        images = tf.image.crop_and_resize(images, _boxes(draw, augmentation), tf.range(count), (size, size))
    contrast, brightness = (augmentation.light * (2 * draw[row] - 1) for row in (5, 6))
    images = _relight(images, contrast, brightness)
    if augmentation.operations:
        images = _vary(images, augmentation, key + 1)
    return tf.clip_by_value(images, 0.0, 255.0)


def _boxes(draw: Any, augmentation: Augmentation) -> Any:
    """Random crop boxes ``(batch, 4)`` as y1, x1, y2, x2 in [0, 1]; x1 > x2 mirrors, as crop_and_resize defines it."""
    height, width = (1 - augmentation.zoom * draw[row] for row in (0, 1))
    top, left = draw[2] * (1 - height), draw[3] * (1 - width)
    mirrored = tf.logical_and(augmentation.flip, draw[4] < 0.5)
    x1 = tf.where(mirrored, left + width, left)
    x2 = tf.where(mirrored, left, left + width)
    return tf.stack([top, x1, top + height, x2], axis=1)


def _relight(images: Any, contrast: Any, brightness: Any) -> Any:
    """Change contrast and brightness of each picture by a share of themselves."""
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    return (images - mean) * (1 + contrast)[:, None, None, None] + mean * (1 + brightness)[:, None, None, None]


def _vary(images: Any, augmentation: Augmentation, key: Any) -> Any:
    """A few random operations of random strength per picture (after RandAugment, Cubuk et al., arXiv:1909.13719).

    All geometric operations are one resampling, so that a picture is interpolated once and the cost does not depend on
    how many there are.
    """
    count = tf.shape(images)[0]
    draw = tf.random.stateless_uniform((len(OPERATIONS) * 2 + 2, count), key)
    amount, order = draw[: len(OPERATIONS)], draw[len(OPERATIONS) : -2]
    rank = tf.argsort(tf.argsort(order, axis=0), axis=0)
    chosen = tf.cast(rank < augmentation.operations, tf.float32)
    amounts = dict(zip(OPERATIONS, tf.unstack((2 * amount - 1) * chosen * augmentation.magnitude), strict=True))
    images = _transform(images, amounts)
    gray = tf.reduce_mean(images, axis=3, keepdims=True)
    images = gray + (images - gray) * (1 + MAX_COLOR * amounts["saturation"])[:, None, None, None]
    images = _relight(images, MAX_COLOR * amounts["contrast"], MAX_COLOR / 2 * amounts["brightness"])
    return _erase(images, tf.abs(amounts["erase"]), draw[-2], draw[-1])


def _transform(images: Any, amounts: dict[str, Any]) -> Any:
    """Rotate, shear and shift around the centre; what comes in at the border is mirrored from the inside."""
    size = images.shape[1]
    centre = (size - 1) / 2
    cosine, sine = tf.cos(MAX_ANGLE * amounts["rotate"]), tf.sin(MAX_ANGLE * amounts["rotate"])
    across = -sine + MAX_SHEAR * amounts["shear_x"]
    down = sine + MAX_SHEAR * amounts["shear_y"]
    left, top = (
        centre * (1 - cosine - slope) + MAX_SHIFT * size * shift
        for slope, shift in ((across, amounts["shift_x"]), (down, amounts["shift_y"]))
    )
    zero = tf.zeros_like(cosine)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([cosine, across, left, down, cosine, top, zero, zero], axis=1),
        output_shape=(size, size),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="REFLECT",
    )


def _erase(images: Any, amount: Any, x: Any, y: Any) -> Any:
    """Put a grey square over a random place (Zhong et al., "Random Erasing", arXiv:1708.04896)."""
    size = images.shape[1]
    return tf.where(_squares(size, MAX_ERASED / 2 * amount * size, x, y)[..., None], 127.5, images)


def mix(images: Any, targets: Any, mixup: float, cutmix: float, key: Any) -> tuple[Any, Any]:
    """Mix every picture with its neighbour in the batch, and their targets by the same share.

    Sources: mixup, Zhang et al., arXiv:1710.09412; CutMix, Yun et al., arXiv:1905.04899. Where both are asked for, each
    batch gets one of them.

    Args:
        images: float32 ``(batch, size, size, 3)``.
        targets: float32 ``(batch, classes)``, each row summing to 1.
        mixup: alpha of the share's Beta distribution; 0 leaves it out.
        cutmix: the same for the share of the area that a pasted rectangle takes.
        key: int32 ``(2,)`` seed.

    Returns:
        Images and targets of the same shapes.
    """
    if not mixup and not cutmix:
        return images, targets
    others, other_targets = tf.roll(images, 1, axis=0), tf.roll(targets, 1, axis=0)
    draw = tf.random.stateless_uniform((3, tf.shape(images)[0]), key + 2)
    kinds = []
    if mixup:
        share = _beta(tf.shape(images)[0], mixup, key + 3)
        kinds.append(
            (_blend(images, others, share[:, None, None, None]), _blend(targets, other_targets, share[:, None]))
        )
    if cutmix:
        size, wanted = images.shape[1], _beta(tf.shape(images)[0], cutmix, key + 5)
        # 1 - share of the area, where the square fits; what hangs over the edge is cut off, and the share follows.
        inside = _squares(size, tf.sqrt(1 - wanted) * size / 2, draw[0], draw[1])
        share = 1 - tf.reduce_mean(tf.cast(inside, tf.float32), axis=(1, 2))
        kinds.append((tf.where(inside[..., None], others, images), _blend(targets, other_targets, share[:, None])))
    if len(kinds) == 1:
        return kinds[0]
    first = draw[2, 0] < 0.5
    return tf.where(first, kinds[0][0], kinds[1][0]), tf.where(first, kinds[0][1], kinds[1][1])


def _blend(one: Any, other: Any, share: Any) -> Any:
    return share * one + (1 - share) * other


def _beta(count: Any, alpha: float, key: Any) -> Any:
    """Shares of Beta(alpha, alpha), from two Gamma variables."""
    one, other = (
        tf.random.stateless_gamma((count,), key + offset, alpha=alpha, dtype=tf.float32) + 1e-9 for offset in (0, 1)
    )
    return one / (one + other)


def _squares(size: int, half: Any, x: Any, y: Any) -> Any:
    """Boolean ``(batch, size, size)``: squares of ``half`` their side in pixels, around centres given as shares."""
    place = tf.range(size, dtype=tf.float32)[None, :]
    rows, columns = (tf.abs(place - centre[:, None] * size) < half[:, None] for centre in (y, x))
    return rows[:, :, None] & columns[:, None, :]
