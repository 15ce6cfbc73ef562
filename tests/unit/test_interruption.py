from __future__ import annotations

import signal
import threading

import pytest

from edgewise.spec.progress import Silent
from edgewise.train.interruption import Checking, noting_ctrl_c


def test_ctrl_c_is_raised_where_the_work_advances() -> None:
    with noting_ctrl_c() as check, Checking(Silent(), check).task("work", 3) as step:
        step()
        signal.raise_signal(signal.SIGINT)  # and not raised here
        with pytest.raises(KeyboardInterrupt):
            step()


def test_a_message_is_passed_on_before_ctrl_c_is_raised() -> None:
    said: list[str] = []

    class Listener(Silent):
        def say(self, message: str) -> None:
            said.append(message)

    with noting_ctrl_c() as check:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            Checking(Listener(), check).say("epoch 1 is saved")
    assert said == ["epoch 1 is saved"]


def test_a_second_ctrl_c_is_raised_at_once() -> None:
    with noting_ctrl_c():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_handler_of_before_is_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with noting_ctrl_c():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_changes_nothing() -> None:
    changed: list[bool] = []

    def work() -> None:
        before = signal.getsignal(signal.SIGINT)
        with noting_ctrl_c() as check:
            check()
            changed.append(signal.getsignal(signal.SIGINT) is not before)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert changed == [False]
