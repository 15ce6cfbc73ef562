from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgewise.benchmarks.ceiling import product_model
from edgewise.benchmarks.contention import Reading, Watch
from edgewise.benchmarks.latency import MonotonicClock
from edgewise.benchmarks.memory import bare_bytes, pss_bytes
from edgewise.benchmarks.offline import PARTS, Way, measure_offline, rates
from edgewise.benchmarks.task import Job, Task

TINY = Path(__file__).parents[1] / "data"


class Hand:
    def __init__(self) -> None:
        self.time = 0

    def now(self) -> int:
        return self.time


class Nothing:
    def read(self) -> Reading:
        return Reading()


def test_the_rate_is_that_of_pictures_after_the_pipe_is_full() -> None:
    clock, ticks = Hand(), []

    def run(batches: Iterable[Any]) -> Iterator[Any]:
        clock.time += 5 * 10**9  # the first one is slow
        for batch in batches:
            clock.time += 20_000_000
            yield batch

    found = rates(Way(4, 2, run), np.zeros((2, 2, 3), np.uint8), clock, 6 * 10**9, lambda: ticks.append(1))
    assert found == pytest.approx((200.0,) * PARTS)
    assert len(ticks) >= 50


@pytest.mark.parametrize("streams", [2, 3, 4])
@pytest.mark.parametrize("seconds", [0.01, 0.12, 0.4, 1.5])
@pytest.mark.parametrize("limit", [0.1, 3.0])
def test_copies_that_finish_together_are_no_faster_than_they_are(streams: int, seconds: float, limit: float) -> None:
    clock = Hand()

    def run(batches: Iterable[Any]) -> Iterator[Any]:
        for number, batch in enumerate(batches):
            if number % streams == 0:
                clock.time += int(seconds * 1e9)
            yield batch

    found = rates(Way(1, streams, run), np.zeros((2, 2, 3), np.uint8), clock, int(limit * 1e9))
    assert found == pytest.approx((streams / seconds,) * len(found))


def test_a_slow_network_still_gives_a_rate() -> None:
    clock = Hand()

    def run(batches: Iterable[Any]) -> Iterator[Any]:
        for batch in batches:
            clock.time += 10**10
            yield batch

    assert rates(Way(1, 1, run), np.zeros((2, 2, 3), np.uint8), clock, 1) == pytest.approx((0.1, 0.1))


@pytest.mark.parametrize(("file", "backend"), [("tiny.tflite", "litert"), ("tiny.onnx", "onnxruntime")])
def test_the_best_of_a_few_ways_is_measured_through_the_runtime(file: str, backend: str) -> None:
    clock = MonotonicClock()
    task = Task(
        Job.OFFLINE, path=str(TINY / file), backend=backend, threads=2, photos=(str(TINY / "red.png"),), seconds=0.2
    )
    found = measure_offline(task, clock, lambda: Watch(Nothing(), clock))
    assert found.error == ""
    assert found.streams in (1, 2)
    assert found.batch in (1, 8)
    assert all(rate > 0 for rate in found.images_per_second)


def test_a_product_is_written_as_onnx_reads_it() -> None:
    import onnxruntime as ort

    left, right = np.array([[1, 2], [3, 200]], np.uint8), np.array([[5, -6], [7, 8]], np.int8)
    session = ort.InferenceSession(product_model("MatMulInteger", 2, 3, right, 6), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"a": left})[0], left.astype(int) @ right.astype(int))
    floats = np.array([[0.5, 1], [2, 3]], np.float32)
    session = ort.InferenceSession(product_model("MatMul", 1, 1, floats, 1), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"a": floats})[0], floats @ floats)


def test_memory_is_that_of_the_system(tmp_path: Path) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/smaps_rollup").write_text("00-ff [rollup]\nRss:   9 kB\nPss:     1234 kB\nPss_Anon: 5 kB\n")
    assert pss_bytes(7, tmp_path) == 1234 * 1024
    assert pss_bytes(8, tmp_path) == 0
    assert 1_000_000 < bare_bytes([sys.executable]) < 30_000_000


def test_a_worker_loads_nothing_before_it_knows_what_for() -> None:
    program = "import sys, edgewise.benchmarks.worker; print([m for m in sys.modules if m in ('numpy', 'cv2')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
