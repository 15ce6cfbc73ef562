from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgewise.benchmarks.runner import measure_in_child
from edgewise.benchmarks.task import Measurement, Task
from edgewise.benchmarks.worker import peak_memory

TINY = Path(__file__).parents[1] / "data"
TASK = Task(
    path="m.onnx", backend="onnxruntime", threads=1, photos=(("p.jpg", "red"),), part=0, parts=2, seconds=0.1, result=""
)


def test_tasks_and_measurements_survive_json() -> None:
    task = Task(os.fsdecode(b"/bad\xff.onnx"), None, 2, (("a", "b"), ("c", "d")), 1, 2, 0.5, "out")
    assert Task.from_json(task.to_json()) == task
    measurement = Measurement(threads=2, samples_ns=(1, 2), unreadable=("x",), stable=True)
    assert Measurement.from_json(measurement.to_json()) == measurement


def test_peak_memory_is_that_of_the_system(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t   1234 kB\nVmRSS:\t  1000 kB\n")
    assert peak_memory(status) == 1234 * 1024
    assert peak_memory() > 1_000_000
    assert peak_memory(tmp_path / "none") > 0


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os, signal; print('a'); print('last'); os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL (often: not enough memory)"),
        ("raise ValueError('oh')", "ended with code 1; its last words: ValueError: oh"),
        ("", "ended with code 0"),
    ],
)
def test_a_child_that_dies_is_a_measurement_with_an_error(program: str, message: str) -> None:
    assert message in measure_in_child(TASK, ("-c", program)).error


def test_a_model_that_is_missing_is_the_child_s_error() -> None:
    assert measure_in_child(TASK).error.startswith("m.onnx does not exist")


def test_photos_that_cannot_be_read_are_the_child_s_error(tmp_path: Path) -> None:
    (tmp_path / "p.jpg").write_bytes(b"")
    task = Task(str(TINY / "tiny.onnx"), "onnxruntime", 1, ((str(tmp_path / "p.jpg"), "red"),), 0, 2, 0.1, "")
    assert measure_in_child(task).error == (
        f"none of the 1 photos can be read; the first: {tmp_path / 'p.jpg'} is empty (0 bytes)\nDo: look at the files"
    )
