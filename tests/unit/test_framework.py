"""How TensorFlow is set up: what it frees is kept for the next step, and AVX2 is used."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from edgewise.benchmarks.entry import Kind
from edgewise.benchmarks.processes import FreshProcesses
from edgewise.benchmarks.task import Job, Task
from edgewise.runtime.cpu import DOT_PRODUCTS, cpu_flags

TAKE_TWICE = """
import resource
import numpy as np
from edgewise.train import framework

framework.prepare_process(0)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def fill():
    before = faults()
    np.ones(64 << 20, np.uint8)
    return faults() - before

fill()
print(min(fill() for _ in range(5)))
"""

GIVE_BACK = """
import numpy as np
from edgewise.train import framework

def resident():
    return int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS"))) >> 10

framework.prepare_process(0)
np.ones(256 << 20, np.uint8)
kept = resident()
framework.give_freed_memory_back()
print(kept - resident())
"""

CONVOLVE = """
from edgewise.train.framework import tf

tf.nn.conv2d(tf.ones((1, 8, 8, 16)), tf.ones((3, 3, 16, 16)), 1, "SAME")
"""

MEASURE = f"""
import json, pathlib, subprocess, sys

task = json.loads(sys.stdin.read())
told = subprocess.run([sys.executable, "-c", {CONVOLVE!r}], capture_output=True, text=True, check=True).stdout
pathlib.Path(task["result"]).write_text(json.dumps({{"told": told}}))
"""


needs_glibc = pytest.mark.skipif(
    sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="only glibc's memory is set up"
)


def told(code: str) -> str:
    """What a process of its own prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@needs_glibc
def test_a_large_buffer_is_taken_again_without_the_system_clearing_it() -> None:
    assert int(told(TAKE_TWICE)) < 1000  # 16,384 pages of 4 KiB


@needs_glibc
def test_what_was_kept_is_given_back_at_the_end() -> None:
    assert int(told(GIVE_BACK)) > 250  # of 256 MiB


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="kernels for x86")
@pytest.mark.parametrize(("asked", "used"), [(None, True), ("0", False)])
def test_the_faster_kernels_compute_unless_they_are_switched_off(
    monkeypatch: pytest.MonkeyPatch, asked: str | None, used: bool
) -> None:
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    monkeypatch.setenv("ONEDNN_VERBOSE", "1")
    if asked:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", asked)
    assert ("convolution" in told(CONVOLVE)) == used


@pytest.mark.skipif(cpu_flags() & DOT_PRODUCTS != set(), reason="TensorFlow chooses these kernels by itself")
def test_the_network_that_files_are_compared_with_is_not_slowed_down_by_the_kernels_of_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ONEDNN_VERBOSE", "1")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")  # as a process that trains leaves it
    done = FreshProcesses(("-c", MEASURE)).run(Task(Job.LATENCY, Kind.REFERENCE, "run", "keras"))
    assert "convolution" not in done.answer["told"]
