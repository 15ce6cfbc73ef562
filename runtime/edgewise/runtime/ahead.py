"""Work that runs ahead in threads, in order and a bounded number of steps at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Generic, TypeVar

R = TypeVar("R")

_WORK_SECONDS, _INPUT_SECONDS = 5.0, 1.0
"""How long the end waits for what is at work: native code that is cut off may take the process with it."""


class Ahead(Generic[R]):
    """The results of a function for many inputs, in the order of the inputs.

    The inputs are taken in a thread too, so that a result comes as soon as it is there, also while the next input is
    still awaited. Use it as a context manager, and iterate over it once.

    Args:
        function: called in several threads at once; what it raises is raised by the iteration, in its turn.
        inputs: what they raise is raised by the iteration, after the results of those before.
        workers: threads, at least 1.
        ahead: how many inputs at most are taken and not given back yet, however slowly the results are taken.
    """

    def __init__(self, function: Callable[[Any], R], inputs: Iterable[Any], *, workers: int, ahead: int) -> None:
        self._function, self._inputs = function, inputs
        self._tasks: SimpleQueue[tuple[Future[R], Any] | None] = SimpleQueue()
        self._results: SimpleQueue[Future[R] | None] = SimpleQueue()
        self._slots = threading.Semaphore(ahead)
        self._stopped = threading.Event()
        # Daemons, because an input may be awaited for ever, as on standard input.
        self._feeder = threading.Thread(target=self._feed, name="edgewise-inputs", daemon=True)
        self._workers = [
            threading.Thread(target=self._work, name="edgewise-worker", daemon=True) for _ in range(workers)
        ]

    def __enter__(self) -> Ahead[R]:
        for thread in (self._feeder, *self._workers):
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stopped.set()
        self._slots.release()
        self._results.put(None)  # for whoever still iterates in another thread
        for _ in self._workers:
            self._tasks.put(None)
        for thread in self._workers:
            thread.join(_WORK_SECONDS)
        self._feeder.join(_INPUT_SECONDS)

    def __iter__(self) -> Iterator[R]:
        while (result := self._results.get()) is not None:
            value = result.result()
            del result
            self._slots.release()
            yield value

    def _feed(self) -> None:
        try:
            source = iter(self._inputs)
            while self._slots.acquire() and not self._stopped.is_set():
                item = next(source)
                result: Future[R] = Future()
                self._tasks.put((result, item))
                self._results.put(result)
                del item, result
        except StopIteration:
            pass
        except BaseException as error:  # noqa: BLE001 - raised where the results are taken
            failed: Future[R] = Future()
            failed.set_exception(error)
            self._results.put(failed)
        self._results.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None and not self._stopped.is_set():
            result, item = task
            try:
                result.set_result(self._function(item))
            except BaseException as error:  # noqa: BLE001 - raised where the results are taken
                result.set_exception(error)
            del task, result, item  # nothing of it is held while the next one is awaited
