"""What the scripts beside this one measure: single queries of a model file with a photo of noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from edgewise.benchmarks.cores import pin
from edgewise.benchmarks.duel import CHILD, Arena, Duellist
from edgewise.benchmarks.task import Job, Task
from edgewise.runtime.modelfile import read_model


def against(command: Sequence[str]) -> Arena:
    """Where of two equal tasks the one that says where its result goes is run by another command."""
    return Arena(enter=lambda task: Duellist(task, command if task.result else CHILD))


def noise_task(model: Path, folder: Path, threads: int, seconds: float = 0.0, backend: str | None = None) -> Task:
    """A round of single queries, pinned as `edgewise benchmark` does it.

    Args:
        model: the file.
        folder: for the photo.
        threads: >= 1.
        seconds: of the round.
        backend: None takes the usual one of the format.
    """
    size = read_model(model).manifest.input
    photo = folder / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (size.height, size.width, 3), np.uint8)
    photo.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    usual = "litert" if model.suffix == ".tflite" else "onnxruntime"
    return Task(
        Job.LATENCY, path=str(model), backend=backend or usual, threads=threads, cores=pin(threads),
        photos=(str(photo),), seconds=seconds,
    )  # fmt: skip
