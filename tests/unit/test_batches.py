"""Batches: equal for equal seeds, every photo at most once an epoch, and augmentation that stays in range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.spec import InputError, PhotoError
from edgewise.train.augmentation import Augmentation, augment
from edgewise.train.batches import clean_batches, normalize, training_batches
from edgewise.train.pixels import Pixels
from edgewise.train.recipe import Recipe

NOTHING = Augmentation(flip=False, zoom=0, light=0)
VARIED = Augmentation(zoom=0.3, light=0.2)


def pixels(count: int, size: int = 16) -> Pixels:
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    return Pixels(images, np.arange(count), (), ())


def epoch(data: Pixels, batch_size: int, augmentation: Augmentation, seed: tuple[int, int]) -> list[Any]:
    recipe = Recipe(batch_size=batch_size, augmentation=augmentation, seed=seed[0])
    batches = training_batches(data, recipe, len(data.labels), seed[1])
    assert len(batches) == max(len(data.labels) // batch_size, 1)
    return [(images.numpy(), targets.numpy().argmax(axis=1)) for images, targets in batches]


def test_a_photo_that_vanishes_in_the_middle_is_told_as_it_is() -> None:
    class Vanishing:
        shape, dtype = (8, 16, 16, 3), np.dtype(np.uint8)

        def __len__(self) -> int:
            return 8

        def __getitem__(self, _: Any) -> NDArray[np.uint8]:
            raise PhotoError("a.jpg cannot be read", "the photo", "put it back")

    with pytest.raises(PhotoError, match=r"a\.jpg cannot be read"):
        epoch(Pixels(Vanishing(), np.arange(8), (), ()), 4, NOTHING, (0, 1))


def ramp() -> NDArray[np.uint8]:
    """Four pictures that get brighter to the right."""
    row = np.linspace(40, 200, 32).astype(np.uint8)
    return np.broadcast_to(row[None, None, :, None], (4, 32, 32, 3)).copy()


def test_normalization_is_the_same_in_the_graph_and_outside() -> None:
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=3)
    (outside,) = clean_batches(values, 4)
    np.testing.assert_array_equal(np.asarray(normalize(values)), outside)
    assert (outside.min(), outside.max(), outside.dtype) == (-1, 1, np.float32)


def test_clean_batches_are_all_photos_in_order() -> None:
    data = pixels(7)
    batches = list(clean_batches(data.images, 3))
    assert [len(batch) for batch in batches] == [3, 3, 1]
    np.testing.assert_allclose((np.concatenate(batches) + 1) * 127.5, data.images, atol=1e-4)


def test_an_epoch_has_every_photo_once_but_for_the_last_few() -> None:
    data = pixels(11)
    batches = epoch(data, 4, NOTHING, (0, 1))
    labels = np.concatenate([labels for _, labels in batches])
    assert [len(labels) for _, labels in batches] == [4, 4]
    assert len(set(labels.tolist())) == 8
    assert labels.tolist() != sorted(labels.tolist())
    for images, chosen in batches:
        np.testing.assert_allclose((images + 1) * 127.5, data.images[chosen], atol=1e-3)


def test_fewer_photos_than_a_batch_are_one_batch() -> None:
    assert [len(labels) for _, labels in epoch(pixels(3), 32, NOTHING, (0, 1))] == [3]


def test_equal_seeds_give_equal_batches_and_other_epochs_others() -> None:
    data = pixels(8)
    first, again, next_epoch, other = (epoch(data, 4, VARIED, seed) for seed in ((0, 1), (0, 1), (0, 2), (1, 1)))
    for (images, labels), (images_again, labels_again) in zip(first, again, strict=True):
        np.testing.assert_array_equal(images, images_again)
        np.testing.assert_array_equal(labels, labels_again)
    assert not np.array_equal(first[0][0], next_epoch[0][0])
    assert not np.array_equal(first[0][0], other[0][0])


def test_augmented_pictures_stay_in_range_and_differ() -> None:
    images = np.asarray(augment(pixels(8).images, VARIED, (3, 4)))
    assert images.dtype == np.float32
    assert images.shape == (8, 16, 16, 3)
    assert images.min() >= 0
    assert images.max() <= 255
    same = np.asarray(augment(np.repeat(pixels(1).images, 8, axis=0), VARIED, (3, 4)))
    assert len({picture.tobytes() for picture in same}) == 8


def test_nothing_switched_on_changes_nothing() -> None:
    data = pixels(4).images
    np.testing.assert_allclose(np.asarray(augment(data, NOTHING, (0, 0))), data, atol=1e-3)


@pytest.mark.parametrize(("flip", "directions"), [(True, {-1, 1}), (False, {1})])
def test_only_flipping_turns_left_and_right_round(flip: bool, directions: set[int]) -> None:
    found = set()
    for seed in range(8):
        images = np.asarray(augment(ramp(), Augmentation(flip=flip), (seed, 0)))
        found |= {int(np.sign(picture[:, -1].mean() - picture[:, 0].mean())) for picture in images}
    assert found == directions


def test_flipping_alone_is_an_exact_mirror() -> None:
    data = pixels(8).images
    images = np.asarray(augment(data, Augmentation(flip=True, zoom=0, light=0), (1, 2)))
    mirrored = [np.allclose(got, was[:, ::-1], atol=1e-3) for got, was in zip(images, data, strict=True)]
    kept = [np.allclose(got, was, atol=1e-3) for got, was in zip(images, data, strict=True)]
    assert all(a != b for a, b in zip(mirrored, kept, strict=True))
    assert any(mirrored)
    assert any(kept)


@pytest.mark.parametrize("values", [{"flip": 1}, {"zoom": -0.1}, {"zoom": 1}, {"light": 2}, {"light": float("nan")}])
def test_augmentation_out_of_range_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="the augmentation is out of range"):
        Augmentation(**values)
