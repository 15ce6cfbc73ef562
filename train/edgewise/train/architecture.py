"""The architecture of a network as data, so that a run can be rebuilt without loading any code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from reprlib import repr as short
from typing import Any

from edgewise.spec import InputError, ModelError
from edgewise.train.backbones import BACKBONES, DEFAULT_BACKBONE, INCEPTION_RESNET_V2, STAGES, Backbone

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


def choose(
    backbone: str,
    classes: int,
    *,
    image_size: int | None = None,
    counts: tuple[int, ...] | None = None,
    dropout: float = 0.2,
) -> Architecture:
    """The architecture that a person asked for on the command line.

    Args:
        backbone: a name of `edgewise.train.backbones.BACKBONES`.
        classes: how many, >= 2.
        image_size: side of the input in pixels; None: what the official weights were trained with.
        counts: residual blocks kept per stage, see `keep_blocks`; None: all.
        dropout: share of features dropped before the classifier in training, 0-0.9.

    Raises:
        InputError: no such backbone, a size it does not have, or blocks of a backbone without such.
    """
    if backbone not in BACKBONES:
        raise InputError(
            f"--backbone {short(backbone)}",
            "one of " + ", ".join(BACKBONES),
            "see what each costs: edgewise train --list-backbones",
        )
    if counts and backbone != INCEPTION_RESNET_V2:
        raise InputError(f"--blocks with --backbone {backbone}", f"--blocks with {INCEPTION_RESNET_V2} only")
    known = BACKBONES[backbone]
    size = known.image_size if image_size is None else image_size
    if not known.min_image_size <= size <= MAX_IMAGE_SIZE:
        raise InputError(
            f"--image-size {size} with --backbone {backbone}", f"{known.min_image_size} to {MAX_IMAGE_SIZE} pixels"
        )
    blocks = (keep_blocks(counts) if counts else all_blocks()) if backbone == INCEPTION_RESNET_V2 else {}
    return Architecture(classes, size, blocks, dropout, backbone)


@dataclass(frozen=True)
class Architecture:
    """A network: which backbone, which input, how many classes.

    Raises:
        ModelError: a field is out of range; the message names it.
    """

    classes: int  # >= 2
    image_size: int = 299  # pixels, square, from the backbone's smallest to 1024
    blocks: Mapping[str, tuple[int, ...]] = field(default_factory=all_blocks)  # stage -> ascending block numbers
    # Blocks are InceptionResNetV2's; for every other backbone the mapping is empty.
    dropout: float = 0.2  # share of features dropped before the classifier in training, 0-0.9
    backbone: str = DEFAULT_BACKBONE

    def __post_init__(self) -> None:
        # The backbone comes first: the others depend on it.
        checks: dict[str, Callable[[], bool]] = {
            "backbone": lambda: isinstance(self.backbone, str) and self.backbone in BACKBONES,
            "classes": lambda: isinstance(self.classes, int) and 2 <= self.classes <= 100_000,
            "image_size": lambda: (
                isinstance(self.image_size, int) and self.known.min_image_size <= self.image_size <= MAX_IMAGE_SIZE
            ),
            "dropout": lambda: isinstance(self.dropout, (int, float)) and 0 <= self.dropout <= 0.9,
            "blocks": self._valid_blocks,
        }
        for name, fine in checks.items():
            if not fine():
                raise ModelError(f"{name} of the network is {short(getattr(self, name))}", self._expected(name))

    @property
    def known(self) -> Backbone:
        """What is known of the backbone."""
        return BACKBONES[self.backbone]

    def _valid_blocks(self) -> bool:
        if self.backbone != INCEPTION_RESNET_V2:
            return not self.blocks
        return list(self.blocks) == list(STAGES) and all(map(self._valid_stage, self.blocks))

    def _valid_stage(self, stage: str) -> bool:
        numbers = self.blocks[stage]
        in_range = all(isinstance(number, int) and 1 <= number <= STAGES[stage] for number in numbers)
        return bool(numbers) and in_range and list(numbers) == sorted(set(numbers))

    def _expected(self, name: str) -> str:
        if name == "backbone":
            return "one of " + ", ".join(BACKBONES)
        kept = "block numbers kept per stage: block35 of 1-10, block17 of 1-20, block8 of 1-10"
        return {
            "classes": "a whole number of at least 2",
            "image_size": f"a whole number of pixels from {self.known.min_image_size} to {MAX_IMAGE_SIZE}",
            "dropout": "a share from 0 to 0.9",
            "blocks": kept if self.backbone == INCEPTION_RESNET_V2 else f"none, which {self.backbone} has",
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
