"""A network's answers, batch by batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.spec.progress import Reporter
from edgewise.train.batches import clean_batches
from edgewise.train.pixels import Images

PREDICT_BATCH = 32


def predict(model: Any, images: Images, reporter: Reporter, name: str) -> NDArray[np.float32]:
    """Run a network in inference mode.

    Args:
        model: from float32 pictures in [-1, 1].
        images: ``(n, size, size, 3)`` uint8.
        reporter: is told about the progress.
        name: of the task in the progress.

    Returns:
        ``(n, outputs)`` float32.
    """
    return predict_batches(model, clean_batches(images, PREDICT_BATCH), len(images), reporter, name)


def predict_batches(
    model: Any, batches: Iterable[NDArray[np.float32]], count: int, reporter: Reporter, name: str
) -> NDArray[np.float32]:
    """`predict` for batches of ``count`` prepared pictures in all."""
    results = []
    with reporter.task(name, count) as step:
        for batch in batches:
            results.append(np.asarray(model.predict_on_batch(batch)))
            step(len(batch))
    return np.concatenate(results)
