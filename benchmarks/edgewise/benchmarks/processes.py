"""Child processes, each of which does one job: a port, so that the order of the jobs is tested without starting any."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from edgewise.benchmarks.latency import Clock, MonotonicClock
from edgewise.benchmarks.memory import Peak
from edgewise.benchmarks.task import Task
from edgewise.spec.child import safe_python, signal_name

PATIENCE_SECONDS = 600.0
"""A child process is given up after this time plus ten times its budget and PATIENCE_PER_PHOTO for each photo."""

PATIENCE_PER_PHOTO = 10.0

WORKER = ("-m", "edgewise.benchmarks.worker")

ENVIRONMENT = {"TF_ENABLE_ONEDNN_OPTS": ""}
"""Of the child processes. The reference has TensorFlow's own choice of kernels, as in a script: those that are chosen
for training answer a single photo several times as slowly on CPUs without VNNI, which would flatter the files."""


@dataclass(frozen=True)
class Done:
    """What came of a job."""

    answer: dict[str, Any]  # the fields of the answer's dataclass; {"error": ...} where there is none
    peak_bytes: int = 0  # PSS, where it was asked for


class Processes(Protocol):
    """Does jobs."""

    def run(self, task: Task, *, photos: int = 0, memory: bool = False) -> Done:
        """Do one job.

        Args:
            task: what to do; ``result`` and ``started_ns`` are chosen here, the former unless it is given.
            photos: how many it goes through.
            memory: sample its memory meanwhile, which disturbs its times.
        """


class FreshProcesses:
    """A fresh Python process for each job; its death, too, is an answer, with an error."""

    def __init__(self, command: Sequence[str] = WORKER, clock: Clock | None = None) -> None:
        self._command, self._clock = command, clock or MonotonicClock()

    def run(self, task: Task, *, photos: int = 0, memory: bool = False) -> Done:
        """See `Processes.run`."""
        patience = PATIENCE_SECONDS + PATIENCE_PER_PHOTO * photos + 10 * task.seconds
        with tempfile.TemporaryDirectory(prefix="edgewise-benchmark-") as folder:
            answer = Path(task.result or Path(folder) / "answer.json")
            command = [*safe_python(), *self._command]
            started = replace(task, result=str(answer), started_ns=self._clock.now())
            with (
                subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **ENVIRONMENT},
                ) as process,
                Peak(process.pid) if memory else nullcontext() as peak,
            ):
                output, late = _talk(process, started.to_json(), patience)
            if late:
                return failed(f"the measuring process was ended after {patience:.0f} s without an answer")
            if process.returncode == 0 and answer.is_file():
                return Done(json.loads(answer.read_text(encoding="utf-8")), peak.bytes if peak else 0)
        return failed(obituary(process.returncode, output))


def failed(error: str) -> Done:
    """What came of a job that failed."""
    return Done({"error": error})


def _talk(process: subprocess.Popen[bytes], said: str, patience: float) -> tuple[str, bool]:
    """What a process wrote, and whether it had to be ended."""
    try:
        output, _ = process.communicate(said.encode("utf-8"), patience)
        return output.decode("utf-8", "replace"), False
    except subprocess.TimeoutExpired:
        process.kill()
        return "", True
    except BaseException:
        process.kill()
        raise


def obituary(code: int, output: str) -> str:
    """Why a child process ended without an answer."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = f"; its last words: {lines[-1][:300]}" if lines else ""
    if code < 0:
        name = signal_name(-code)
        hint = " (often: not enough memory)" if name == "SIGKILL" else ""
        return f"the measuring process was killed by {name}{hint}{last}"
    return f"the measuring process ended with code {code}{last}"
