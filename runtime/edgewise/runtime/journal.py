"""Rows of an output file that is not finished: kept whatever happens, and continued.

Beside the output file lies ``NAME.part`` while a command is at work: a line that says what is being done, and then a
line of JSON per row, whatever form the output will have. Whoever continues it gets the same output as if nothing had
happened. What a killed process wrote last may be torn, and is dropped.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from edgewise.runtime.classifier import Prediction, Score
from edgewise.runtime.items import Item, hidden_part
from edgewise.runtime.rows import Row
from edgewise.spec import EdgewiseError, OutputError
from edgewise.spec.files import path_text

_FLUSH_SECONDS, _SYNC_SECONDS = 0.2, 5.0
_MOST_OF_A_LINE = 1 << 26
_FREE = "free some space; the same command with --resume goes on"


def part_of(out: Path) -> Path:
    """Where the journal of an output file is kept."""
    return out.with_name(out.name + ".part")


class Journal:
    """The rows so far. Use it as a context manager; what is in it stays until `remove`.

    Args:
        path: see `part_of`.
        head: what is being done, as JSON; only the same is ever continued.
        labels: the model's, in index order.
        resume: continue what is there, if anything is; otherwise start anew.
        least: rows are continued from a multiple of this, so that batches stay the same.
        prompt: each row is given to the operating system at once.

    Raises:
        OutputError: it cannot be written, another process writes it, or it is of something else.
    """

    def __init__(
        self,
        path: Path,
        head: Mapping[str, Any],
        labels: tuple[str, ...],
        *,
        resume: bool,
        least: int = 1,
        prompt: bool = False,
    ) -> None:
        self._path, self._head, self._labels = path, dict(head), labels
        self.done = 0  # rows in it
        self.resumed = 0  # of them, those that were in it before
        self.again = 0  # items whose rows may have been lost, and are made again
        self._flush_seconds = 0.0 if prompt else _FLUSH_SECONDS
        self._flushed = self._synced = time.monotonic()
        with _told(path, "choose another place with --out"):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: BinaryIO = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
            self._lock()
            if resume and path.stat().st_size:
                self._continue(least)
            else:
                self._file.truncate(0)
                self._file.write(_line(self._head))
                self._file.flush()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with suppress(OSError) if error else _told(self._path, _FREE):
            self._file.close()

    def write(self, row: Row, item: Item) -> None:
        """Add a row. It reaches the system within a moment, and the disk within seconds. Raises OutputError."""
        with _told(self._path, _FREE):
            self._file.write(_line(_packed(row, item)))
            now = time.monotonic()
            if now - self._flushed >= self._flush_seconds:
                self._file.flush()
                self._flushed = now
            if now - self._synced > _SYNC_SECONDS:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        self.done += 1

    def rows(self) -> Iterator[Row]:
        """Read every row again, from the first one on. Raises OutputError."""
        return (_unpacked(record, self._labels) for record in self._records())

    def _records(self) -> Iterator[list[Any]]:
        with _told(self._path, _FREE):
            self._file.flush()
        with self._path.open("rb") as file:
            file.readline()
            yield from map(json.loads, file)

    def skip(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield the items that have no row yet.

        Raises:
            OutputError: the rows are about others than the first of ``items``.
        """
        waiting = iter(items)
        for number, (name, hidden, *_) in enumerate(islice(self._records(), self.resumed), 1):
            item = next(waiting, None)
            if item is None or (item.name, hidden_part(item)) != (name, hidden):
                now = path_text(item.name) if item else "nothing"
                raise OutputError(
                    f"{path_text(self._path)} cannot be continued: its row {number} is about {path_text(name)}",
                    f"{now}, as the sources are now",
                    "give the same sources in the same order, or start again with --overwrite",
                )
        yield from waiting

    def remove(self) -> None:
        """Delete it, once the output is whole."""
        self._path.unlink(missing_ok=True)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(
                f"another process is writing {path_text(self._path)}", do="wait for it, or choose another --out"
            ) from None

    def _continue(self, least: int) -> None:
        """Check the head, find the last whole row, and cut what is behind it."""
        found = _parsed(self._file.readline(_MOST_OF_A_LINE))
        if not isinstance(found, dict):
            raise OutputError(f"{path_text(self._path)} was not written by this command", do="choose another --out")
        for key in {**found, **self._head}:
            if found.get(key) != self._head.get(key):
                raise OutputError(
                    f"{path_text(self._path)} was begun with another {key}: {found.get(key)}",
                    f"{self._head.get(key)}, as it is now",
                    "give the same options and the same model, or start again with --overwrite",
                )
        rows, end = 0, self._file.tell()
        while isinstance(_parsed(self._file.readline(_MOST_OF_A_LINE)), list):
            rows += 1
            if rows % least == 0:
                self.done, end = rows, self._file.tell()
        self.resumed, self.again = self.done, rows - self.done + 1
        self._file.seek(end)
        self._file.truncate()


@contextmanager
def _told(path: Path, do: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"cannot write {path_text(path)}: {error.strerror or error}", do=do) from error


def _line(record: object) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"


def _parsed(line: bytes) -> Any:
    """What a line says; None for one that is torn."""
    try:
        return json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None


def _packed(row: Row, item: Item) -> list[Any]:
    """Write a row without losing a bit of it, and what its name does not say of the item."""
    about = [row.name, hidden_part(item)]
    if row.prediction is None:
        error = row.error or EdgewiseError("")
        return [*about, [error.got, error.expected, error.do]]
    top = [(score.index, score.probability) for score in row.prediction.top]
    return [*about, row.prediction.label, row.prediction.probability, top, row.milliseconds]


def _unpacked(record: list[Any], labels: tuple[str, ...]) -> Row:
    if len(record) == 3:
        return Row(record[0], None, EdgewiseError(*record[2]), None)
    name, _, label, probability, top, milliseconds = record
    scores = tuple(Score(labels[index], index, value) for index, value in top)
    return Row(name, Prediction(label, probability, scores), None, milliseconds)
