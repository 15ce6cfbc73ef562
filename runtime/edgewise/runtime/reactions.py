"""Commands that run when a label appears.

A command is started without a shell when the shown label changes to its label. It gets

    EDGEWISE_LABEL        the label
    EDGEWISE_PROBABILITY  its probability, 0-1
    EDGEWISE_FRAME        number of the frame, from 0
    EDGEWISE_SECONDS      time of the frame since the first one
    EDGEWISE_SOURCE       name of the source, without password

in its environment, nothing on standard input, and standard error as its standard output, because ours belongs to the
answers. Nobody waits for it: while it runs, and for some seconds after it was started, further changes to its label
are counted and start nothing. What still runs at the end is asked to end, and ended after half a second.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import TracebackType

from edgewise.runtime.classifier import UNKNOWN
from edgewise.runtime.live import Answer
from edgewise.spec import InputError

_GRACE_SECONDS = 0.4
"""How long commands may go on when it ends, and again after they were asked to end."""


@dataclass(frozen=True)
class Reaction:
    """A command for a label."""

    label: str
    words: tuple[str, ...]  # the program and its arguments

    @classmethod
    def parse(cls, label: str, command: str, labels: Sequence[str]) -> Reaction:
        """Read a command as a shell would split it, and check that it can be started.

        Raises:
            InputError: no such label, quotes that do not close, or no such program.
        """
        if label not in (*labels, UNKNOWN):
            raise InputError(f"--on-label {label}", "one of " + ", ".join((*labels, UNKNOWN)))
        try:
            words = shlex.split(command)
        except ValueError as error:
            raise InputError(f"--on-label {label} {command!r}: {error}", "a command as in a shell") from error
        if not words or shutil.which(words[0]) is None:
            raise InputError(
                f"--on-label {label}: no program {words[0] if words else ''!r}",
                "a program and its arguments",
                "for a line of shell: --on-label LABEL \"sh -c '...'\"",
            )
        return cls(label, tuple(words))


class Reactions:
    """Starts commands on changes of the shown label. Use it as a context manager.

    Args:
        reactions: all of them; a label may have several.
        every: least time between two starts of one command, in seconds.
        source: name of the source, for the commands.
    """

    def __init__(self, reactions: Iterable[Reaction], *, every: float, source: str) -> None:
        self._reactions = tuple(reactions)
        self._every, self._source = every, source
        self._shown: str | None = None
        self._started: dict[Reaction, float] = {}
        self._running: dict[Reaction, subprocess.Popen[bytes]] = {}
        self.skipped = 0

    def __enter__(self) -> Reactions:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        # What was started by the last frames gets the time to do its work; then it is asked to end, and ended.
        for number in (signal.SIGTERM, signal.SIGKILL):
            deadline = time.monotonic() + _GRACE_SECONDS
            running = [process for process in self._running.values() if not _has_ended(process, deadline)]
            for process in running:
                _signal(process, number)
        for process in running:
            process.wait()

    def notice(self, answer: Answer) -> list[str]:
        """Look at an answer and start what it calls for.

        Returns:
            A line for each command that could not be started.
        """
        self._running = {reaction: process for reaction, process in self._running.items() if process.poll() is None}
        if answer.shown.label == self._shown:
            return []
        self._shown = answer.shown.label
        wanted = [reaction for reaction in self._reactions if reaction.label == self._shown]
        return [trouble for reaction in wanted if (trouble := self._start(reaction, answer))]

    def _start(self, reaction: Reaction, answer: Answer) -> str | None:
        now = time.monotonic()
        if reaction in self._running or now - self._started.get(reaction, -self._every) < self._every:
            self.skipped += 1
            return None
        self._started[reaction] = now
        try:
            self._running[reaction] = subprocess.Popen(
                reaction.words,
                stdin=subprocess.DEVNULL,
                stdout=sys.__stderr__ or subprocess.DEVNULL,
                env=os.environ | self._facts(answer),
                start_new_session=True,  # Ctrl-C is for us, and its children end with it
            )
        except (OSError, ValueError) as error:  # ValueError: a label with a zero byte
            return f"--on-label {reaction.label}: {reaction.words[0]} cannot be started: {error}"
        return None

    def _facts(self, answer: Answer) -> dict[str, str]:
        return {
            "EDGEWISE_LABEL": answer.shown.label,
            "EDGEWISE_PROBABILITY": f"{answer.shown.probability:.4f}",
            "EDGEWISE_FRAME": str(answer.frame.index),
            "EDGEWISE_SECONDS": f"{answer.frame.seconds:.3f}",
            "EDGEWISE_SOURCE": self._source,
        }


def _has_ended(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Wait for its end until a moment of ``time.monotonic()``."""
    try:
        process.wait(max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal the whole session of the process, as a shell's children are meant, too."""
    with contextlib.suppress(OSError):
        os.killpg(process.pid, number)
