"""The ten signs as a hand draws them: strokes with uneven proportions, wobble, gaps and overshoot.

Coordinates are those of a sheet of paper: x to the right, y down, the sign between about -1 and 1 on both axes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]

_SPACING = 0.05  # distance between the points of a finished stroke; fine enough that a curve shows no corners


@dataclass(frozen=True)
class Stroke:
    """One movement of the pen, pen down to pen up.

    Attributes:
        points: (n, 2) float64, x right and y down, within about -1..1.
        closed: the stroke comes back to its start and encloses an area that may be coloured in.
    """

    points: Points
    closed: bool = False


def strokes_of(label: str, rng: np.random.Generator) -> list[Stroke]:
    """Draw the sign ``label`` by hand: each call gives another variant, proportion and wobble.

    Args:
        label: a key of ``SHAPES``.
        rng: the source of all variation.

    Returns:
        Strokes in drawing order, their points at most 0.05 apart. Sometimes every line is drawn twice.
    """
    steadiness = rng.uniform(0.008, 0.028)
    stretch = np.diag(rng.uniform(0.85, 1.0, 2))
    ideal = [Stroke(stroke.points @ stretch, stroke.closed) for stroke in SHAPES[label](rng)]
    drawn = [_by_hand(stroke, steadiness, rng) for stroke in ideal]
    if rng.random() < 0.15:
        drawn += [_by_hand(stroke, 0.7 * steadiness + 0.006, rng) for stroke in ideal]
    return drawn


def _by_hand(stroke: Stroke, steadiness: float, rng: np.random.Generator) -> Stroke:
    """Follow ``stroke`` as a hand does: corners missed, lines bent, ends a little short or too long."""
    points = stroke.points
    if len(points) <= 12:  # a few corners: each is missed by a little. Curves are bent by the wobble alone.
        points = points + rng.normal(0, 1.2 * steadiness, points.shape)
    start, surplus = rng.uniform(-0.05, 0.04), rng.uniform(-0.05, 0.08)
    if stroke.closed:
        points = np.roll(points, -int(rng.integers(len(points))), axis=0)
        points = np.concatenate([points, points[:1]])
        start = 0.0
    length = float(_distances(points)[-1])
    if length < 0.5:  # a short line that lost its end would look like a dot
        start, surplus = 0.3 * start, 0.3 * surplus
    even = _resample(points, start, length + surplus)
    return Stroke(even + _wobble(len(even), steadiness, rng), stroke.closed)


def _distances(points: Points) -> Points:
    """Arc length from the first point to each point, (n,)."""
    return np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])


def _resample(points: Points, start: float, stop: float) -> Points:
    """Evenly spaced points from arc length ``start`` to ``stop``; beyond the ends the line runs straight on."""
    along = _distances(points)
    at = np.linspace(start, stop, max(8, int((stop - start) / _SPACING)))
    inside = np.stack([np.interp(at, along, axis) for axis in points.T], axis=1)
    first, last = _direction(points[1] - points[0]), _direction(points[-1] - points[-2])
    before, beyond = np.minimum(at, 0)[:, None] * first, np.maximum(at - along[-1], 0)[:, None] * last
    return _points(inside + before + beyond)


def _direction(vector: Points) -> Points:
    return vector / max(float(np.hypot(*vector)), 1e-9)


def _wobble(count: int, amplitude: float, rng: np.random.Generator) -> Points:
    """Smooth displacement of ``count`` points: slow drift of the arm plus a slight tremor of the fingers."""
    along = _SPACING * np.arange(count)[:, None, None]
    frequency = np.array([0.25, 0.5, 0.9, 1.6, 4.0])  # waves per unit of length
    weight = amplitude * np.array([1.2, 1.0, 0.6, 0.35, 0.15]) * rng.normal(1, 0.3, (2, 5))
    phase = rng.uniform(0, 2 * np.pi, (2, 5))
    wave: Points = (weight * np.sin(2 * np.pi * frequency * along + phase)).sum(axis=2)
    return wave


def _points(values: ArrayLike) -> Points:
    return np.asarray(values, dtype=np.float64)


def _circle(angles: ArrayLike, radius: ArrayLike = 1.0) -> Points:
    """Points at ``angles`` (radians, clockwise on the sheet, 0 to the right) around the origin."""
    return _points(np.stack([np.cos(angles), np.sin(angles)], axis=1) * np.asarray(radius).reshape(-1, 1))


def _star(rng: np.random.Generator) -> list[Stroke]:
    turn = -np.pi / 2
    if rng.random() < 0.35:  # five straight lines without lifting the pen
        return [Stroke(_circle(turn + 0.8 * np.pi * np.arange(6)))]
    radius = np.where(np.arange(10) % 2, rng.uniform(0.36, 0.5), 1.0)
    return [Stroke(_circle(turn + 0.2 * np.pi * np.arange(10), radius), closed=True)]


def _heart(rng: np.random.Generator) -> list[Stroke]:
    t = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x = np.sin(t) ** 3
    dip = rng.uniform(4.0, 6.0)
    y = -(13 * np.cos(t) - dip * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
    lower = np.where(y > 0, rng.uniform(0.85, 1.15), 1.0)
    return [Stroke(np.stack([x, y * lower - 0.1], axis=1), closed=True)]


def _arrow(rng: np.random.Generator) -> list[Stroke]:
    """Draw an arrow to the right: lines, lines with a triangle, or the outline of a thick arrow."""
    long, half = rng.uniform(0.5, 0.8), rng.uniform(0.42, 0.65)
    kind = rng.random()
    if kind < 0.3:
        thin, neck = rng.uniform(0.35, 0.5) * half, 1 - rng.uniform(1.0, 1.25) * long
        upper = _points([[-1, -thin], [neck, -thin], [neck, -half]])
        return [Stroke(np.concatenate([upper, [[1, 0]], upper[::-1] * [1, -1]]), closed=True)]
    tip, upper_barb, lower_barb = [1.0, 0.0], [1 - long, -half], [1 - long, half]
    if kind < 0.5:
        return [_shaft(1 - long, rng), Stroke(_points([upper_barb, tip, lower_barb]), closed=True)]
    if kind < 0.8:
        return [_shaft(0.97, rng), Stroke(_points([upper_barb, tip, lower_barb]))]
    return [_shaft(0.97, rng), Stroke(_points([tip, upper_barb])), Stroke(_points([tip, lower_barb]))]


def _shaft(end: float, rng: np.random.Generator) -> Stroke:
    x = np.linspace(-1, end, 16)
    return Stroke(np.stack([x, rng.normal(0, 0.04) * (x**2 - end**2)], axis=1))


def _turned(matrix: ArrayLike) -> Callable[[np.random.Generator], list[Stroke]]:
    """Turn the arrow to the right by a quarter, a half or three quarters: never mirrored."""
    turn = _points(matrix)
    return lambda rng: [Stroke(stroke.points @ turn.T, stroke.closed) for stroke in _arrow(rng)]


def _moon(rng: np.random.Generator) -> list[Stroke]:
    """Draw a crescent: an arc of the unit circle, and back along a circle through both tips and (-middle, 0)."""
    tip, middle = np.radians(rng.uniform(38, 65)), rng.uniform(-0.05, 0.4)
    centre = (1 - middle**2) / (2 * (np.cos(tip) + middle))
    inner_tip = np.arctan2(np.sin(tip), np.cos(tip) - centre)
    outer = _circle(np.linspace(tip, 2 * np.pi - tip, 40))
    inner = _circle(np.linspace(2 * np.pi - inner_tip, inner_tip, 32), centre + middle) + _points([centre, 0])
    facing = [1.0, 1.0] if rng.random() < 0.5 else [-1.0, 1.0]  # waning and waxing: both are the moon
    crescent = np.concatenate([outer, inner[1:-1]]) + _points([0.15, 0])
    return [Stroke(crescent * facing, closed=True)]


def _plus(rng: np.random.Generator) -> list[Stroke]:
    if rng.random() < 0.3:
        a = rng.uniform(0.2, 0.32)
        quarter = _points([[-a, -a], [-a, -1], [a, -1]])
        quarters = [quarter @ np.linalg.matrix_power([[0, 1], [-1, 0]], turns) for turns in range(4)]
        return [Stroke(np.concatenate(quarters), closed=True)]
    x, y = rng.uniform(-0.12, 0.12, 2)
    return [Stroke(_points([[x, -1], [x, 1]])), Stroke(_points([[-1, y], [1, y]]))]


def _tick(rng: np.random.Generator) -> list[Stroke]:
    corner = _points([rng.uniform(-0.45, -0.15), 0.8])
    start = _points([rng.uniform(-1.0, -0.75), rng.uniform(-0.05, 0.3)])
    end = _points([rng.uniform(0.8, 1.0), rng.uniform(-1.0, -0.7)])
    t = np.linspace(0, 1, 20)[:, None]
    swing = rng.uniform(-0.02, 0.14) * np.sin(np.pi * t) * [-1.0, -1.0]
    return [Stroke(np.concatenate([[start], corner + t * (end - corner) + swing]))]


def _spiral(rng: np.random.Generator) -> list[Stroke]:
    t = np.linspace(0, 1, 160)
    angle = rng.uniform(0, 2 * np.pi) + rng.choice([-1, 1]) * 2 * np.pi * rng.uniform(2.1, 3.3) * t
    return [Stroke(_circle(angle, 0.04 + 0.96 * t ** rng.uniform(0.9, 1.1)))]


SHAPES: Mapping[str, Callable[[np.random.Generator], list[Stroke]]] = MappingProxyType(
    {
        "arrow-down": _turned([[0, -1], [1, 0]]),
        "arrow-left": _turned([[-1, 0], [0, -1]]),
        "arrow-right": _turned([[1, 0], [0, 1]]),
        "arrow-up": _turned([[0, 1], [-1, 0]]),
        "heart": _heart,
        "moon": _moon,
        "plus": _plus,
        "spiral": _spiral,
        "star": _star,
        "tick": _tick,
    }
)
