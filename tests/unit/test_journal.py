"""Rows of a file that is not finished: whatever happens to the process, they can be continued."""

from __future__ import annotations

import os
import resource
from collections import deque
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgewise.runtime.classifier import Prediction, Score
from edgewise.runtime.items import Item, Photo, Web
from edgewise.runtime.journal import Journal, part_of
from edgewise.runtime.rows import Row
from edgewise.spec import OutputError, PhotoError

LABELS = ("red", "green")
HEAD = {"model": "abc", "--top-k": 2, "--classes": None}
ROWS = [
    Row("a.png", Prediction("red", 1 / 3, (Score("red", 0, 1 / 3), Score("green", 1, 0.1))), None, 1.25),
    Row(os.fsdecode(b"\xff\n.png"), None, PhotoError("bad", "a photo", "leave it out"), None),
    Row("星.png", Prediction("unknown", 0.2, (Score("green", 1, 0.2),)), None, 0.5),
]


def opened(path: Path, *, resume: bool = True, **more: Any) -> Journal:
    return Journal(path, {**HEAD, **more.pop("head", {})}, LABELS, resume=resume, **more)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """A journal with all of ROWS."""
    path = part_of(tmp_path / "out.csv")
    with opened(path) as journal:
        for row in ROWS:
            journal.write(row, Photo(row.name))
    return path


def same(found: Row, row: Row) -> bool:
    return (found.name, found.prediction, str(found.error), found.milliseconds) == (
        row.name, row.prediction, str(row.error), row.milliseconds,
    )  # fmt: skip


def test_rows_come_back_to_the_last_bit(part: Path) -> None:
    assert part.name == "out.csv.part"
    with opened(part) as journal:
        assert (journal.done, journal.resumed, journal.again) == (3, 3, 1)
        assert all(map(same, journal.rows(), ROWS))


@pytest.mark.parametrize("lost", range(1, 200, 7))
def test_whatever_is_torn_off_the_rows_before_it_stay(part: Path, lost: int) -> None:
    content = part.read_bytes()
    part.write_bytes(content[:-lost])
    whole = content[:-lost].count(b"\n") - 1
    if whole < 0:
        return
    with opened(part) as journal:
        assert journal.resumed == whole
        for row in ROWS[whole:]:
            journal.write(row, Photo(row.name))
    assert part.read_bytes() == content


def test_what_a_lost_disk_block_leaves_is_dropped(part: Path) -> None:
    content = part.read_bytes()
    for tail in (b"\0" * 5000, b"\0" * 50 + b"\n", b'["half\n', b"{}\n"):
        part.write_bytes(content + tail)
        with opened(part) as journal:
            assert journal.resumed == 3
        assert part.read_bytes() == content


def test_rows_are_continued_from_a_whole_batch(part: Path) -> None:
    with opened(part, least=2) as journal:
        assert (journal.resumed, journal.again) == (2, 2)


def test_items_that_have_a_row_are_left_out(part: Path) -> None:
    items: list[Item] = [Photo(row.name) for row in ROWS] + [Photo("new.png")]
    with opened(part) as journal:
        left = journal.skip(items)
        assert [item.name for item in left] == ["new.png"]


@pytest.mark.parametrize(
    ("names", "now"), [(["a.png", "b.png"], "b.png"), (["a.png"], "nothing")], ids=["another", "fewer"]
)
def test_other_sources_are_not_continued(part: Path, names: list[str], now: str) -> None:
    with opened(part) as journal, pytest.raises(OutputError) as caught:
        list(journal.skip([Photo(name) for name in names]))
    assert str(caught.value).splitlines() == [
        f"{part} cannot be continued: its row 2 is about \\xff",
        ".png",
        f"Expected: {now}, as the sources are now",
        "Do: give the same sources in the same order, or start again with --overwrite",
    ]


def test_addresses_whose_names_hide_what_differs_are_told_apart(tmp_path: Path) -> None:
    first, second = (Web(f"https://host/photo?id={number}", None) for number in (1, 2))
    assert first.name == second.name == "https://host/photo?***"
    path = tmp_path / "out.csv.part"
    with opened(path) as journal:
        journal.write(replace(ROWS[0], name=first.name), first)
    assert b"id=1" not in path.read_bytes()
    with opened(path) as journal:
        assert [item.name for item in journal.skip([first, second])] == [second.name]
        with pytest.raises(OutputError, match=r"its row 1 is about https://host/photo"):
            list(journal.skip([second, first]))


@pytest.mark.parametrize("change", [{"model": "def"}, {"--top-k": 3}, {"--classes": [1]}, {"new": 1}])
def test_another_model_or_option_is_not_continued(part: Path, change: dict[str, Any]) -> None:
    before, (key, value) = part.read_bytes(), next(iter(change.items()))
    with pytest.raises(OutputError) as caught:
        opened(part, head=change)
    assert f"was begun with another {key}: {HEAD.get(key)}\nExpected: {value}, as it is now" in str(caught.value)
    assert part.read_bytes() == before


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.csv.part"
    path.write_text("my notes\n")
    with pytest.raises(OutputError, match=r"was not written by this command"):
        opened(path)
    assert path.read_text() == "my notes\n"


def test_two_processes_do_not_write_one(part: Path) -> None:
    with opened(part), pytest.raises(OutputError, match=r"another process is writing .*out\.csv\.part"):
        opened(part)


def test_without_resume_it_starts_anew(part: Path) -> None:
    with opened(part, resume=False) as journal:
        assert (journal.done, list(journal.rows())) == (0, [])
        journal.remove()
    assert not part.exists()


def test_a_prompt_journal_gives_each_row_away_at_once(tmp_path: Path) -> None:
    path = tmp_path / "out.part"
    with opened(path, prompt=True) as journal:
        for number, row in enumerate(ROWS, 2):
            journal.write(row, Photo(row.name))
            assert path.read_bytes().count(b"\n") == number


def test_a_full_disk_is_told_and_what_was_written_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "out.part"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # as many bytes as a file may have
    try:
        with pytest.raises(OutputError) as caught, opened(path, prompt=True) as journal:
            deque(map(journal.write, [ROWS[0]] * 100, [Photo("a.png")] * 100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert str(caught.value) == (
        f"cannot write {path}: File too large\nDo: free some space; the same command with --resume goes on"
    )
    with opened(path) as journal:
        assert journal.resumed == journal.done > 5
        assert same(list(journal.rows())[-1], ROWS[0])
