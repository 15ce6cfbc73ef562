"""The answers about every held-out photo, for a table and for pictures."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgewise.spec.csv_rows import CsvWriter
from edgewise.spec.files import path_text, write_text
from edgewise.train.pixels import Pixels

COLUMNS = ["path", "split", "label", "answer", "probability", "correct", "top5"]
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters that make a spreadsheet take a cell for a formula."""


@dataclass(frozen=True)
class Answers:
    """What a network says about the photos of one split."""

    split: str  # "validation" or "test"
    photos: Pixels
    probabilities: NDArray[np.float32]  # (n, classes), at the network's temperature
    labels: tuple[str, ...]  # class names in index order

    @cached_property
    def best(self) -> NDArray[np.int64]:
        """Class indices of the answers, ``(n,)``."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @cached_property
    def sure(self) -> NDArray[np.float32]:
        """Probabilities of the answers, ``(n,)``, 0-1."""
        return np.asarray(self.probabilities.max(axis=1))

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Which answers are right, ``(n,)``."""
        return np.asarray(self.best == self.photos.labels)

    def worst(self, count: int) -> list[int]:
        """Positions of the most confident wrong answers, the most confident first."""
        return [int(index) for index in np.argsort(-self.sure, kind="stable") if not self.right[index]][:count]

    def typical(self, count: int) -> list[int]:
        """Positions of right answers, of as many classes as possible, the most confident of each class first."""
        order = [int(index) for index in np.argsort(-self.sure, kind="stable") if self.right[index]]
        turns: dict[int, int] = {}
        ranked: list[tuple[int, int, int]] = []
        for index in order:
            turn = turns[int(self.best[index])] = turns.get(int(self.best[index]), 0) + 1
            ranked.append((turn, len(ranked), index))
        return [index for _, _, index in sorted(ranked)[:count]]


def write_predictions(parts: Iterable[Answers], root: Path, path: Path) -> None:
    r"""Write one row per photo as CSV, in UTF-8. Raises OutputError.

    Columns: ``path`` (below ``root`` where the photo is there), ``split``, ``label``, ``answer``, ``probability``
    (0-1), ``correct`` (1 or 0), ``top5`` (JSON: ``[[label, probability], ...]``, best first). A text that a spreadsheet
    would take for a formula has an apostrophe before it; bytes of a name that are not UTF-8 are written as ``\xNN``.
    """
    text = io.StringIO()
    writer = CsvWriter(text)
    writer.writerow(COLUMNS)
    for part in parts:
        writer.writerows(_rows(part, root))
    write_text(path, text.getvalue())


def _rows(answers: Answers, root: Path) -> Iterator[list[str]]:
    labels = [path_text(label) for label in answers.labels]
    best = np.argsort(-answers.probabilities, axis=1, kind="stable")[:, :5]
    for index, example in enumerate(answers.photos.examples):
        row = answers.probabilities[index]
        top5 = [[labels[place], round(float(row[place]), 6)] for place in best[index]]
        yield [
            _cell(path_text(relative(example.path, root))),
            answers.split,
            _cell(path_text(example.label)),
            _cell(labels[answers.best[index]]),
            f"{answers.sure[index]:.6f}",
            str(int(answers.right[index])),
            json.dumps(top5, ensure_ascii=False),
        ]


def relative(path: Path, root: Path) -> Path:
    """``path`` below ``root``, or as it is where it lies elsewhere."""
    return path.relative_to(root) if path.is_relative_to(root) else path


def _cell(text: str) -> str:
    """A text that no spreadsheet computes. A class called ``-1`` stays: a number does no harm."""
    return f"'{text}" if text.startswith(FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    return text[1:].replace(".", "", 1).isdecimal() and text[0] in "+-"


def confident_share(answers: Answers, threshold: float, *, right: bool) -> float | None:
    """Share of the right (or of the wrong) answers that reach a threshold, 0-1; None where there are none."""
    chosen = answers.sure[answers.right == right]
    return float((chosen >= threshold).mean()) if len(chosen) else None
