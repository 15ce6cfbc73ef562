"""The page's colours: readable text, and parts of a bar that people with any kind of colour vision tell apart."""

from __future__ import annotations

import re
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import edgewise.benchmarks.page as page

CSS = (Path(page.__file__).parent / "templates" / "report.css").read_text()
PALETTES = [dict(re.findall(r"--([a-z]+): (#[0-9a-f]{3,6})", block)) for block in re.findall(r":root \{([^}]*)\}", CSS)]
TEXT = ("ink", "quiet", "litert", "onnxruntime", "openvino", "keras", "bad", "good")
STAGES = ("read", "decode", "resize", "inference", "rest")
VISION = {
    "usual": np.eye(3),
    # Machado, Oliveira and Fernandes, IEEE Transactions on Visualization and Computer Graphics 15, 2009: severity 1.0.
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}


def linear(colour: str) -> NDArray[np.float64]:
    """Linear red, green and blue, 0-1."""
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    coded = np.array([int(digits[place : place + 2], 16) for place in (0, 2, 4)]) / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it, 1-21."""
    dark, light = sorted(float(linear(each) @ (0.2126, 0.7152, 0.0722)) for each in (one, other))
    return (light + 0.05) / (dark + 0.05)


def lab(rgb: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE L*a*b*, of linear sRGB."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.maximum(to_xyz @ rgb / (0.9505, 1.0, 1.089), 0.0))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_there_is_a_light_a_dark_and_a_printed_palette() -> None:
    assert len(PALETTES) == 3


@pytest.mark.parametrize("palette", PALETTES)
def test_text_can_be_read(palette: dict[str, str]) -> None:
    for name in TEXT:
        for ground in ("page", "card"):
            assert contrast(palette[name], palette[ground]) >= 4.5, (name, ground)


@pytest.mark.parametrize("palette", PALETTES)
@pytest.mark.parametrize("vision", VISION)
def test_neighbouring_stages_are_told_apart(vision: str, palette: dict[str, str]) -> None:
    colours = {**PALETTES[0], **palette}  # a palette that does not name one has that of the first
    seen = {name: lab(np.clip(VISION[vision] @ linear(colours[name]), 0, 1)) for name in STAGES}
    apart = {pair: float(np.linalg.norm(seen[pair[0]] - seen[pair[1]])) for pair in combinations(STAGES, 2)}
    assert min(apart[pair] for pair in pairwise(STAGES)) >= 15, apart
    assert min(apart.values()) >= 8, apart
