"""The logs for TensorBoard, read back with TensorFlow's own reader."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from edgewise.spec import OutputError
from edgewise.train.checkpoint import Epoch
from edgewise.train.event_log import write_event_logs
from edgewise.train.framework import tf
from edgewise.train.run import LOGS

HISTORY = tuple(Epoch(n, 2 / n, 1 - 0.5 / n, 3 / n, 1 - 0.6 / n, 1e-3 / n, 10.0) for n in range(1, 4))


def scalars(path: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for event in tf.compat.v1.train.summary_iterator(str(path)):
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, pytest.approx(value.simple_value)))
    return found


def test_every_epoch_is_there_once(tmp_path: Path) -> None:
    # An interrupted training has written the first epochs before.
    write_event_logs(HISTORY[:2], tmp_path)
    write_event_logs(HISTORY, tmp_path)
    training, validation = (scalars(tmp_path / LOGS[part]) for part in ("training", "validation"))
    assert set(training) == {"loss", "accuracy", "learning_rate"}
    assert training["loss"] == [(1, 2.0), (2, 1.0), (3, 2 / 3)]
    assert validation == {"loss": [(1, 3.0), (2, 1.5), (3, 1.0)], "accuracy": [(1, 0.4), (2, 0.7), (3, 0.8)]}
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2


def test_epochs_lie_as_far_apart_as_they_took(tmp_path: Path) -> None:
    write_event_logs(HISTORY, tmp_path)
    header, *events = tf.compat.v1.train.summary_iterator(str(tmp_path / LOGS["training"]))
    assert header.file_version == "brain.Event:2"
    times = [event.wall_time for event in events]
    assert [later - earlier for earlier, later in itertools.pairwise(times)] == pytest.approx([10, 10])


def test_tensorboard_finds_them_by_their_names() -> None:
    assert all("tfevents" in Path(name).name for name in LOGS.values())


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_event_logs(HISTORY, tmp_path)
