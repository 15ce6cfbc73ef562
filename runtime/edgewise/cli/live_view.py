"""What happens to each state of a live session: window, recording, JSON lines and commands."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgewise.runtime.live import Answer, Lost, State, answer_json
from edgewise.runtime.overlay import STALE_MS, Look, draw
from edgewise.runtime.window import Key
from edgewise.spec import OutputError

if TYPE_CHECKING:
    from edgewise.cli.stopping import Stop
    from edgewise.runtime.frames import Frames
    from edgewise.runtime.reactions import Reactions
    from edgewise.runtime.recording import Lines, Recorder
    from edgewise.runtime.window import Window

_PAUSED_WAIT_MS = 30
_NOTICE_SECONDS = 3.0


@dataclass(frozen=True)
class Sinks:
    """Everything that answers may go to; None: not there."""

    window: Window | None
    recorder: Recorder | None
    lines: Lines | None
    reactions: Reactions | None
    stdout: bool  # JSON lines on standard output


class Viewer:
    """Takes the states of a session, one after the other, and the keys of the window.

    Args:
        sinks: where answers go.
        frames: what is held while the window is paused.
        stop: ends a pause.
        save_dir: folder for saved frames.
        film_time: record by the video's own time instead of the clock.
    """

    def __init__(self, sinks: Sinks, frames: Frames, stop: Stop, save_dir: Path, *, film_time: bool) -> None:
        self._sinks, self._frames, self._stop, self._save_dir = sinks, frames, stop, save_dir
        self._film_time = film_time
        self._latest: Answer | None = None
        self._look = Look()
        self._noticed = 0.0
        self.losses = 0

    def see(self, state: State) -> bool:
        """Show one state; False when the user quits."""
        self._report(state)
        if isinstance(state, Answer):
            self._latest = state
            self._write(state)
        if self._look.notice and time.monotonic() - self._noticed > _NOTICE_SECONDS:
            self._look = replace(self._look, notice="")
        self._show(fresh=isinstance(state, Answer))
        window = self._sinks.window
        return window is None or self._serve(window, window.key())

    def _report(self, state: State) -> None:
        """Say once that the source was lost, and once that it is back."""
        lost = state if isinstance(state, Lost) else None
        if lost and not self._look.lost:
            self.losses += 1
            typer.echo(f"LOST: {lost.reason}; it is being opened again", err=True)
        if isinstance(state, Answer) and self._look.lost:
            typer.echo(f"back after {self._look.lost.seconds:.1f} s: {self._frames.name}", err=True)
        if lost or isinstance(state, Answer):
            self._look = replace(self._look, lost=lost)

    def _write(self, answer: Answer) -> None:
        sinks = self._sinks
        line = answer_json(answer)
        if sinks.lines:
            sinks.lines.write(line)
        if sinks.stdout:  # last, as its reader may keep it waiting
            sys.stdout.write(line + "\n")
            sys.stdout.flush()
        for trouble in sinks.reactions.notice(answer) if sinks.reactions else ():
            typer.echo(trouble, err=True)

    def _show(self, *, fresh: bool) -> None:
        """Draw a new answer, or the last one again once the picture has to say that it is old."""
        sinks, answer = self._sinks, self._latest
        if answer is None or not (sinks.window or sinks.recorder):
            return
        age_ms = answer.age_ms if fresh else answer.frame.age_ms(time.monotonic())
        if not (fresh or self._look.lost or self._look.paused or age_ms > STALE_MS):
            return
        picture = draw(answer, age_ms, self._look)
        if sinks.window:
            sinks.window.show(picture)
        if sinks.recorder and not self._look.paused:
            sinks.recorder.show(picture, answer.frame.seconds if self._film_time else time.monotonic())

    def _serve(self, window: Window, key: Key | None) -> bool:
        if key is Key.PAUSE and self._latest:
            return self._pause(window)
        self._press(key)
        return key is not Key.QUIT

    def _pause(self, window: Window) -> bool:
        self._frames.hold(True)
        self._look = replace(self._look, paused=True)
        key = None
        while key not in (Key.PAUSE, Key.QUIT) and not self._stop.asked:
            self._press(key)
            self._show(fresh=False)
            key = window.key(_PAUSED_WAIT_MS)
        self._look = replace(self._look, paused=False)
        if self._sinks.recorder and not self._film_time:
            self._sinks.recorder.skip(time.monotonic())
        self._frames.hold(False)
        return key is Key.PAUSE

    def _press(self, key: Key | None) -> None:
        if self._latest is None:
            return
        if key is Key.NEXT:
            self._look = replace(self._look, listed=self._look.listed % len(self._latest.prediction.top) + 1)
        if key is Key.SAVE:
            self._save(self._latest)

    def _save(self, answer: Answer) -> None:
        from edgewise.runtime.recording import save_frame

        try:
            notice = f"saved: {save_frame(answer.frame.picture, self._save_dir)}"
        except OutputError as error:
            notice = f"NOT SAVED: {error.got}"
        typer.echo(notice, err=True)
        self._look, self._noticed = replace(self._look, notice=notice), time.monotonic()
