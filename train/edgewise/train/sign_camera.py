"""What light and a webcam do to a scene: shadow, vignetting, colour cast, blur, noise.

Pictures are float32 (size, size, 3) RGB, 0..255; lengths are parts of the frame, so that the effect does not depend
on the size.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from edgewise.train.sign_scene import Colour, Layer, in_three, smooth_noise, tinted


def photograph(scene: Layer, rng: np.random.Generator) -> Layer:
    """Light ``scene``, then take it with a webcam: colour cast, blur and sensor noise, in this order."""
    lit = scene * tinted(_light(scene.shape[0], rng), _gains(rng))
    return _sensor_noise(_blur(_tone(lit, rng), rng), rng)


@lru_cache(maxsize=4)
def _grid(size: int) -> tuple[Layer, Layer]:
    """Give x (1, size) and y (size, 1) of each pixel, -1..1."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    return axis[None, :], axis[:, None]


def _light(size: int, rng: np.random.Generator) -> Layer:
    """Brightness of each pixel: a lamp or window to one side, vignetting, sometimes the soft edge of a shadow."""
    x, y = _grid(size)
    angle, slope = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.2)
    light = 1 + np.float32(slope * np.cos(angle)) * x + np.float32(slope * np.sin(angle)) * y
    light *= 1 - np.float32(rng.uniform(0, 0.16)) * (x * x + y * y)
    if rng.random() < 0.4:
        angle, place = rng.uniform(0, 2 * np.pi), rng.uniform(-0.6, 0.8)
        depth, softness = rng.uniform(0.12, 0.38), rng.uniform(0.03, 0.3)
        bend = np.float32(rng.normal(0, 0.25)) * (x * np.float32(np.sin(angle)) - y * np.float32(np.cos(angle))) ** 2
        edge = x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)) + bend - np.float32(place)
        light *= 1 - np.float32(depth / 2) * (1 + np.tanh(edge / np.float32(2 * softness)))
    return np.asarray(light, np.float32)


def _gains(rng: np.random.Generator) -> Colour:
    """Exposure and white balance, one factor per colour."""
    warmth, tint = rng.normal(0, 0.06), rng.normal(0, 0.02)
    return np.asarray(rng.uniform(0.72, 1.04) * np.array([1 + warmth, 1 - tint, 1 - warmth]), np.float32)


def _tone(lit: Layer, rng: np.random.Generator) -> Layer:
    """Contrast around the middle grey, and stray light that lifts the black."""
    black, contrast = rng.uniform(0, 22), rng.uniform(0.85, 1.1)
    toned = lit * np.float32(contrast) + np.float32(128 * (1 - contrast) + black)
    return np.asarray(np.clip(toned, 0, 255), np.float32)


def _blur(picture: Layer, rng: np.random.Generator) -> Layer:
    size = picture.shape[0]
    focus = rng.choice([0.0025, 0.0045, 0.0075], p=[0.6, 0.33, 0.07]) * rng.uniform(0.7, 1.2) * size
    picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), focus), np.float32)
    if rng.random() < 0.25:
        picture = np.asarray(cv2.filter2D(picture, -1, _motion(rng.uniform(0.01, 0.03) * size, rng)), np.float32)
    return picture


def _motion(length: float, rng: np.random.Generator) -> Layer:
    """Kernel of a hand that moved by ``length`` pixels during the exposure."""
    side = 2 * int(np.ceil(length / 2)) + 3
    kernel = np.zeros((side, side), np.float32)
    angle = rng.uniform(0, np.pi)
    half = length / 2 * np.array([np.cos(angle), np.sin(angle)])
    start, end = np.rint(16 * (side // 2 + np.array([-half, half]))).astype(int).tolist()
    cv2.line(kernel, start, end, 1.0, 1, cv2.LINE_8, 4)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _sensor_noise(picture: Layer, rng: np.random.Generator) -> Layer:
    """Fine noise of the brightness and coarser noise of the colour, as cheap sensors have in a lit room."""
    size = picture.shape[0]
    strength = np.float32(rng.uniform(1.0, 6.0))
    fine = in_three(strength * smooth_noise((size, size), size, rng))
    coarse = np.float32(0.6) * strength * rng.standard_normal((size // 2, size // 2, 3), dtype=np.float32)
    coloured = np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)
    return np.asarray(np.clip(picture + fine + coloured, 0, 255), np.float32)
