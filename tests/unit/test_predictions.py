"""The table of answers: every photo once, safe in a spreadsheet, and the answers that are worth a look."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from edgewise.train.dataset import Example
from edgewise.train.pixels import Pixels
from edgewise.train.predictions import COLUMNS, Answers, confident_share, write_predictions

LABELS = ("cat", "dog", "=cmd|' /C calc'!A0", "-1", "+", "@x", "ü")


def answers(rows: list[tuple[str, int, list[float]]], split: str = "test", labels: tuple[str, ...] = LABELS) -> Answers:
    """One photo per row: path, true class, probabilities of the first classes."""
    examples = tuple(Example(Path(path), labels[truth], truth, "0" * 64) for path, truth, _ in rows)
    pixels = Pixels(
        np.zeros((len(rows), 4, 4, 3), np.uint8), np.array([truth for _, truth, _ in rows], np.int64), examples, ()
    )
    probabilities = np.array([row + [0.0] * (len(labels) - len(row)) for _, _, row in rows], np.float32)
    return Answers(split, pixels, probabilities, labels)


def written(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8"))))


def test_every_photo_of_every_split_has_a_row(tmp_path: Path) -> None:
    first = answers([("/data/val/cat/1.jpg", 0, [0.75, 0.25])], "validation")
    second = answers([("/data/test/dog/2.jpg", 1, [0.6, 0.4]), ("/elsewhere/3.jpg", 1, [0.1, 0.9])])
    write_predictions([first, second], Path("/data"), tmp_path / "predictions.csv")
    rows = written(tmp_path / "predictions.csv")
    assert list(rows[0]) == COLUMNS
    assert [(row["path"], row["split"], row["label"], row["answer"], row["correct"]) for row in rows] == [
        ("val/cat/1.jpg", "validation", "cat", "cat", "1"),
        ("test/dog/2.jpg", "test", "dog", "cat", "0"),
        ("/elsewhere/3.jpg", "test", "dog", "dog", "1"),
    ]
    assert [float(row["probability"]) for row in rows] == pytest.approx([0.75, 0.6, 0.9], abs=1e-6)
    top = json.loads(rows[1]["top5"])
    assert [label for label, _ in top][:2] == ["cat", "dog"]
    assert len(top) == 5


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    rows = [(f"/data/{label}/=1+1.jpg", number, [0.0] * number + [1.0]) for number, label in enumerate(LABELS)]
    write_predictions([answers([*rows, ("/data/@SUM(1).jpg", 0, [1.0])])], Path("/data"), tmp_path / "p.csv")
    cells = [cell for row in written(tmp_path / "p.csv") for cell in row.values()]
    assert [cell for cell in cells if cell.startswith(("=", "@", "\t", "\r", "+", "-")) and cell != "-1"] == []
    found = {row["label"] for row in written(tmp_path / "p.csv")}
    assert found == {"cat", "dog", "'=cmd|' /C calc'!A0", "-1", "'+", "'@x", "ü"}


def test_names_that_are_not_utf8_and_line_ends(tmp_path: Path) -> None:
    strange = os.fsdecode(b'/data/cat/\xff,\n".jpg')
    write_predictions([answers([(strange, 0, [1.0])])], Path("/data"), tmp_path / "p.csv")
    (row,) = written(tmp_path / "p.csv")
    assert row["path"] == 'cat/\\xff,\n".jpg'


def test_the_worst_mistakes_come_first() -> None:
    found = answers([("a", 0, [0.9, 0.1]), ("b", 1, [0.7, 0.3]), ("c", 1, [0.8, 0.2]), ("d", 1, [0.2, 0.8])])
    assert found.worst(10) == [2, 1]
    assert found.worst(1) == [2]
    assert found.worst(0) == []


def test_typical_answers_are_of_different_classes() -> None:
    found = answers([("a", 0, [0.9]), ("b", 0, [0.8]), ("c", 1, [0.2, 0.6]), ("d", 1, [0.5, 0.4])])
    assert found.typical(2) == [0, 2]
    assert found.typical(9) == [0, 2, 1]


def test_shares_that_reach_a_threshold() -> None:
    found = answers([("a", 0, [0.9]), ("b", 0, [0.5]), ("c", 1, [0.6, 0.4])])
    assert confident_share(found, 0.6, right=True) == 0.5
    assert confident_share(found, 0.6, right=False) == pytest.approx(1)
    assert confident_share(answers([("a", 0, [0.9])]), 0.5, right=False) is None
