"""What a user may say about how a model file is opened, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

AUTO = "auto"
"""The backend that is found out by measuring."""

MOST_THREADS = 1024
"""Threads that may be asked for; systems refuse some thousands, and engines do not survive that."""

FOREIGN = ("labels", "normalize", "input_layout", "color_order", "image_size", "output_kind")
"""Fields that describe files which Edgewise did not export, and which it cannot always find out."""


@dataclass(frozen=True)
class Opening:
    """How a model file is opened. The defaults suit any file that Edgewise exported."""

    backend: str | None = None  # "litert", "onnxruntime", "openvino", "auto"; None: the usual one for the format
    provider: str | None = None  # "cpu", "cuda", "tensorrt", ... as the backend lists them; None: "cpu"
    threads: int | None = None  # CPU threads, >= 1; None: every core this process may use
    precision: str | None = None  # "fp32" or "bf16", of what is computed in floats; None: "fp32"
    allow_fallback: bool = False  # what is not granted is replaced by what there is
    retune: bool = False  # "auto" measures again
    unknown_threshold: float | None = None  # probability 0-1 below which the answer is "unknown"; None: the model's own
    labels: Path | None = None  # a text file with a class name a line; None: the names that the file carries
    normalize: str | None = None  # see edgewise.runtime.normalization; None: as the file's metadata says
    input_layout: str | None = None  # "NHWC" or "NCHW"; None: as the shape of the input says
    color_order: str | None = None  # "rgb" or "bgr"; None: "rgb"
    image_size: int | None = None  # pixels, of height and width; None: as the shape of the input says
    output_kind: str | None = None  # "probabilities" or "logits"; None: as the output for a probe picture says

    def given_options(self) -> tuple[str, ...]:
        """The options that differ from their defaults, as they are typed."""
        return tuple(map(_typed, self._given()))

    def foreign_options(self) -> tuple[str, ...]:
        """Those of them that describe a foreign file."""
        return tuple(_typed(name) for name in self._given() if name in FOREIGN)

    def described(self) -> dict[str, str | int | None]:
        """How a foreign file was described, without the class names: options and what was given for them."""
        return {_typed(name): getattr(self, name) for name in FOREIGN if name != "labels"}

    def _given(self) -> list[str]:
        return [field.name for field in fields(self) if getattr(self, field.name) != field.default]


def _typed(name: str) -> str:
    return "--" + name.replace("_", "-")
