"""Where the sheet with the sign is before the camera.

Sheet coordinates are those of ``sign_shapes``; pixels are those of the picture, (0, 0) at the top left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgewise.train.sign_shapes import Points, Stroke

# How a 1:1, 4:3 or 16:9 frame narrows its subject when it is stretched to a square, as photos are before the network.
_SQUEEZES, _SQUEEZE_CHANCES = (1.0, 0.75, 0.5625), (0.6, 0.32, 0.08)


@dataclass(frozen=True)
class Pose:
    """Where the sheet is before the camera.

    Attributes:
        matrix: (3, 3) homography from sheet coordinates (the sign within about -1..1) to pixels.
        size: side of the picture in pixels.
        extent: size of the sign in pixels, the geometric mean of its width and height.
    """

    matrix: Points
    size: int
    extent: float

    def project(self, points: Points) -> Points:
        """Pixels (n, 2) of sheet coordinates (n, 2)."""
        homogeneous = points @ self.matrix[:, :2].T + self.matrix[:, 2]
        pixels: Points = homogeneous[:, :2] / homogeneous[:, 2:]
        return pixels


def pose_for(strokes: list[Stroke], most_tilt: float, size: int, rng: np.random.Generator) -> Pose:
    """Hold the sheet before the camera so that the whole sign is in the picture, 0.62 to 0.88 of its side.

    Args:
        strokes: the sign, in sheet coordinates.
        most_tilt: largest turn to either side, degrees.
        size: side of the picture in pixels.
        rng: the source of all variation.
    """
    tilt = np.radians(rng.triangular(-most_tilt, 0, most_tilt))
    turn = np.array([[np.cos(tilt), -np.sin(tilt), 0], [np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]])
    perspective = np.eye(3)
    perspective[2, :2] = rng.uniform(-0.07, 0.07, 2)
    squeeze = np.diag([rng.choice(_SQUEEZES, p=_SQUEEZE_CHANCES), 1.0, 1.0])
    loose = Pose(squeeze @ perspective @ turn, size, 1.0)
    pixels = loose.project(np.concatenate([stroke.points for stroke in strokes]))
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    longer_side = size * np.exp(rng.uniform(np.log(0.62), np.log(0.88)))
    scale = longer_side / (high - low).max()
    free = size * 0.94 - scale * (high - low)
    corner = size * 0.03 + free * rng.beta(4, 4, 2)
    place = np.array([[scale, 0, 0], [0, scale, 0], [0, 0, 1]])
    place[:2, 2] = corner - scale * low
    return Pose(place @ loose.matrix, size, float(scale * np.sqrt(np.prod(high - low))))


def sheet_corners(strokes: list[Stroke], rng: np.random.Generator) -> Points:
    """Corners (4, 2) of the sheet around the sign; often so large that it fills the picture."""
    points = np.concatenate([stroke.points for stroke in strokes])
    middle = (points.max(axis=0) + points.min(axis=0)) / 2
    half = np.full(2, rng.uniform(1.3, 1.9))
    kind = rng.random()
    if kind < 0.4:
        half[:] = 4.5
    elif kind < 0.8:
        half[rng.integers(2)] *= 2**0.5  # the proportions of A4, upright or lying
    room = np.minimum(0.6 * (half - 1.15), 0.5)
    centre = middle + room * rng.uniform(-1, 1, 2)
    turn = np.radians(rng.normal(0, 3))
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    corners: Points = centre + (np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half) @ rotation
    return corners
