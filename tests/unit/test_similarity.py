"""The perceptual hash knows a copy from another photo, and close hashes are grouped as brute force would."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edgewise.runtime.images import Picture
from edgewise.train.signs import LABELS, draw_sign
from edgewise.train.similarity import close_groups, perceptual_hash


def differing(one: Picture, other: Picture) -> int:
    first, second = perceptual_hash(one), perceptual_hash(other)
    assert first is not None
    assert second is not None
    return bin(first ^ second).count("1")


@pytest.mark.parametrize("seed", range(5))
def test_copies_are_close_and_others_are_not(seed: int) -> None:
    rng = np.random.default_rng(seed)
    picture, other = draw_sign(LABELS[seed], rng), draw_sign(LABELS[seed], rng)
    half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA).astype(np.uint8)
    saved = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], cv2.IMREAD_COLOR)
    brighter = np.clip(picture * 1.1 + 4, 0, 255).astype(np.uint8)
    for copy in (half, saved.astype(np.uint8), brighter):
        assert differing(picture, copy) <= 4
    assert differing(picture, other) > 8


@pytest.mark.parametrize("grey", [0, 128, 255])
def test_a_plain_picture_has_no_hash(grey: int) -> None:
    assert perceptual_hash(np.full((50, 40, 3), grey, np.uint8)) is None


def test_a_hash_has_64_bits() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    found = perceptual_hash(noise)
    assert found is not None
    assert 0 < found < 1 << 64


def by_brute_force(hashes: list[int], distance: int) -> set[frozenset[int]]:
    """Merge pair by pair."""
    groups = [{index} for index in range(len(hashes))]
    for one in range(len(hashes)):
        for other in range(one):
            if bin(hashes[one] ^ hashes[other]).count("1") <= distance:
                first = next(group for group in groups if one in group)
                second = next(group for group in groups if other in group)
                if first is not second:
                    groups.remove(second)
                    first |= second
    return {frozenset(group) for group in groups if len(group) > 1}


@pytest.mark.parametrize("distance", [0, 2, 5])
def test_groups_are_those_of_brute_force(distance: int) -> None:
    rng = np.random.default_rng(distance)
    seeds = rng.integers(0, 1 << 64, 20, dtype=np.uint64)
    flips = np.uint64(1) << rng.integers(0, 64, (4, 100), dtype=np.uint64)
    hashes = seeds[rng.integers(0, 20, 100)] ^ np.bitwise_xor.reduce(flips, axis=0)
    found = close_groups(hashes, distance)
    assert {frozenset(group) for group in found} == by_brute_force([int(value) for value in hashes], distance)
    assert found == sorted(sorted(group) for group in found)
    assert distance < 5 or len(found) > 5


def test_neighbours_of_neighbours_are_one_group() -> None:
    assert close_groups(np.array([0b0000, 0xF << 60, 0b0011, 0b1111], np.uint64), 2) == [[0, 2, 3]]


def test_nothing_has_no_groups() -> None:
    assert close_groups(np.array([], np.uint64), 4) == []


def test_many_hashes_are_no_trouble() -> None:
    hashes = np.random.default_rng(0).integers(0, 1 << 64, 20_000, dtype=np.uint64)
    hashes[[5, 19_000]] = hashes[77] ^ np.array([1, 1 << 63], np.uint64)
    assert close_groups(hashes, 4) == [[5, 77, 19_000]]
