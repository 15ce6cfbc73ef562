"""How TensorFlow is set up: what it frees is kept for the next step, and AVX2 is used."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's memory is set up")
def test_a_large_buffer_is_taken_again_without_the_system_clearing_it():
    told = subprocess.run([sys.executable, "-c", TAKE_TWICE], capture_output=True, text=True, check=True).stdout

    assert int(told) < 1000  # 16,384 pages of 4 KiB


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="read from Linux and glibc")
def test_what_was_kept_is_given_back_at_the_end():
    told = subprocess.run([sys.executable, "-c", GIVE_BACK], capture_output=True, text=True, check=True).stdout

    assert int(told) > 250  # of 256 MiB


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="kernels for x86")
@pytest.mark.parametrize(("asked", "used"), [(None, True), ("0", False)])
def test_the_faster_kernels_compute_unless_they_are_switched_off(monkeypatch, asked, used):
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    monkeypatch.setenv("ONEDNN_VERBOSE", "1")
    if asked:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", asked)

    told = subprocess.run([sys.executable, "-c", CONVOLVE], capture_output=True, text=True, check=True).stdout

    assert ("convolution" in told) == used
