"""Photos that look the same: a perceptual hash, and groups of hashes that are close to each other.

The hash is the DCT hash of C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010),
which pHash made known: the signs of the 8 x 8 lowest frequencies, without the constant ones, about their median. It
stays nearly the same when a photo is resized, recompressed or made a little brighter, not when it is turned, mirrored
or cropped.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.images import Picture, fit

BITS = 64
SIDE = 32
"""Side in pixels of the small grey picture that is hashed."""

FLAT = 1.0
"""A picture whose hashed frequencies are all weaker has no pattern to know it by: about a tenth of a grey level."""


def perceptual_hash(picture: Picture) -> int | None:
    """The hash of a picture's looks.

    Args:
        picture: (height, width, 3) uint8 RGB.

    Returns:
        64 bits as a whole number from 0 to 2^64-1; None where the picture is plain, so that its hash would be chance.
    """
    grey = cv2.cvtColor(fit(picture, SIDE, SIDE), cv2.COLOR_RGB2GRAY).astype(np.float32)
    low = cv2.dct(grey)[1:9, 1:9].ravel()
    if np.abs(low).max() < FLAT * SIDE / 2:
        return None
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def close_groups(
    hashes: NDArray[np.uint64], distance: int, step: Callable[[int], None] = lambda _: None
) -> list[list[int]]:
    """Group hashes that differ in few bits, directly or by way of others of the group.

    Every hash is compared with all that are not in a group yet, one row at a time: memory grows with n, time with n
    squared (60,000 hashes: 1.8 billion comparisons in a few seconds).

    Args:
        hashes: (n,) uint64.
        distance: most bits that two neighbours differ in, 0-64.
        step: is called with the number of hashes that are done.

    Returns:
        Groups of two or more, each a sorted list of indices, in the order of their first index.
    """
    groups: list[list[int]] = []
    waiting = np.arange(len(hashes))
    while len(waiting):
        group, frontier = [int(waiting[0])], [int(waiting[0])]
        waiting = waiting[1:]
        while frontier:
            near = np.bitwise_count(hashes[waiting] ^ hashes[frontier.pop()]) <= distance
            if near.any():
                found = waiting[near].tolist()
                group += found
                frontier += found
                waiting = waiting[~near]
            step(1)
        if len(group) > 1:
            groups.append(sorted(group))
    return groups
