"""The scene before a camera: a table or room, a sheet of paper on it, ink on the sheet, fingers that hold it.

Pictures in here are float32 (size, size, 3) RGB, 0..255 under even white light; masks are float32 (size, size), 0..1.
Lengths called "part of the frame" are multiplied by ``size``, so that a scene looks the same at every size.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edgewise.train.sign_pose import Pose
from edgewise.train.sign_shapes import Points, Stroke

Layer = NDArray[np.float32]
Colour = NDArray[np.float32]

_FRACTION_BITS = 4  # cv2 draws at 1/16 pixel
_FINE = 2  # ink is drawn at twice the size, so that a thickness can be any half pixel


@dataclass(frozen=True)
class Pen:
    """What draws.

    Attributes:
        width: thinnest and thickest line, part of the sign's extent.
        cover: least and most coverage of the paper, 0..1.
        grain: how much of the line the tooth of the paper leaves bare, 0 (none) to 1.
        colours: names in ``_INKS``.
    """

    width: tuple[float, float]
    cover: tuple[float, float]
    grain: float
    colours: tuple[str, ...]


_INKS = {
    "black": (28, 27, 30),
    "blue": (32, 52, 150),
    "red": (190, 32, 40),
    "green": (18, 112, 58),
    "grey": (72, 73, 78),
}
_COLOURED = ("black", "black", "blue", "blue", "red", "green")
_PENS = (
    Pen((0.055, 0.1), (0.85, 1.0), 0.1, _COLOURED),  # marker
    Pen((0.035, 0.06), (0.85, 1.0), 0.15, _COLOURED),  # felt pen
    Pen((0.027, 0.038), (0.8, 0.95), 0.25, ("black", "blue", "blue", "red")),  # ballpoint
    Pen((0.028, 0.052), (0.75, 0.95), 0.6, ("grey",)),  # pencil
    Pen((0.055, 0.09), (0.8, 0.95), 0.7, ("blue", "red", "green", "black")),  # crayon
)
_THINNEST = 0.016  # part of the frame; thinner lines vanish when the picture is shrunk to 75 px

_PAPERS = (
    ((246, 246, 243), 0.5),  # white
    ((243, 235, 208), 0.16),  # yellowish
    ((212, 212, 210), 0.12),  # grey, recycled
    ((250, 233, 130), 0.08),  # sticky note
    ((246, 205, 214), 0.05),
    ((196, 222, 244), 0.05),
    ((203, 234, 205), 0.04),
)
_PRINTS = ((120, 150, 200), (150, 150, 155), (130, 175, 190))  # of squares and lines
_SKINS = ((241, 204, 180), (224, 172, 138), (190, 132, 98), (141, 92, 66), (92, 60, 46))
_TABLES = ((150, 108, 70), (190, 152, 108), (98, 66, 44), (214, 190, 156))
_PLAINS = ((60, 62, 68), (120, 124, 130), (176, 176, 170), (52, 74, 96), (110, 60, 58), (72, 96, 78), (216, 212, 204))


def smooth_noise(cells: tuple[int, int], size: int, rng: np.random.Generator) -> Layer:
    """Noise of standard deviation about 1 that varies over ``cells`` (rows, columns) of the picture, (size, size)."""
    coarse = rng.standard_normal(cells, dtype=np.float32)
    if cells == (size, size):
        return coarse
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


def in_three(mask: Layer) -> Layer:
    """Repeat a mask for red, green and blue, (size, size, 3): much faster than broadcasting over a last axis of 3."""
    return np.asarray(cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB), np.float32)


def tinted(shade: Layer, colour: Colour) -> Layer:
    """Colour a mask: its product with each of red, green and blue, (size, size, 3)."""
    return np.asarray(cv2.merge([shade * part for part in colour]), np.float32)


def _cover(under: Layer, over: Layer, mask: Layer) -> Layer:
    """Lay ``over`` on ``under`` where ``mask`` is 1."""
    return under + (over - under) * in_three(mask)


def background(size: int, rng: np.random.Generator) -> Layer:
    """Paint what is behind the sheet: a wooden table, something plain, or a room with a person, out of focus."""
    kind = rng.random()
    if kind < 0.35:
        return _wood(size, rng)
    if kind < 0.65:
        shade = 1 + 0.05 * smooth_noise((5, 5), size, rng) + 0.025 * smooth_noise((size, size), size, rng)
        return tinted(shade, _jittered(_PLAINS[rng.integers(len(_PLAINS))], 12, rng))
    return _room(size, rng)


def _jittered(colour: tuple[int, int, int], spread: float, rng: np.random.Generator) -> Colour:
    return np.asarray(np.clip(np.asarray(colour) + rng.normal(0, spread, 3), 5, 252), np.float32)


def _wood(size: int, rng: np.random.Generator) -> Layer:
    grain = smooth_noise((size // 3, 3), size, rng) * 0.06 + smooth_noise((12, 2), size, rng) * 0.07
    if rng.random() < 0.5:
        grain = grain.T
    return tinted(1 + grain, _jittered(_TABLES[rng.integers(len(_TABLES))], 10, rng))


def _room(size: int, rng: np.random.Generator) -> Layer:
    """Furniture and a person as blocks of colour on a small canvas; enlarging it puts them out of focus."""
    small = 40
    canvas = np.full((small, small, 3), _jittered(_PLAINS[rng.integers(len(_PLAINS))], 15, rng), np.float32)
    for _ in range(int(rng.integers(2, 6))):
        (x, y), (width, height) = rng.integers(0, small, 2).tolist(), rng.integers(5, 22, 2).tolist()
        colour = _jittered(_PLAINS[rng.integers(len(_PLAINS))], 25, rng)
        cv2.rectangle(canvas, (x, y), (x + width, y + height), colour.tolist(), -1)
    if rng.random() < 0.7:
        x, y, head = int(rng.integers(8, 32)), int(rng.integers(6, 14)), int(rng.integers(5, 8))
        cloth, skin = _PLAINS[rng.integers(len(_PLAINS))], _SKINS[rng.integers(len(_SKINS))]
        cv2.ellipse(canvas, (x, y + 4 * head), (3 * head, 3 * head), 0, 0, 360, _jittered(cloth, 25, rng).tolist(), -1)
        cv2.ellipse(canvas, (x, y - 1), (head, head + 2), 0, 0, 360, (45.0, 36.0, 32.0), -1)
        cv2.ellipse(canvas, (x, y + 1), (head - 1, head + 1), 0, 0, 360, _jittered(skin, 8, rng).tolist(), -1)
    blurred = cv2.GaussianBlur(canvas, (0, 0), rng.uniform(0.6, 1.8))
    return np.asarray(cv2.resize(blurred, (size, size), interpolation=cv2.INTER_LINEAR), np.float32)


def lay_sheet(scene: Layer, corners: Points, pose: Pose, rng: np.random.Generator) -> Layer:
    """Lay a sheet of paper with ``corners`` ((4, 2), sheet coordinates) on ``scene``, with its shadow."""
    size = pose.size
    mask = np.zeros((size, size), np.uint8)
    cv2.fillConvexPoly(mask, _fixed(pose.project(corners)), 255, cv2.LINE_AA, _FRACTION_BITS)
    sheet = mask.astype(np.float32) / np.float32(255)
    shift = np.array([[1, 0, rng.normal(0, 0.012) * size], [0, 1, rng.uniform(0, 0.02) * size]])
    soft = cv2.GaussianBlur(cv2.warpAffine(sheet, shift, (size, size)), (0, 0), rng.uniform(0.008, 0.03) * size)
    shadow = np.asarray(rng.uniform(0.1, 0.5) * soft, np.float32)
    return _cover(scene * in_three(1 - shadow), _paper(corners, pose, rng), sheet)


def _paper(corners: Points, pose: Pose, rng: np.random.Generator) -> Layer:
    size = pose.size
    colours, chances = zip(*_PAPERS, strict=True)
    colour = _jittered(colours[rng.choice(len(colours), p=chances)], 4, rng)
    relief = 1 + rng.uniform(0.003, 0.02) * smooth_noise((4, 4), size, rng)
    paper = tinted(relief, colour)
    ruling = rng.random()
    if ruling < 0.42:
        print_colour = _jittered(_PRINTS[rng.integers(len(_PRINTS))], 4, rng)
        lines = _ruled(corners, pose, squared=ruling < 0.24, rng=rng)
        paper -= tinted(rng.uniform(0.25, 0.6) * lines, colour - print_colour)
    return paper


def _ruled(corners: Points, pose: Pose, *, squared: bool, rng: np.random.Generator) -> Layer:
    """Print lines across the sheet, or squares, as a mask."""
    pitch = rng.uniform(0.16, 0.3) if squared else rng.uniform(0.24, 0.42)
    origin, across, down = corners[0], corners[1] - corners[0], corners[3] - corners[0]
    ends = [
        _rows(origin, step, reach, pitch)
        for step, reach in ([(down, across), (across, down)] if squared else [(down, across)])
    ]
    pixels = pose.project(np.concatenate(ends).reshape(-1, 2)).reshape(-1, 2, 2)
    canvas = np.zeros((pose.size, pose.size), np.uint8)
    cv2.polylines(canvas, list(_fixed(pixels)), False, 255, 1, cv2.LINE_AA, _FRACTION_BITS)
    return np.asarray(canvas, np.float32) / np.float32(255)


def _rows(origin: Points, step: Points, reach: Points, pitch: float) -> Points:
    """Both ends, (n, 2, 2), of lines along ``reach`` that lie ``pitch`` apart in the direction of ``step``."""
    at = np.arange(pitch, float(np.hypot(*step)), pitch)[:, None] * (step / np.hypot(*step))
    return np.stack([origin + at, origin + at + reach], axis=1)


def draw_ink(strokes: list[Stroke], pose: Pose, rng: np.random.Generator) -> tuple[Layer, Colour]:
    """Draw ``strokes`` with a pen chosen by chance; areas are sometimes coloured in.

    Returns:
        How much of the paper is covered, (size, size) 0..1, and the colour of the ink.
    """
    pen = _PENS[rng.integers(len(_PENS))]
    width = max(rng.uniform(*pen.width) * pose.extent, _THINNEST * pose.size)
    canvas = np.zeros((_FINE * pose.size, _FINE * pose.size), np.uint8)
    fill = rng.random()
    for stroke in strokes:
        pixels = _FINE * pose.project(stroke.points)
        if stroke.closed and fill < 0.4:
            _colour_in(canvas, pixels, _FINE * width, scribbled=fill < 0.15, rng=rng)
        _trace(canvas, pixels, _FINE * width, rng)
    cover = cv2.resize(canvas, (pose.size, pose.size), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(
        255
    )
    cover *= rng.uniform(*pen.cover) - pen.grain * 0.35 * np.abs(smooth_noise((pose.size, pose.size), pose.size, rng))
    colour = _jittered(_INKS[pen.colours[rng.integers(len(pen.colours))]], 9, rng)
    return np.clip(cover, 0, 1), colour


def _trace(canvas: NDArray[np.uint8], pixels: Points, width: float, rng: np.random.Generator) -> None:
    """Draw a line whose thickness follows the pressure of the hand."""
    phase, waves = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 2.5)
    pressure = 1 + 0.14 * np.sin(phase + 2 * np.pi * waves * np.linspace(0, 1, len(pixels)))
    thickness = np.maximum(1, np.rint(width * pressure)).astype(int).tolist()
    ends = _fixed(pixels).tolist()
    for start, end, thick in zip(ends, ends[1:], thickness, strict=False):
        cv2.line(canvas, start, end, 255, thick, cv2.LINE_AA, _FRACTION_BITS)


def _colour_in(
    canvas: NDArray[np.uint8], outline: Points, width: float, *, scribbled: bool, rng: np.random.Generator
) -> None:
    """Cover the area within ``outline``: evenly, or with a zigzag of the pen that leaves paper between its lines."""
    area = np.zeros_like(canvas)
    cv2.fillPoly(area, [_fixed(outline)], 255, cv2.LINE_AA, _FRACTION_BITS)
    if scribbled:
        centre, reach = outline.mean(axis=0), np.ptp(outline, axis=0).max()
        turns = max(8, int(1.4 * reach / (width * rng.uniform(1.1, 1.5) + 3)))
        sides = np.where(np.arange(turns) % 2, 0.8, -0.8) * reach
        zigzag = np.stack([np.linspace(-0.75, 0.75, turns) * reach, sides], axis=1)
        angle = rng.uniform(0.5, 1.1)
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        lines = np.zeros_like(canvas)
        _trace(lines, centre + (zigzag + rng.normal(0, 0.01 * reach, zigzag.shape)) @ turn, width, rng)
        area = np.minimum(area, lines)
    np.maximum(canvas, area, out=canvas)


def _fixed(pixels: Points) -> NDArray[np.int32]:
    """Pixels as cv2's fixed-point numbers with 4 fraction bits."""
    return np.rint(pixels * (1 << _FRACTION_BITS)).astype(np.int32)


