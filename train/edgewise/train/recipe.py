"""How a network is trained, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from reprlib import repr as short
from typing import Any

from edgewise.spec import InputError
from edgewise.train.augmentation import Augmentation

AUTO = "auto"
"""A learning rate that a range test finds."""

RATES = {("adamw", True): 1e-3, ("adamw", False): 5e-4, ("sgd", True): 0.05, ("sgd", False): 0.005}
"""Peak learning rates by optimizer and whether the training is from scratch."""

WHOLE: Mapping[str, tuple[int, int]] = {
    "epochs": (1, 10_000),
    "head_epochs": (0, 10_000),
    "head_passes": (1, 100),
    "batch_size": (2, 4096),
    "patience": (1, 10_000),
    "seed": (0, 2**31 - 1),
}
"""Whole numbers and their ranges."""

REAL: Mapping[str, tuple[float, float]] = {
    "weight_decay": (0, 1),
    "layer_decay": (0.01, 1),
    "label_smoothing": (0, 0.9),
    "mixup": (0, 10),
    "cutmix": (0, 10),
    "ema": (0, 0.99999),
    "clip_norm": (0, 1e6),
}
"""Real numbers and their ranges."""

CHOICES: Mapping[str, tuple[str, ...]] = {
    "optimizer": ("adamw", "sgd"),
    "class_weights": ("none", "balanced"),
    "precision": (AUTO, "float32", "bfloat16", "float16"),
}


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The defaults of None depend on whether there are weights to begin with.

    Raises:
        InputError: a field is out of range; the message names its option.
    """

    weights: str = "imagenet"  # "imagenet", "none" or a path
    epochs: int = 10  # of the whole network
    head_epochs: int = 30  # of the classifier on the frozen backbone; only with given weights
    head_passes: int = 1  # how often the photos pass the frozen backbone, from the second on augmented
    batch_size: int = 32  # photos
    optimizer: str = "adamw"  # or "sgd", with Nesterov momentum
    learning_rate: float | str | None = None  # peak, > 0; "auto": by a range test; None: see RATES
    weight_decay: float = 1e-4  # decoupled, of kernels
    layer_decay: float = 1.0  # learning rate of a stage of the network as a share of the next stage's
    unfreeze: str | None = None  # first block that learns with given weights; None: all do
    label_smoothing: float = 0.0  # share of the target that is spread over all classes
    mixup: float = 0.0  # alpha of the mixing shares' Beta distribution; 0: none
    cutmix: float = 0.0  # the same for pasted rectangles
    ema: float = 0.0  # decay of the averaged weights that are validated and kept; 0: none
    clip_norm: float = 1.0  # largest norm of all gradients together; 0: any
    class_weights: str = "none"  # "balanced": each class weighs the same in the loss, however few its photos
    precision: str = (
        AUTO  # of the layers in training; "auto": bfloat16 or float16 where the machine computes them faster
    )
    patience: int = 5  # epochs without a better validation accuracy before training stops
    seed: int = 0
    deterministic: bool = False  # bit-equal results on one machine, at some cost in speed
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        for name, (low, high) in WHOLE.items():
            self._check(name, f"a whole number from {low} to {high}", _is_whole, low, high)
        for name, (least, most) in REAL.items():
            self._check(name, f"a number from {least:g} to {most:g}", _is_real, least, most)
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise self._refusal(name, " or ".join(choices))
        rate = self.learning_rate
        if rate not in (None, AUTO) and not (_is_real(rate) and 0 < rate <= 10):  # type: ignore[operator]
            raise self._refusal("learning_rate", "a number above 0, usually 0.00001 to 0.01, or 'auto'")
        if not isinstance(self.weights, str):
            raise self._refusal("weights", "'imagenet', 'none' or a path")
        if self.unfreeze is not None and not isinstance(self.unfreeze, str):
            raise self._refusal("unfreeze", "the name of a block")
        if not isinstance(self.deterministic, bool):
            raise self._refusal("deterministic", "true or false")

    @property
    def from_scratch(self) -> bool:
        """Whether there are no weights to begin with."""
        return self.weights == "none"

    @property
    def peak_rate(self) -> float:
        """Highest learning rate; for "auto", the default that stands in until the range test is done."""
        if isinstance(self.learning_rate, (int, float)):
            return float(self.learning_rate)
        return RATES[self.optimizer, self.from_scratch]

    def _check(self, name: str, expected: str, is_kind: Any, low: float, high: float) -> None:
        value = getattr(self, name)
        if not is_kind(value) or not low <= value <= high:
            raise self._refusal(name, expected)

    def _refusal(self, name: str, expected: str) -> InputError:
        return InputError(f"--{name.replace('_', '-')} {short(getattr(self, name))}", expected)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_real(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
