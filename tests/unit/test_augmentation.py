"""Further variations of photos, and mixing them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.spec import InputError
from edgewise.train.augmentation import OPERATIONS, Augmentation, augment, mix
from edgewise.train.framework import tf

SIZE = 24


def photos(count: int = 6) -> NDArray[np.uint8]:
    """Smooth pictures that differ from each other and from their mirror images."""
    rows, columns = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    base = np.stack([rows, columns, rows * columns], axis=2)
    return np.stack([(base * (100 + 20 * number) + 40).astype(np.uint8) for number in range(count)])


def varied(operations: int, magnitude: float = 1.0, seed: int = 1) -> NDArray[np.float32]:
    plain = Augmentation(flip=False, zoom=0, light=0, operations=operations, magnitude=magnitude)
    return np.asarray(augment(photos(), plain, (seed, 2)))


@pytest.mark.parametrize("operations", [1, 3, len(OPERATIONS)])
def test_every_photo_is_varied_in_range_and_equally_for_equal_seeds(operations: int) -> None:
    got = varied(operations)
    assert (got.min() >= 0, got.max() <= 255, got.shape) == (True, True, photos().shape)
    changed = [not np.allclose(a, b, atol=0.5) for a, b in zip(got, photos(), strict=True)]
    assert sum(changed) >= len(changed) - 1
    np.testing.assert_array_equal(got, varied(operations))
    assert not np.array_equal(got, varied(operations, seed=5))


def test_without_magnitude_nothing_changes() -> None:
    np.testing.assert_allclose(varied(4, magnitude=0.0), photos(), atol=0.01)


def test_more_magnitude_changes_more() -> None:
    weak, strong = (float(np.abs(varied(3, magnitude) - photos()).mean()) for magnitude in (0.1, 1.0))
    assert weak < strong / 2


@pytest.mark.parametrize("values", [{"operations": -1}, {"operations": 99}, {"magnitude": 1.5}])
def test_values_out_of_range_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="the augmentation is out of range"):
        Augmentation(**values)


def mixed(mixup: float, cutmix: float, number: int = 0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    images, targets = tf.constant(photos(), tf.float32), tf.one_hot(range(6), 6)
    got = mix(images, targets, mixup, cutmix, tf.constant([3, number]))
    return np.asarray(got[0]), np.asarray(got[1])


def test_mixup_blends_photos_and_targets_by_the_same_share() -> None:
    images, targets = mixed(1.0, 0.0)
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)
    for number, (image, target) in enumerate(zip(images, targets, strict=True)):
        share, before = target[number], number - 1
        assert target[before] == pytest.approx(1 - share, abs=1e-6)
        expected = share * photos()[number].astype(np.float32) + (1 - share) * photos()[before]
        np.testing.assert_allclose(image, expected, atol=1e-3)
    assert len(set(targets.diagonal().round(4).tolist())) > 1


def test_cutmix_pastes_as_much_as_the_targets_say() -> None:
    images, targets = mixed(0.0, 1.0)
    for number, (image, target) in enumerate(zip(images, targets, strict=True)):
        own = np.isclose(image, photos()[number]).all(axis=2)
        other = np.isclose(image, photos()[number - 1]).all(axis=2)
        assert (own | other).all()
        # The photos are equal in a few pixels, which count for both.
        assert (~other).mean() - 0.01 <= target[number] <= own.mean() + 0.01


def test_of_both_every_batch_gets_one() -> None:
    blended = [
        not all(
            (np.isclose(image, photos()[i]) | np.isclose(image, photos()[i - 1])).all()
            for i, image in enumerate(mixed(1.0, 1.0, number)[0])
        )
        for number in range(12)
    ]
    assert set(blended) == {True, False}


def test_without_mixing_everything_stays() -> None:
    images, targets = mixed(0.0, 0.0)
    np.testing.assert_array_equal(images, photos())
    np.testing.assert_array_equal(targets, np.eye(6))
