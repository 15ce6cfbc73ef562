"""Finding photos, and reading them ahead in order."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from edgewise.runtime.sources import find, load_ahead
from edgewise.spec import InputError, PhotoError


def make(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def names(root: Path, *sources: str) -> list[str]:
    return [str(Path(name).relative_to(root)) for name in find(sources).names()]


def test_a_folder_is_searched_with_its_subfolders_in_sorted_order(tmp_path: Path) -> None:
    make(tmp_path, "b.JPG", "a.png", "sub/deep/c.webp", "sub/b.tiff", "notes.txt", "sub/list.csv")
    found = find([str(tmp_path)])
    assert [str(Path(name).relative_to(tmp_path)) for name in found.names()] == [
        "a.png",
        "b.JPG",
        "sub/b.tiff",
        "sub/deep/c.webp",
    ]
    assert found.ignored == 2


def test_hidden_files_and_folders_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "._a.png", ".thumbnails/a.png")
    assert names(tmp_path, str(tmp_path)) == ["a.png"]


def test_sources_keep_their_order_and_a_file_may_have_any_suffix(tmp_path: Path) -> None:
    make(tmp_path, "z.dat", "folder/b.png", "folder/a.png", "c.jpg")
    sources = [str(tmp_path / name) for name in ("z.dat", "folder", "c.jpg")]
    assert names(tmp_path, *sources) == ["z.dat", "folder/a.png", "folder/b.png", "c.jpg"]


def test_patterns_are_expanded_and_two_stars_reach_subfolders(tmp_path: Path) -> None:
    make(tmp_path, "b.png", "a.png", "sub/deep/c.png", "sub/d.jpg", "e.txt")
    assert names(tmp_path, f"{tmp_path}/*.png") == ["a.png", "b.png"]
    assert names(tmp_path, f"{tmp_path}/**/*.png") == ["a.png", "b.png", "sub/deep/c.png"]
    assert find([f"{tmp_path}/**"]).ignored == 1


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(tmp_path: Path) -> None:
    make(tmp_path, "photo[1].png", "photo1.png")
    assert names(tmp_path, str(tmp_path / "photo[1].png")) == ["photo[1].png"]


def test_a_name_that_is_not_utf8_is_found(tmp_path: Path) -> None:
    with open(os.path.join(os.fsencode(tmp_path), b"\xff.png"), "wb"):
        pass
    assert [os.fsencode(Path(name).name) for name in find([str(tmp_path)]).names()] == [b"\xff.png"]


def test_a_source_that_does_not_exist_is_named() -> None:
    with pytest.raises(InputError) as caught:
        find(["no-such-photo.jpg"])
    assert str(caught.value) == (
        "there is no 'no-such-photo.jpg'\nExpected: a photo, a folder or a pattern such as 'photos/**/*.jpg'"
    )


def test_a_pattern_without_a_match_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing fits the pattern '.*/\*\.png'\nExpected: a photo, a folder"):
        find([f"{tmp_path}/*.png"])


def test_a_folder_without_photos_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the folder .* holds no photo\nExpected: files that end in \.jpg"):
        find([str(tmp_path)])
    make(tmp_path, "a.txt", "b.txt")
    with pytest.raises(InputError, match="holds no photo, only other files: 2"):
        find([str(tmp_path)])


def test_loaded_photos_come_in_order_with_errors_as_results() -> None:
    paths = [Path(str(number)) for number in range(50)]

    def load(path: Path) -> int:
        if path.name == "7":
            raise PhotoError("7 is bad")
        return int(path.name)

    results = list(load_ahead(paths, load, workers=4))
    assert [result.path for result in results] == paths
    assert [result.content for result in results if result.error is None] == [n for n in range(50) if n != 7]
    assert str(results[7].error) == "7 is bad"


def test_only_a_few_photos_are_held_however_many_there_are() -> None:
    started: list[str] = []
    lock = threading.Lock()

    def load(path: Path) -> str:
        with lock:
            started.append(path.name)
        return path.name

    results = load_ahead([Path(str(number)) for number in range(1000)], load, workers=2)
    for taken in range(1, 20):
        next(results)
        # Six are submitted at once and then one for each that is taken.
        assert len(started) <= taken + 6
    results.close()
    assert len(started) < 30


def test_an_unforeseen_failure_is_not_taken_for_a_bad_photo() -> None:
    def load(path: Path) -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        next(load_ahead([Path("a")], load))
