"""Carries the newest news of a live session from its thread to any number of viewers in the event loop.

Only the newest is kept: a viewer with a slow connection sees fewer pictures, never old ones, and slows nobody down.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class News:
    """What viewers are told, see ``page/live.js``."""

    number: int  # counts up from 1
    message: dict[str, Any]  # JSON
    jpeg: bytes | None  # the picture; None: there is no new one, or nobody was watching


class Channel:
    """One place for news, and a bell that wakes whoever waits for it."""

    def __init__(self) -> None:
        self.newest = News(0, {}, None)
        self.viewers = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bell: asyncio.Event | None = None

    def open(self) -> None:
        """Begin; called in the event loop."""
        self._loop, self._bell = asyncio.get_running_loop(), asyncio.Event()

    def publish(self, message: dict[str, Any], jpeg: bytes | None) -> None:
        """Replace what is newest; called in one thread, any."""
        self.newest = News(self.newest.number + 1, message, jpeg)
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ring)

    def _ring(self) -> None:
        bell, self._bell = self._bell, asyncio.Event()
        if bell is not None:
            bell.set()

    async def after(self, number: int) -> News:
        """Wait for news with a higher number than ``number``, and take the newest."""
        while self.newest.number <= number and self._bell is not None:
            await self._bell.wait()
        return self.newest

    @contextmanager
    def viewer(self) -> Iterator[None]:
        """Count a viewer while it is there."""
        self.viewers += 1
        try:
            yield
        finally:
            self.viewers -= 1
