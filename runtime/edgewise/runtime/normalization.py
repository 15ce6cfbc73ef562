"""What pixels become before a network of another maker sees them, as ``--normalize`` says it."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from edgewise.spec import InputError


@dataclass(frozen=True)
class Normalization:
    """``(value - mean) / deviation`` of pixel values 0-255, one number for all channels or three for red, green, blue.

    Raises:
        ValueError: other counts, numbers that are not finite, or deviations that are not above 0.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    asked: bool = False  # by the user, not by the file

    def __post_init__(self) -> None:
        finite = all(map(isfinite, (*self.mean, *self.deviation)))
        if not finite or not {len(self.mean), len(self.deviation)} <= {1, 3} or min(self.deviation) <= 0:
            raise ValueError("no normalization")

    @property
    def channels(self) -> int:
        """For how many channels it has numbers of their own."""
        return max(len(self.mean), len(self.deviation))


NAMED: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "none": ((0.0,), (1.0,)),
    "0..1": ((0.0,), (255.0,)),
    "-1..1": ((127.5,), (127.5,)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
"""Mean and deviation in pixel values 0-255; those of ImageNet as torchvision has them."""

EXPECTED = (
    ", ".join(NAMED) + ", or MEAN/DEVIATION in pixel values 0-255, each one number or three: 124,116,104/58,57,57"
)


def parse_normalization(text: str) -> Normalization:
    """Read what the user says. Raises InputError."""
    if text in NAMED:
        return Normalization(*NAMED[text], asked=True)
    mean, _, deviation = text.partition("/")
    try:
        numbers = tuple(map(float, mean.split(","))), tuple(map(float, deviation.split(",")))
        return Normalization(*numbers, asked=True)
    except ValueError as error:
        raise InputError(f"--normalize {text}", EXPECTED) from error
