r"""How the answers about photos are written as text: a table, JSON lines or CSV, one row per photo, as they come.

A file name on Linux is any bytes. What is not UTF-8 in it is written as ``\xNN``, and control characters, which a
terminal would obey, are escaped in the table.
"""

from __future__ import annotations

import json
import os
import stat
import time
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol, TextIO

from edgewise.runtime.classifier import Prediction
from edgewise.runtime.rows import Row
from edgewise.spec import EdgewiseError
from edgewise.spec.csv_rows import CsvWriter
from edgewise.spec.files import path_text
from edgewise.spec.printable import printable


class Layout(str, Enum):
    """Forms of output."""

    TABLE = "table"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"  # not text: see edgewise.runtime.parquet


class Sink(Protocol):
    """Anything rows can be written to. A protocol, because the three forms share no code."""

    def write(self, row: Row) -> None:
        """Write one row."""


class Prompt:
    """A text stream that a reader gets at once what is written to, and a file at most every fifth of a second.

    Args:
        stream: where it goes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._pause = 0.2 if _is_file(stream) else 0.0  # seconds
        self._flushed = float("-inf")

    def write(self, text: str) -> None:
        """Write whole rows."""
        self._stream.write(text)
        now = time.monotonic()
        if now - self._flushed >= self._pause:
            self._stream.flush()
            self._flushed = now


def _is_file(stream: TextIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(stream.fileno()).st_mode)
    except (OSError, ValueError):  # no file behind it at all
        return False


def open_sink(
    layout: Layout,
    stream: TextIO,
    *,
    labels: Sequence[str],
    names: Iterable[str],
    top_k: int,
    ran: Mapping[str, str] | None = None,
) -> Sink:
    """Make the sink for ``layout``, a text form; it may write its heading to ``stream`` at once.

    Args:
        layout: form of output.
        stream: text stream; for CSV one that does not translate line ends.
        labels: all class names, to set the widths of a table.
        names: what the rows will be about, as far as it is known, for the same.
        top_k: largest number of classes per photo, at least 1.
        ran: what computed the answers, such as ``{"backend": "litert"}``; JSON lines and CSV repeat it in each row.
    """
    prompt = Prompt(stream)
    if layout is Layout.JSONL:
        return _Jsonl(prompt, ran or {})
    if layout is Layout.CSV:
        return _Csv(prompt, min(top_k, len(labels)), ran or {})
    return _Table(prompt, labels, names)


def record(row: Row) -> dict[str, Any]:
    """A row as plain data, under the names that JSON lines and Parquet share; probabilities rounded to 6 digits."""
    prediction = row.prediction
    return {
        "path": path_text(row.name),
        "label": prediction and prediction.label,
        "probability": prediction and round(prediction.probability, 6),
        "top": top_json(prediction) if prediction else [],
        "error": error_text(row.error) if row.error else None,
        "milliseconds": row.milliseconds and round(row.milliseconds, 3),
    }


def top_json(prediction: Prediction) -> list[dict[str, Any]]:
    """List the best classes as ``{"label", "probability"}``, best first, probabilities rounded to 6 digits."""
    return [{"label": score.label, "probability": round(score.probability, 6)} for score in prediction.top]


def error_text(error: EdgewiseError) -> str:
    """Write an error on one line; line ends and control characters inside, as file names may have, are escaped."""
    parts = (error.got, error.expected and f"expected: {error.expected}", error.do and f"do: {error.do}")
    return "; ".join(printable(part) for part in parts if part)


class _Jsonl:
    def __init__(self, stream: Prompt, ran: Mapping[str, str]) -> None:
        self._stream, self._ran = stream, ran

    def write(self, row: Row) -> None:
        self._stream.write(json.dumps({**record(row), **self._ran}, ensure_ascii=False) + "\n")


class _Csv:
    def __init__(self, stream: Prompt, columns: int, ran: Mapping[str, str]) -> None:
        self._columns, self._ran = columns, tuple(ran.values())
        self._writer = CsvWriter(stream)
        ranked = [f"{name}_{rank}" for rank in range(1, columns + 1) for name in ("label", "probability")]
        self._writer.writerow(["path", "label", "probability", "error", "milliseconds", *ranked, *ran])

    def write(self, row: Row) -> None:
        if row.prediction is None or row.milliseconds is None:
            error = error_text(row.error) if row.error else ""
            self._writer.writerow([path_text(row.name), "", "", error, "", *[""] * 2 * self._columns, *self._ran])
            return
        top = [cell for score in row.prediction.top for cell in (score.label, f"{score.probability:.6f}")]
        top += [""] * (2 * self._columns - len(top))
        label, probability = row.prediction.label, f"{row.prediction.probability:.6f}"
        milliseconds = f"{row.milliseconds:.3f}"
        self._writer.writerow([path_text(row.name), label, probability, "", milliseconds, *top, *self._ran])


class _Table:
    """Streams, so widths are set beforehand; a longer path pushes its row to the right and is never cut."""

    def __init__(self, stream: Prompt, labels: Sequence[str], names: Iterable[str]) -> None:
        self._stream = stream
        self._path_width = min(60, max((_width(printable(path_text(name))) for name in names), default=40))
        self._label_width = max(_width(printable(label)) for label in (*labels, "unknown"))
        self._put("photo", "label", "probability", "next")

    def _put(self, path: str, label: str, probability: str, rest: str) -> None:
        cells = _pad(path, self._path_width), _pad(label, self._label_width), f"{probability:>11}", rest
        self._stream.write("  ".join(cells).rstrip() + "\n")

    def write(self, row: Row) -> None:
        path = printable(path_text(row.name))
        if row.prediction is None:
            self._put(path, "-", "-", f"error: {error_text(row.error)}" if row.error else "")
            return
        top = row.prediction.top
        others = [score for score in top if score.label != row.prediction.label]
        rest = ", ".join(f"{printable(score.label)} {score.probability:.1%}" for score in others)
        self._put(path, printable(row.prediction.label), f"{row.prediction.probability:.1%}", rest)


def _width(text: str) -> int:
    """Columns of a terminal: two for wide characters, none for combining ones."""
    return sum(
        0 if unicodedata.combining(char) else 2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text
    )


def _pad(text: str, width: int) -> str:
    return text + " " * (width - _width(text))
