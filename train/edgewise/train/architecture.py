"""The architecture of a network as data, so that a run can be rebuilt without loading any code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from reprlib import repr as short
from typing import Any

from edgewise.spec import InputError, ModelError

BACKBONE = "inception_resnet_v2"
STAGES: Mapping[str, int] = {"block35": 10, "block17": 20, "block8": 10}
"""Residual blocks per stage of the full InceptionResNetV2."""

MIN_IMAGE_SIZE = 75
"""Smallest side, in pixels, at which every 'valid' convolution still has an input."""

MAX_IMAGE_SIZE = 1024


def all_blocks() -> dict[str, tuple[int, ...]]:
    """Every block of every stage, numbered from 1 as in the paper's reference implementation."""
    return {stage: tuple(range(1, count + 1)) for stage, count in STAGES.items()}


def keep_blocks(counts: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Choose ``counts`` blocks per stage, evenly spread, always with the last one of the stage.

    Args:
        counts: how many blocks to keep in block35, block17 and block8: 1-10, 1-20, 1-10.

    Raises:
        InputError: not three numbers in these ranges.
    """
    if len(counts) != len(STAGES) or any(
        not 1 <= kept <= full for kept, full in zip(counts, STAGES.values(), strict=True)
    ):
        raise InputError(
            f"--blocks {','.join(map(str, counts))}",
            "three numbers from 1,1,1 (smallest) to 10,20,10 (the full network)",
        )
    return {
        stage: tuple(full - (full * step) // kept for step in reversed(range(kept)))
        for kept, (stage, full) in zip(counts, STAGES.items(), strict=True)
    }


@dataclass(frozen=True)
class Architecture:
    """An InceptionResNetV2: which blocks, which input, how many classes.

    Raises:
        ModelError: a field is out of range; the message names it.
    """

    classes: int  # >= 2
    image_size: int = 299  # pixels, square, 75-1024
    blocks: Mapping[str, tuple[int, ...]] = field(default_factory=all_blocks)  # stage -> ascending block numbers
    dropout: float = 0.2  # share of features dropped before the classifier in training, 0-0.9
    backbone: str = BACKBONE

    def __post_init__(self) -> None:
        checks = {
            "backbone": self.backbone == BACKBONE,
            "classes": isinstance(self.classes, int) and 2 <= self.classes <= 100_000,
            "image_size": isinstance(self.image_size, int) and MIN_IMAGE_SIZE <= self.image_size <= MAX_IMAGE_SIZE,
            "dropout": isinstance(self.dropout, (int, float)) and 0 <= self.dropout <= 0.9,
            "blocks": list(self.blocks) == list(STAGES) and all(map(self._valid_stage, self.blocks)),
        }
        for name, fine in checks.items():
            if not fine:
                raise ModelError(f"{name} of the network is {short(getattr(self, name))}", self._expected(name))

    def _valid_stage(self, stage: str) -> bool:
        numbers = self.blocks[stage]
        in_range = all(isinstance(number, int) and 1 <= number <= STAGES[stage] for number in numbers)
        return bool(numbers) and in_range and list(numbers) == sorted(set(numbers))

    @staticmethod
    def _expected(name: str) -> str:
        return {
            "backbone": BACKBONE,
            "classes": "a whole number of at least 2",
            "image_size": f"a whole number of pixels from {MIN_IMAGE_SIZE} to {MAX_IMAGE_SIZE}",
            "dropout": "a share from 0 to 0.9",
            "blocks": "block numbers kept per stage: block35 of 1-10, block17 of 1-20, block8 of 1-10",
        }[name]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, 3)."""
        return (self.image_size, self.image_size, 3)

    def to_data(self) -> dict[str, Any]:
        """Plain data for a configuration file."""
        return {**asdict(self), "blocks": {stage: list(numbers) for stage, numbers in self.blocks.items()}}

    @staticmethod
    def from_data(data: Any, name: str) -> Architecture:
        """Read what `to_data` wrote.

        Args:
            data: parsed from a file that is not trusted.
            name: how the file is called in error messages.

        Raises:
            ModelError: a field is missing, unknown or out of range.
        """
        fields = {"classes", "image_size", "blocks", "dropout", "backbone"}
        if not isinstance(data, dict) or set(data) != fields or not isinstance(data["blocks"], dict):
            raise ModelError(
                f"{name}: the architecture in it is {short(data)}", "the fields " + ", ".join(sorted(fields))
            )
        blocks = {
            stage: tuple(numbers) if isinstance(numbers, list) else () for stage, numbers in data["blocks"].items()
        }
        return Architecture(**{**data, "blocks": blocks})
