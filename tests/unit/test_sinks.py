"""Rows as a table, JSON lines and CSV, with the file names that break naive writers."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

from edgewise.runtime.classifier import Prediction, Score
from edgewise.runtime.rows import Row
from edgewise.runtime.sinks import Layout, error_text, open_sink
from edgewise.spec import PhotoError

TEXT = (Layout.TABLE, Layout.JSONL, Layout.CSV)
LABELS = ("shirt", "Größe", 'a, "b"\nc')
TOP = (Score("shirt", 0, 0.75), Score(LABELS[2], 2, 0.2), Score("Größe", 1, 0.05))
NASTY = (
    Path("plain.png"),
    Path("[bold]x[/bold] [red.png"),
    Path('a,"b"\nc.png'),
    Path("a\rb.png"),
    Path("\x1b[31mred.png"),
    Path(os.fsdecode(b"\xff\xfe.png")),
    Path("星.png"),
)
SHOWN = (
    "plain.png",
    "[bold]x[/bold] [red.png",
    'a,"b"\nc.png',
    "a\rb.png",
    "\x1b[31mred.png",
    r"\xff\xfe.png",
    "星.png",
)


def written(layout: Layout, rows: list[Row], top_k: int = 5) -> str:
    stream = io.StringIO(newline="")
    sink = open_sink(layout, stream, labels=LABELS, names=[row.name for row in rows], top_k=top_k)
    for row in rows:
        sink.write(row)
    stream.getvalue().encode("utf-8")
    return stream.getvalue()


def good(path: Path) -> Row:
    return Row(str(path), Prediction("shirt", 0.75, TOP), None, 1.25)


def bad(path: Path) -> Row:
    return Row(str(path), None, PhotoError(f"{path.name} is empty", "a photo", "leave it out"), None)


def test_json_lines_hold_what_the_contract_says() -> None:
    lines = written(Layout.JSONL, [good(Path("a.png")), bad(Path("b.png"))]).splitlines()
    assert json.loads(lines[0]) == {
        "path": "a.png",
        "label": "shirt",
        "probability": 0.75,
        "top": [{"label": score.label, "probability": score.probability} for score in TOP],
        "error": None,
        "milliseconds": 1.25,
    }
    assert json.loads(lines[1]) == {
        "path": "b.png",
        "label": None,
        "probability": None,
        "top": [],
        "error": "b.png is empty; expected: a photo; do: leave it out",
        "milliseconds": None,
    }


def test_json_lines_and_csv_survive_every_file_name() -> None:
    rows = [make(path) for path in NASTY for make in (good, bad)]
    shown = [name for name in SHOWN for _ in range(2)]
    lines = written(Layout.JSONL, rows).split("\n")
    assert [json.loads(line)["path"] for line in lines[:-1]] == shown
    assert lines[-1] == ""
    records = list(csv.DictReader(io.StringIO(written(Layout.CSV, rows), newline="")))
    assert [record["path"] for record in records] == shown


def test_csv_has_one_column_pair_per_class_and_empty_cells_for_errors() -> None:
    text = written(Layout.CSV, [good(Path("a.png")), bad(Path("b.png"))], top_k=2)
    top_two = Row("a.png", Prediction("shirt", 0.75, TOP[:2]), None, 1.25)
    first, second = csv.DictReader(io.StringIO(written(Layout.CSV, [top_two, bad(Path("b.png"))], top_k=2), newline=""))
    assert text.splitlines()[0] == (
        "path,label,probability,error,milliseconds,label_1,probability_1,label_2,probability_2"
    )
    assert first == {
        "path": "a.png",
        "label": "shirt",
        "probability": "0.750000",
        "error": "",
        "milliseconds": "1.250",
        "label_1": "shirt",
        "probability_1": "0.750000",
        "label_2": LABELS[2],
        "probability_2": "0.200000",
    }
    assert second["error"] == "b.png is empty; expected: a photo; do: leave it out"
    assert {second[name] for name in ("label", "probability", "milliseconds", "label_1", "probability_2")} == {""}


def test_what_computed_stands_beside_every_answer_for_programs() -> None:
    rows, ran = [good(Path("a.png")), bad(Path("b.png"))], {"backend": "litert", "provider": "cpu"}
    for layout in (Layout.CSV, Layout.JSONL):
        stream = io.StringIO(newline="")
        sink = open_sink(layout, stream, labels=LABELS, names=(), top_k=len(TOP), ran=ran)
        for row in rows:
            sink.write(row)
        stream.seek(0)
        records = list(csv.DictReader(stream)) if layout is Layout.CSV else [json.loads(line) for line in stream]
        assert [{key: record[key] for key in ran} for record in records] == [ran, ran]


def test_the_table_has_a_line_per_photo_and_no_control_characters() -> None:
    lines = written(Layout.TABLE, [good(path) for path in NASTY]).split("\n")
    assert len(lines) == len(NASTY) + 2
    assert all(line.isprintable() for line in lines)
    assert lines[1].split() == ["plain.png", "shirt", "75.0%", "a,", '"b"\\nc', "20.0%,", "Größe", "5.0%"]
    assert lines[2].startswith("[bold]x[/bold] [red.png")
    assert lines[5].startswith(r"\x1b[31mred.png")


def test_the_table_is_aligned_also_after_wide_characters() -> None:
    lines = written(Layout.TABLE, [good(Path("星.png")), good(Path("ab.png"))]).split("\n")
    # The star takes two columns of a terminal and one character.
    assert lines[1].index("shirt") + 1 == lines[2].index("shirt")


def test_an_unknown_answer_shows_the_best_guess_beside_it() -> None:
    line = written(Layout.TABLE, [Row("a.png", Prediction("unknown", 0.75, TOP), None, 1.0)]).split("\n")[1]
    assert "unknown" in line
    assert "shirt 75.0%" in line


@pytest.mark.parametrize("layout", TEXT)
def test_who_reads_a_pipe_gets_each_row_when_it_is_written(layout: Layout) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader, os.fdopen(writing, "w", encoding="utf-8", newline="") as stream:
        sink = open_sink(layout, stream, labels=LABELS, names=["a.png"], top_k=5)
        for name in ("a.png", "b.png"):
            sink.write(good(Path(name)))
            assert name.encode() in os.read(reader.fileno(), 10_000)


def test_an_error_is_one_printable_line() -> None:
    assert error_text(PhotoError("a\nb\x1b is bad", do="leave it")) == r"a\nb\x1b is bad; do: leave it"
