from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.benchmarks.contention import Reading
from edgewise.benchmarks.duel import LEAST_TURNS, PairMeter, duel
from edgewise.benchmarks.task import Job, Task
from edgewise.spec import EdgewiseError

DATA = Path(__file__).parents[1] / "data"


def task(path: Path, backend: str = "onnxruntime") -> Task:
    return Task(Job.LATENCY, path=str(path), backend=backend, threads=1, photos=(str(DATA / "red.png"),))


def test_two_files_are_asked_in_turns_by_fresh_processes() -> None:
    found = duel(task(DATA / "tiny.onnx"), task(DATA / "tiny.tflite", "litert"), (1, 1), 0.05, tries=0)
    (only,) = found.rounds
    assert len(only.ratios) == len(only.times_ns) >= LEAST_TURNS
    assert all(ratio > 0 for ratio in only.ratios)
    assert found.change.why == "it takes at least 3 rounds of each"


def test_a_file_that_cannot_be_loaded_ends_it_with_the_reason(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(EdgewiseError, match=r"broken.onnx cannot be measured: .*broken.onnx"):
        duel(task(DATA / "tiny.onnx"), task(broken), rounds=(1, 1), seconds=0.05)


def test_a_process_that_dies_is_told() -> None:
    dies = ("-c", "import sys; sys.stdin.readline()")
    with pytest.raises(EdgewiseError, match="the measuring process ended without an answer"):
        duel(task(DATA / "tiny.onnx"), task(DATA / "tiny.onnx"), (1, 1), 0.05, (dies, dies))


class Counters:
    """Counters of a machine: 30 s of its cores' time were used, 2 s of it by this process."""

    def read(self) -> Reading:
        return Reading(busy=30.0, own=2.0)


def test_the_pair_s_own_time_is_not_taken_for_that_of_others(tmp_path: Path) -> None:
    for pid in (7, 8):
        stat = tmp_path / f"proc/{pid}/stat"
        stat.parent.mkdir(parents=True)
        stat.write_text(f"{pid} (odd) name) S 1 1 1 0 -1 4194304 100 0 0 0 500 250 0 0 20 0 1 0 100 1000 10\n")
    assert PairMeter([7, 8, 9], Counters(), tmp_path).read().own == pytest.approx(2.0 + 2 * 7.5)
