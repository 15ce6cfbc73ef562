"""The float Keras network of a run, in the shape of a runtime backend: the reference for every exported file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.cpu import usable_cores
from edgewise.spec import InputSpec, ModelError
from edgewise.train.batches import clean_batches
from edgewise.train.framework import use_threads
from edgewise.train.network import build
from edgewise.train.run import METRICS, Run
from edgewise.train.temperature import read_scaling
from edgewise.train.weights import load_weights

BATCH = 32


def open_network(run: Run) -> Any:
    """Rebuild a run's network and fill it with its best weights, at the temperature that was fitted.

    The temperature is in the classifier's weights afterwards: whatever is made of this network has it already.

    Raises:
        ModelError: the run has no weights yet, they do not fit, or its calibration is out of range.
    """
    if not run.weights_path.is_file():
        raise ModelError(
            f"{run.path} has no {run.weights_path.name} yet: no epoch was finished",
            do=f"continue with: edgewise train --out {run.path} --resume",
        )
    model = build(run.config.architecture)
    load_weights(model, run.weights_path)
    temperature = read_scaling(run.path / METRICS).temperature
    classifier = model.get_layer("predictions")
    classifier.set_weights([array / np.float32(temperature) for array in classifier.get_weights()])
    return model


class KerasReference:
    """A run's network as `edgewise.runtime.backends.Backend`: uint8 pictures in, probabilities out."""

    name, provider, precision = "keras", "cpu", "fp32"

    def __init__(self, run: Run, threads: int | None = None) -> None:
        use_threads(threads)
        size = run.config.architecture.image_size
        self.threads = threads or usable_cores()
        self.labels = run.labels
        self.input = InputSpec(size, size)
        self.model = open_network(run)

    def run(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `edgewise.runtime.backends.Backend.run`."""
        return np.concatenate([np.asarray(self.model.predict_on_batch(part)) for part in clean_batches(batch, BATCH)])


def open_reference(run: Path, threads: int | None = None) -> KerasReference:
    """Open the network of a run folder.

    Args:
        run: the folder.
        threads: CPU threads, >= 1; None takes all cores. Kept only by the first user of TensorFlow in a process.

    Raises:
        ModelError: not a run folder, or without weights.
    """
    return KerasReference(Run.open(run), threads)
