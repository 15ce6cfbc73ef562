"""Ctrl-C that is not lost.

TensorFlow calls back into Python from its own threads and while it builds graphs, and drops an exception that is raised
there, KeyboardInterrupt included. So Ctrl-C is only noted when it comes, and raised where the training advances.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from edgewise.spec.progress import Reporter, Step


@contextmanager
def noting_ctrl_c() -> Iterator[Callable[[], None]]:
    """Yield a function that raises KeyboardInterrupt if Ctrl-C was pressed meanwhile; a second one raises at once.

    Outside of the main thread, where Python delivers no signals, nothing changes.
    """
    pressed = False

    def note(_signal: int, _frame: FrameType | None) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield check
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


class Checking:
    """A reporter that looks for Ctrl-C whenever something advances."""

    def __init__(self, inner: Reporter, check: Callable[[], None]) -> None:
        self._inner, self._check = inner, check

    def say(self, message: str) -> None:
        """Pass the message on."""
        self._inner.say(message)
        self._check()

    @contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Step]:
        """Pass the progress on."""
        with self._inner.task(name, total) as inner:

            def step(done: int = 1, note: str = "") -> None:
                inner(done, note)
                self._check()

            yield step
