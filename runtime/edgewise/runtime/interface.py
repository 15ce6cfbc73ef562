"""What stands between uint8 RGB pictures and a network that somebody else trained.

A network takes its pixels in an order, a range and a dtype of its own, and gives probabilities, or numbers that become
probabilities. An `Interface` says which; Edgewise's own files need none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

GREY = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey picture (ITU-R BT.601)."""


@dataclass(frozen=True)
class Feed:
    """How a network is fed."""

    table: NDArray[Any]  # (channels, 256) of the input's dtype: what each pixel value becomes
    channels_first: bool = False  # NCHW
    bgr: bool = False  # blue comes first

    def prepared(self, batch: NDArray[np.uint8]) -> NDArray[Any]:
        """Bring pictures into the form that the network takes.

        Args:
            batch: ``(n, height, width, 3)`` uint8 RGB.

        Returns:
            ``(n, height, width, channels)`` or ``(n, channels, height, width)`` of the network's dtype.
        """
        channels = len(self.table)
        pictures = _grey(batch) if channels == 1 else batch[..., ::-1] if self.bgr else batch
        n, height, width = batch.shape[:3]
        shape = (n, channels, height, width) if self.channels_first else (n, height, width, channels)
        result = np.empty(shape, self.table.dtype)
        for channel in range(channels):
            place = result[:, channel] if self.channels_first else result[..., channel]
            place[...] = self.table[channel][pictures[..., channel]]
        return result


@dataclass(frozen=True)
class Reading:
    """How a network is read."""

    output: int = 0  # which output is the answer, by its place
    scale: float = 1.0  # of whole numbers
    zero_point: int = 0
    softmax: bool = False  # the output is logits
    divide: bool = False  # the output is shares of a sum
    background: bool = False  # the output's first class is none of the labels

    def probabilities(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Turn what the network gave into probabilities.

        Args:
            rows: ``(n, ...)`` with as many numbers per picture as the network has classes.

        Returns:
            ``(n, classes)`` float32. Where there is a background class, its share is missing from the sum of 1.
        """
        values = rows.reshape(len(rows), -1).astype(np.float32)
        values = (values - np.float32(self.zero_point)) * np.float32(self.scale)
        if self.softmax:
            values = np.exp(values - values.max(axis=1, keepdims=True))
        if self.softmax or self.divide:
            values = values / np.maximum(values.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        result: NDArray[np.float32] = values[:, 1:] if self.background else values
        return result


@dataclass(frozen=True)
class Interface:
    """How one network is fed and read."""

    feed: Feed
    reading: Reading


def _grey(batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey: NDArray[np.uint8] = np.rint(batch @ np.array(GREY)).astype(np.uint8)[..., np.newaxis]
    return grey


def raw_table(dtype: str, channels: int) -> NDArray[Any]:
    """Pixels as they are, for whole numbers: ``(channels, 256)``. An int8 input gets the pixel values less 128."""
    pixels = np.arange(256)[np.newaxis].repeat(channels, axis=0)
    return np.asarray(pixels - (128 if dtype == "int8" else 0), dtype)


def normalized_table(
    dtype: str, mean: tuple[float, ...], deviation: tuple[float, ...], channels: int, scale: float, zero_point: int
) -> NDArray[Any]:
    """What each pixel value 0-255 becomes: ``(value - mean) / deviation``, in the dtype the network takes.

    Args:
        dtype: of the input.
        mean: in pixel values, one for all channels or one each.
        deviation: likewise.
        channels: 1 or 3.
        scale: of whole numbers, which stand for real ones: ``real = scale * (whole - zero_point)``.
        zero_point: likewise.

    Returns:
        ``(channels, 256)``.
    """
    pixels = np.arange(256, dtype=np.float64)[np.newaxis].repeat(channels, axis=0)
    real = (pixels - np.array(mean).reshape(-1, 1)) / np.array(deviation).reshape(-1, 1)
    if not np.issubdtype(np.dtype(dtype), np.integer):
        return np.asarray(real, dtype)
    limits = np.iinfo(dtype)
    return np.asarray(np.clip(np.rint(real / scale) + zero_point, limits.min, limits.max), dtype)
