"""Signals end a live session in order, and what blocks is interrupted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from edgewise.cli import stopping
from edgewise.cli.stopping import Stop


@pytest.fixture
def reader_of_nothing() -> Iterator[int]:
    """A pipe in which nothing comes."""
    end, other = os.pipe()
    yield end
    os.close(end)
    os.close(other)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_the_second_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with Stop() as stop:
        assert not stop.asked
        os.kill(os.getpid(), number)
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
        stop.settle()
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_what_blocks_is_interrupted(reader_of_nothing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "_PATIENCE", 0.05)
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.read(reader_of_nothing, 1)
        assert stop.asked


def test_what_comes_round_in_time_is_not_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "_PATIENCE", 0.01)
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        stop.settle()
        time.sleep(0.05)
