"""Batches for training: shuffled by seed and epoch, augmented in the graph, equal on every run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.spec import InputError
from edgewise.train.framework import tf
from edgewise.train.pixels import Pixels


@dataclass(frozen=True)
class Augmentation:
    """What a photo may look like otherwise and still be the same thing."""

    flip: bool = True  # left and right may be exchanged; wrong for text and arrows
    zoom: float = 0.3  # largest share of each side that is cropped away, 0-0.9
    light: float = 0.2  # largest relative change of brightness and of contrast, 0-0.9

    def __post_init__(self) -> None:
        if not (isinstance(self.flip, bool) and 0 <= self.zoom <= 0.9 and 0 <= self.light <= 0.9):
            raise InputError("the augmentation is out of range", "flip true or false, zoom and light from 0 to 0.9")


def normalize(pixels: Any) -> Any:
    """Pixels 0-255 of any dtype to float32 in [-1, 1], as InceptionResNetV2 expects: ``x / 127.5 - 1``."""
    return tf.cast(pixels, tf.float32) / 127.5 - 1.0


def training_batches(pixels: Pixels, batch_size: int, augmentation: Augmentation, seed: tuple[int, int]) -> Any:
    """One epoch of augmented batches.

    Args:
        pixels: the training photos.
        batch_size: photos per batch; the last, smaller batch is dropped unless it is the only one.
        augmentation: what is varied.
        seed: (seed of the run, number of the epoch); equal seeds give equal batches.

    Returns:
        A ``tf.data.Dataset`` of (float32 ``(batch, size, size, 3)`` in [-1, 1], int64 ``(batch,)``).
    """
    size = pixels.images.shape[1]
    order = np.random.default_rng(seed).permutation(len(pixels.labels))
    batch_size = min(batch_size, len(order))

    def batches() -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64], int]]:
        for number in range(len(order) // batch_size):
            chosen = order[number * batch_size : (number + 1) * batch_size]
            yield pixels.images[chosen], pixels.labels[chosen], number

    signature = (
        tf.TensorSpec((None, size, size, 3), tf.uint8),
        tf.TensorSpec((None,), tf.int64),
        tf.TensorSpec((), tf.int64),
    )
    # 32 bits are what stateless random operations take for one half of a seed.
    base = int(np.random.default_rng((*seed, 1)).integers(1 << 31))
    dataset = tf.data.Dataset.from_generator(batches, output_signature=signature)
    dataset = dataset.map(
        lambda images, labels, number: (normalize(augment(images, augmentation, (base, number))), labels),
        num_parallel_calls=2,
        deterministic=True,
    )
    return dataset.apply(tf.data.experimental.assert_cardinality(len(order) // batch_size)).prefetch(2)


def clean_batches(images: NDArray[np.uint8], batch_size: int) -> Iterator[NDArray[np.float32]]:
    """Batches without augmentation, in order, float32 in [-1, 1]."""
    for start in range(0, len(images), batch_size):
        yield images[start : start + batch_size].astype(np.float32) / np.float32(127.5) - np.float32(1)


def augment(images: Any, augmentation: Augmentation, seed: tuple[int, Any]) -> Any:
    """Crop, flip and relight every picture of a batch differently.

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
    contrast, brightness = (1 + augmentation.light * (2 * draw[row] - 1) for row in (5, 6))
    mean = tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    images = (images - mean) * contrast[:, None, None, None] + mean * brightness[:, None, None, None]
    return tf.clip_by_value(images, 0.0, 255.0)


def _boxes(draw: Any, augmentation: Augmentation) -> Any:
    """Random crop boxes ``(batch, 4)`` as y1, x1, y2, x2 in [0, 1]; x1 > x2 mirrors, as crop_and_resize defines it."""
    height, width = (1 - augmentation.zoom * draw[row] for row in (0, 1))
    top, left = draw[2] * (1 - height), draw[3] * (1 - width)
    mirrored = tf.logical_and(augmentation.flip, draw[4] < 0.5)
    x1 = tf.where(mirrored, left + width, left)
    x2 = tf.where(mirrored, left, left + width)
    return tf.stack([top, x1, top + height, x2], axis=1)
