"""Photos in folders by class: names that cannot harm, and nothing overwritten."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgewise.runtime.classifier import Prediction, Score
from edgewise.runtime.items import Given, Photo, Web
from edgewise.runtime.placing import Sorter, Way, file_name, folder_names, placed
from edgewise.runtime.rows import Row
from edgewise.runtime.stream import Result
from edgewise.spec import OutputError, PhotoError

LABELS = ("red", "a/b", "..")


def answer(name: str, label: str = "red", content: bytes = b"photo") -> Result:
    prediction = Prediction(label, 0.5, (Score("red", 0, 0.5),))
    return Result(Row(name, prediction, None, 1.0), Photo(name), content)


def tree(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if not path.is_dir())


def test_each_photo_is_copied_into_the_folder_of_its_class(tmp_path: Path) -> None:
    sorter = Sorter(tmp_path / "out", LABELS, Way.COPY)
    for label in (*LABELS, "unknown"):
        sorter.place(answer("x/photo.jpg", label, label.encode()))
    assert tree(tmp_path / "out") == ["_/photo.jpg", "a_b/photo.jpg", "red/photo.jpg", "unknown/photo.jpg"]
    assert (tmp_path / "out" / "a_b" / "photo.jpg").read_bytes() == b"a/b"


def test_equal_names_are_both_kept_and_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / "a.jpg").write_bytes(b"mine")
    sorter = Sorter(tmp_path, LABELS, Way.COPY)
    for name in ("x/a.jpg", "y/a.jpg"):
        sorter.place(answer(name, content=name.encode()))
    sorter.place(answer("z/a.jpg", content=b"x/a.jpg"))
    contents = {path.name: path.read_bytes() for path in (tmp_path / "red").iterdir()}
    assert contents == {"a.jpg": b"mine", "a-2.jpg": b"x/a.jpg", "a-3.jpg": b"y/a.jpg", "a-4.jpg": b"x/a.jpg"}


def test_what_was_placed_before_an_interruption_is_not_placed_twice(tmp_path: Path) -> None:
    sorter = Sorter(tmp_path, LABELS, Way.COPY)
    first = sorter.place(answer("a.jpg"))
    assert sorter.place(answer("a.jpg"), again=True) == first
    # Killed between taking the name and writing.
    (tmp_path / "red" / "b.jpg").touch()
    assert sorter.place(answer("b.jpg"), again=True) == tmp_path / "red" / "b.jpg"
    assert (tmp_path / "red" / "b.jpg").read_bytes() == b"photo"
    assert tree(tmp_path) == ["red/a.jpg", "red/b.jpg"]


def test_a_photo_that_could_not_be_read_is_left_out(tmp_path: Path) -> None:
    row = Row("a.jpg", None, PhotoError("bad"), None)
    assert Sorter(tmp_path, LABELS, Way.COPY).place(Result(row, Photo("a.jpg"), None)) is None
    assert tree(tmp_path) == []


@pytest.mark.parametrize("way", [Way.HARDLINK, Way.SYMLINK])
def test_links_lead_to_the_photo_itself(tmp_path: Path, way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jpg").write_bytes(b"photo")
    Path("link.jpg").symlink_to("a.jpg")
    sorter = Sorter(Path("out"), LABELS, way)
    placed = [sorter.place(answer(name)) for name in ("a.jpg", "link.jpg", "./a.jpg")]
    assert [path and path.name for path in placed] == ["a.jpg", "link.jpg", "a-2.jpg"]
    assert all(path and path.samefile("a.jpg") and path.is_symlink() == (way is Way.SYMLINK) for path in placed)
    assert sorter.place(answer("a.jpg"), again=True) == placed[0]


def test_frames_and_downloads_are_copies_whatever_the_way(tmp_path: Path) -> None:
    sorter = Sorter(tmp_path, LABELS, Way.SYMLINK)
    picture = np.full((4, 5, 3), (255, 0, 0), np.uint8)
    prediction = Prediction("red", 0.5, (Score("red", 0, 0.5),))
    row = Row("clips/a.mp4#frame=20", prediction, None, 1.0)
    frame = sorter.place(Result(row, Given(row.name, picture), picture))
    assert frame == tmp_path / "red" / "a.mp4#frame=20.png"
    np.testing.assert_array_equal(cv2.imread(str(frame)), picture[..., ::-1])
    web = Web("https://me:secret@example.org/x/b.jpg?key=1", None)
    result = Result(Row(web.name, prediction, None, 1.0), web, b"photo")
    assert sorter.place(result) == tmp_path / "red" / "b.jpg"


def test_hard_links_across_disks_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:  # a second disk cannot be had here
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(OutputError, match=r"Invalid cross-device link\nDo: .*hard links need the same disk"):
        Sorter(tmp_path, LABELS, Way.HARDLINK).place(answer("a.jpg"))


def test_no_two_classes_share_a_folder_on_any_file_system() -> None:
    labels = ("a/b", "a_b", "A_B", "..", ".", "", "CON: x", "Größe", "x" * 300, "new\nline")
    names = folder_names(labels)
    assert list(names.values()) == [
        "a_b", "a_b-2", "A_B-3", "_", "_-2", "_-3", "CON_ x", "Größe", "x" * 50, "new_line",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("photos/a.b.jpg", "a.b.jpg"),
        ("/x/../..", ".."),
        ("line\nend.png", "line_end.png"),
        ("https://example.org/", "example.org"),
        ("https://example.org/x.jpg?***", "x.jpg"),
        ("x/.png", ".png"),
        ('a:b"c|.png', "a_b_c_.png"),
        ("#3", "#3"),
    ],
)
def test_file_names_hold_nothing_that_a_file_system_minds(name: str, safe: str, tmp_path: Path) -> None:
    assert file_name(name) == safe
    path = placed(tmp_path / "here", safe, b"x")
    assert path.parent == tmp_path / "here"


def test_a_long_last_part_after_a_dot_is_no_suffix(tmp_path: Path) -> None:
    name = "https://host/" + ".".join(("h" * 80, "p" * 120, "s" * 43))
    assert placed(tmp_path, file_name(name), b"x").exists()
    assert placed(tmp_path, file_name(name, ".jpg"), b"x").suffix == ".jpg"


def test_long_names_are_cut(tmp_path: Path) -> None:
    for name in ("n" * 255, "星" * 85, os.fsdecode(b"\xff" * 250)):
        assert placed(tmp_path, file_name(name + ".png"), b"x").exists()
