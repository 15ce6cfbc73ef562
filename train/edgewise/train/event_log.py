"""The history of a training for TensorBoard.

The files are written whole from the history and not line by line during the training, so that a training that was
interrupted and continued has every epoch once. They are read with ``tensorboard --logdir RUN/logs``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgewise.spec.files import replacing
from edgewise.train.checkpoint import Epoch
from edgewise.train.framework import tf
from edgewise.train.run import LOGS

TAGS = {
    "training": {"loss": "loss", "accuracy": "accuracy", "learning_rate": "learning_rate"},
    "validation": {"loss": "val_loss", "accuracy": "val_accuracy"},
}
"""Per file, the tags in it and which figure of an epoch they show. Equal tags share a chart."""


def write_event_logs(history: Sequence[Epoch], run: Path) -> None:
    """Write one event file for training and one for validation, a step per epoch, over those that are there.

    Args:
        history: all epochs.
        run: the run folder.

    Raises:
        OutputError: they cannot be written.
    """
    end = time.time()
    for part, tags in TAGS.items():
        with replacing(run / LOGS[part]) as temporary, tf.io.TFRecordWriter(str(temporary)) as writer:
            # The version has to come first: TensorBoard knows the kind of file by it.
            writer.write(tf.compat.v1.Event(wall_time=end, file_version="brain.Event:2").SerializeToString())
            for place, epoch in enumerate(history):
                wall_time = end - sum(later.seconds for later in history[place + 1 :])
                writer.write(_event(epoch, tags, wall_time).SerializeToString())


def _event(epoch: Epoch, tags: dict[str, str], wall_time: float) -> Any:
    summary = tf.compat.v1.Summary
    values = [summary.Value(tag=tag, simple_value=getattr(epoch, key)) for tag, key in tags.items()]
    return tf.compat.v1.Event(wall_time=wall_time, step=epoch.epoch, summary=summary(value=values))
