"""What a user may say about how a model file is opened, as plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Opening:
    """How a model file is opened. The defaults suit any file that Edgewise exported."""

    backend: str | None = None  # "litert" or "onnxruntime"; None: the usual one for the format
    threads: int | None = None  # CPU threads, >= 1; None: every core this process may use
    unknown_threshold: float | None = None  # probability 0-1 below which the answer is "unknown"; None: the model's own
