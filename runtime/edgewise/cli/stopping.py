"""Ending on Ctrl-C and on SIGTERM, with everything closed, within two seconds."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import TracebackType
from typing import Any

import typer

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 0.8  # seconds until what blocks, such as a full pipe, is interrupted


class Stop:
    """Whether somebody asked for the end. Use it as a context manager, in the main thread.

    The first signal is only noted, so that nothing is torn: no line, no file. A loop looks at `asked`. What does not
    come round to it is interrupted soon, and so is a second signal's wait, by KeyboardInterrupt. After `settle`
    signals are ignored, so that closing is not interrupted.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        self._before = {number: signal.signal(number, self._hear) for number in _SIGNALS}
        self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._interrupt)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._rest()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def settle(self) -> None:
        """From now on nothing is interrupted."""
        self._rest()
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)

    def last_words(self, *lines: str) -> None:
        """Say something on standard error when all is closed; who was asked to end does not wait for a reader."""
        failed = sys.exc_info()[0] is not None
        patience = threading.Timer(_PATIENCE, os._exit, (int(failed),))
        patience.daemon = True
        if self.asked:
            patience.start()
        for line in lines:
            typer.echo(line, err=True)
        patience.cancel()

    def _rest(self) -> None:
        if self.asked:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _hear(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        signal.setitimer(signal.ITIMER_REAL, _PATIENCE)

    def _interrupt(self, *_: object) -> None:
        raise KeyboardInterrupt
