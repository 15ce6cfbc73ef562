"""Batches for training: shuffled by seed and epoch, augmented in the graph, equal on every run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.spec import EdgewiseError
from edgewise.train.augmentation import Augmentation, augment, mix
from edgewise.train.framework import tf
from edgewise.train.pixels import Images, Pixels
from edgewise.train.recipe import Recipe


def normalize(pixels: Any) -> Any:
    """Pixels 0-255 of any dtype to float32 in [-1, 1], as every network here expects: ``x / 127.5 - 1``."""
    return tf.cast(pixels, tf.float32) / 127.5 - 1.0


def training_batches(pixels: Pixels, recipe: Recipe, classes: int, epoch: int, first: int = 0) -> Batches:
    """One epoch of augmented and mixed batches.

    Args:
        pixels: the training photos.
        recipe: batch size, augmentation, mixing and seed. The last, smaller batch is dropped unless it is the only one.
        classes: how many there are.
        epoch: its number; equal seeds and numbers give equal batches.
        first: batches to leave out at the beginning, because they were trained on before an interruption.

    Returns:
        Batches of (float32 ``(batch, size, size, 3)`` in [-1, 1], float32 ``(batch, classes)`` targets), as tensors.
    """
    order = np.random.default_rng((recipe.seed, epoch)).permutation(len(pixels.labels))
    batch_size = min(recipe.batch_size, len(order))
    # 32 bits are what stateless random operations take for one half of a seed.
    base = int(np.random.default_rng((recipe.seed, epoch, 1)).integers(1 << 30))

    def prepare(images: Any, labels: Any, number: Any) -> tuple[Any, Any]:
        images = normalize(augment(images, recipe.augmentation, (base, number)))
        key = tf.stack([tf.constant(base, tf.int32), tf.cast(number, tf.int32)])
        return mix(images, tf.one_hot(labels, classes), recipe.mixup, recipe.cutmix, key)

    numbers = range(first, len(order) // batch_size)
    chosen = [order[number * batch_size : (number + 1) * batch_size] for number in numbers]
    return Batches(pixels, chosen, first, prepare)


def augmented_batches(
    pixels: Pixels, batch_size: int, augmentation: Augmentation, seed: int
) -> Iterator[NDArray[np.float32]]:
    """All photos in order, augmented, in batches of float32 ``(batch, size, size, 3)`` in [-1, 1]."""
    chosen = np.array_split(np.arange(len(pixels.labels)), range(batch_size, len(pixels.labels), batch_size))
    batches = Batches(
        pixels, chosen, 0, lambda images, _, number: (normalize(augment(images, augmentation, (seed, number))),)
    )
    for (images,) in batches:
        yield images.numpy()


def clean_batches(images: Images, batch_size: int) -> Iterator[NDArray[np.float32]]:
    """Batches without augmentation, in order, float32 in [-1, 1]."""
    for start in range(0, len(images), batch_size):
        yield images[start : start + batch_size].astype(np.float32) / np.float32(127.5) - np.float32(1)


class Batches:
    """Batches that are made ready in the background, in a fixed order.

    Args:
        pixels: the photos.
        chosen: indices of the photos of each batch.
        first: number of the first batch.
        prepare: from uint8 photos, labels and the number of the batch to what is iterated over, in a graph.
    """

    def __init__(
        self, pixels: Pixels, chosen: Sequence[NDArray[np.intp]], first: int, prepare: Callable[..., tuple[Any, ...]]
    ) -> None:
        self._pixels, self._chosen, self._first = pixels, chosen, first
        self._failure: EdgewiseError | None = None
        size = pixels.images.shape[1]
        signature = (
            tf.TensorSpec((None, size, size, 3), tf.uint8),
            tf.TensorSpec((None,), tf.int64),
            tf.TensorSpec((), tf.int64),
        )
        dataset = tf.data.Dataset.from_generator(self._raw, output_signature=signature)
        self._dataset = dataset.map(prepare, num_parallel_calls=2, deterministic=True).prefetch(2)

    def __len__(self) -> int:
        return len(self._chosen)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._dataset
        except tf.errors.OpError:
            # TensorFlow wraps what a generator raises into an error of its own, traceback and all.
            if self._failure is None:
                raise
            raise self._failure from None

    def _raw(self) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.int64], int]]:
        try:
            for number, indices in enumerate(self._chosen, self._first):
                yield self._pixels.images[indices], self._pixels.labels[indices], number
        except EdgewiseError as error:
            self._failure = error
            raise
