"""Starting child processes that run our own code and nobody else's."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

_PARENT_DEATH_SIGNAL = 1  # of prctl(2)


def safe_python() -> list[str]:
    """The interpreter, told not to look for modules in the current folder, where anything may lie.

    From Python 3.11 on there is an option for just that; before, isolated mode, which also leaves out the user's own
    packages.
    """
    return [sys.executable, "-P" if sys.version_info >= (3, 11) else "-I"]


@dataclass(frozen=True)
class Outcome:
    """How a child process ended."""

    code: int  # exit code, 0-255; -1: it did not end by itself
    output: bytes  # what it wrote to standard output
    signal: str  # name of the signal that ended it, such as "SIGSEGV"; empty: none
    timed_out: bool


def run_module(module: str, words: Sequence[str], content: bytes, seconds: float) -> Outcome:
    """Run a module of ours in a child process, which is killed after some time.

    Args:
        module: dotted name.
        words: its command line.
        content: what it reads from standard input.
        seconds: how long it may take.
    """
    command = [*safe_python(), "-m", module, *words]
    try:
        done = subprocess.run(
            command, input=content, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired as error:
        return Outcome(-1, error.stdout or b"", "", timed_out=True)
    if done.returncode < 0:
        return Outcome(-1, done.stdout, signal_name(-done.returncode), timed_out=False)
    return Outcome(done.returncode, done.stdout, "", timed_out=False)


def end_with_parent() -> None:
    """Let the calling process be killed when its parent is, or it would compute on; does nothing but on Linux."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def signal_name(number: int) -> str:
    """Name of a signal, such as "SIGSEGV"."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def limit_myself(memory: int, seconds: int) -> None:
    """Bound what the calling process may use from now on; it is ended by a signal, or refused memory, beyond.

    Args:
        memory: bytes of address space. Not every system keeps to it.
        seconds: of all its cores' time together.
    """
    import resource

    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
    ):
        _, hard = resource.getrlimit(kind)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        try:
            resource.setrlimit(kind, (most, hard))
        except (ValueError, OSError):  # macOS has no limit of address space
            continue
