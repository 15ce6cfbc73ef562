from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.benchmarks.contention import Reading, Watch
from edgewise.benchmarks.entry import Kind
from edgewise.benchmarks.latency import MonotonicClock
from edgewise.benchmarks.plain import LOOPS
from edgewise.benchmarks.processes import FreshProcesses
from edgewise.benchmarks.queries import measure_latency
from edgewise.benchmarks.task import Job, Measurement, Task
from edgewise.benchmarks.typed import from_data
from edgewise.runtime.classifier import Classifier

TINY = Path(__file__).parents[1] / "data"
RED = str(TINY / "red.png")


class Nothing:
    """A machine that nobody uses."""

    def read(self) -> Reading:
        return Reading()


def measured(task: Task) -> Measurement:
    clock = MonotonicClock()
    return measure_latency(task, clock, lambda: Watch(Nothing(), clock))


def task(**changed: Any) -> Task:
    fields = {"job": Job.LATENCY, "path": str(TINY / "tiny.onnx"), "backend": "onnxruntime", "photos": (RED,)}
    return Task(**{**fields, **changed})


def test_tasks_survive_json() -> None:
    asked = task(path=os.fsdecode(b"/bad\xff.onnx"), kind=Kind.PLAIN, cores=(1, 3), seconds=0.5)
    assert Task.from_json(asked.to_json()) == asked


def test_a_round_has_queries_stages_and_what_computed() -> None:
    found = measured(task(seconds=0.1, photos=(RED, RED, str(TINY / "blue.png"))))
    assert (found.threads, found.provider, found.precision) == (1, "cpu", "fp32")
    assert len(found.samples_ns) >= 5
    assert found.start_ns > 0
    assert found.stages.photos >= 1
    parts = (found.stages.read, found.stages.decode, found.stages.resize, found.stages.inference)
    assert all(part > 0 for part in parts)
    assert sum(parts) <= found.stages.total
    assert (len(found.start_loads), len(found.loads) >= 1, len(found.stage_loads)) == (1, True, 1)


def test_without_time_only_the_start_is_measured() -> None:
    found = measured(task())
    assert found.start_ns > 0
    assert found.samples_ns == ()


@pytest.mark.parametrize(
    ("backend", "file"),
    [("litert", "tiny.tflite"), ("onnxruntime", "tiny.onnx"), ("openvino", "tiny.onnx"), ("openvino", "tiny.tflite")],
)
def test_a_plain_loop_answers_as_the_runtime_does(tmp_path: Path, backend: str, file: str) -> None:
    pytest.importorskip({"litert": "ai_edge_litert"}.get(backend, backend))
    classifier = Classifier.open(TINY / file, backend=backend, threads=1)
    pixels = classifier.prepare(RED)[None]
    np.testing.assert_array_equal(LOOPS[backend](str(TINY / file), 1)(pixels), classifier.probabilities(pixels))
    np.save(tmp_path / "query.npy", pixels)
    found = measured(
        task(kind=Kind.PLAIN, path=str(TINY / file), backend=backend, picture=str(tmp_path / "query.npy"), seconds=0.05)
    )
    assert len(found.samples_ns) >= 5
    assert found.sha256 == classifier.model.sha256
    assert found.stages.photos == 0


@pytest.mark.parametrize(
    ("program", "message"),
    [
        ("import os, signal; print('a'); print('last'); os.kill(os.getpid(), signal.SIGSEGV)", "killed by SIGSEGV"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL (often: not enough memory)"),
        ("raise ValueError('oh')", "ended with code 1; its last words: ValueError: oh"),
        ("", "ended with code 0"),
    ],
)
def test_a_child_that_dies_is_an_answer_with_an_error(program: str, message: str) -> None:
    assert message in FreshProcesses(("-c", program)).run(task()).answer["error"]


def test_a_child_answers_and_its_memory_is_seen_from_outside() -> None:
    cores = tuple(sorted(os.sched_getaffinity(0)))[:1]
    done = FreshProcesses().run(task(seconds=0.05, cores=cores), memory=True)
    found = from_data(Measurement, done.answer, "answer")
    assert found.error == ""
    assert found.start_ns > 0
    assert done.peak_bytes > 20_000_000


def test_a_model_that_is_missing_is_the_child_s_error() -> None:
    assert FreshProcesses().run(task(path="m.onnx")).answer["error"].startswith("m.onnx does not exist")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a killed benchmark leaves its process behind")
def test_a_killed_benchmark_leaves_no_process_behind() -> None:
    code = f"""
from edgewise.benchmarks.processes import FreshProcesses
from edgewise.benchmarks.task import Job, Task
task = Task(
    Job.SUSTAIN, path={str(TINY / "tiny.onnx")!r}, backend="onnxruntime", photos=({RED!r},), seconds=60
)
FreshProcesses().run(task)
"""
    with subprocess.Popen([sys.executable, "-c", code]) as benchmark:
        children = Path(f"/proc/{benchmark.pid}/task/{benchmark.pid}/children")
        while not (found := children.read_text().split()):
            time.sleep(0.05)
        worker = Path(f"/proc/{found[0]}")
        while b"onnxruntime" not in (worker / "maps").read_bytes():
            time.sleep(0.05)
        benchmark.kill()
    for _ in range(200):
        if gone := not worker.exists() or "Z" in (worker / "stat").read_text().rpartition(")")[2].split()[0]:
            break
        time.sleep(0.05)
    assert gone, "the worker goes on"
