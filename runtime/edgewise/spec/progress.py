"""How long work tells its user where it is, without knowing who listens.

A Protocol and not a base class, so that the command line, a notebook or a test can listen in a way of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Step(Protocol):
    """Called as a task advances."""

    def __call__(self, done: int = 1, note: str = "") -> None:
        """Add ``done`` units to what is done; ``note`` is shown beside the bar, such as a loss."""
        ...


class Reporter(Protocol):
    """Someone who listens."""

    def say(self, message: str) -> None:
        """Take one line of text for the user."""
        ...

    def task(self, name: str, total: int | None) -> AbstractContextManager[Step]:
        """Begin a task of ``total`` units, None: nobody knows; leaving the context ends it."""
        ...


class Silent:
    """Nobody listens."""

    def say(self, message: str) -> None:
        """Drop the message."""

    @contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Step]:  # noqa: ARG002 - the Protocol's signature
        """Drop the progress."""

        def step(done: int = 1, note: str = "") -> None:  # noqa: ARG001
            return

        yield step


class Lines(Silent):
    """Messages as lines on standard error, no bars: for a process beside others."""

    def say(self, message: str) -> None:
        """Print one line."""
        sys.stderr.write(f"{message}\n")
        sys.stderr.flush()
