"""Work in threads that never keep the process from ending, such as opening a model, or writing to who does not read."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_NAME = "edgewise-aside"


def aside(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
    """Call a function in a thread of its own. A process that may end meanwhile ends by `leave`."""
    future: Future[R] = Future()
    future.set_running_or_notify_cancel()

    def work() -> None:
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - raised where the result is taken
            future.set_exception(error)

    threading.Thread(target=work, name=_NAME, daemon=True).start()
    return future


def leave(code: int) -> None:
    """End the process now, if one of these threads is still at work; otherwise do nothing.

    The interpreter would cut the thread off inside native code, which takes the process down with an error. What is to
    be kept must have been closed before. The standard streams are left as they are: the thread may be waiting for who
    reads them.
    """
    if any(thread.name == _NAME for thread in threading.enumerate()):
        os._exit(code)