def hold(scene: Layer, keep_clear: Layer, rng: np.random.Generator) -> Layer:
    """Put the fingers of a hand over the border of ``scene``, unless they would touch ``keep_clear`` (a mask)."""
    size = scene.shape[0]
    side, middle = int(rng.integers(4)), rng.uniform(0.1, 0.8)
    width, reach = rng.uniform(0.075, 0.12), rng.uniform(0.1, 0.26)
    outline, ridge = np.zeros((2, size, size), np.uint8)
    for finger in range(int(rng.choice([1, 2, 3], p=[0.5, 0.25, 0.25]))):
        at = middle + finger * width * 1.02
        ends = np.array([[-0.2, at + rng.normal(0, 0.05)], [reach * rng.uniform(0.85, 1.0) - width / 2, at]]) * size
        root, tip = _fixed(ends).tolist()
        for canvas, part in ((outline, 1.0), (ridge, 0.45)):
            thickness = max(1, int(width * part * size))
            cv2.line(canvas, root, tip, 255, thickness, cv2.LINE_AA, _FRACTION_BITS)
    fingers, ridges = (
        np.asarray(np.rot90(mask, side), np.float32, order="C") / np.float32(255) for mask in (outline, ridge)
    )
    lit = np.asarray(cv2.GaussianBlur(ridges, (0, 0), 0.018 * size), np.float32)
    near = np.asarray(cv2.GaussianBlur(fingers, (0, 0), 0.02 * size), np.float32)
    if float((np.minimum(near * 4, 1) * keep_clear).max()) > 0.2:
        return scene
    skin = tinted(0.68 + 0.36 * lit, _jittered(_SKINS[rng.integers(len(_SKINS))], 7, rng))
    return _cover(scene * in_three(1 - 0.35 * near), skin, fingers)
