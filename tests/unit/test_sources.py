"""Finding photos, and reading them ahead in order."""

from __future__ import annotations

import inspect
import os
import sys
import threading
from pathlib import Path

import pytest

from edgewise.runtime.download import Limits
from edgewise.runtime.items import Photo, Video, Web
from edgewise.runtime.sources import Rules, find, load_ahead
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


# Lists, videos, URLs, standard input


def test_a_list_names_photos_in_its_order_also_such_as_are_not_there(tmp_path: Path) -> None:
    for name in ("list.txt", "paths.lst", "other"):
        (tmp_path / name).write_text("b.png\n\nno/such.jpg\nclip.mp4\n")
    for source in (f"{tmp_path}/list.txt", f"{tmp_path}/paths.lst", f"@{tmp_path}/other"):
        assert list(find([source]).names()) == ["b.png", "no/such.jpg", "clip.mp4"]
    assert [type(entry) for entry in find([f"@{tmp_path}/other"]).entries] == [Photo, Photo, Video]


def test_a_photo_whose_name_starts_with_an_at_sign_is_a_photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make(tmp_path, "@2x.png"))
    assert find(["@2x.png"]).entries == (Photo("@2x.png"),)


def test_a_list_that_is_not_there_or_empty_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the list 'no-such' cannot be read: No such file"):
        find(["@no-such"])
    (tmp_path / "empty.txt").touch()
    with pytest.raises(InputError, match=r"the list '.*empty\.txt' is empty\nExpected: text with one path per line"):
        find([f"{tmp_path}/empty.txt"])


def test_videos_in_folders_are_taken_where_every_says_how(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "b.mp4")
    assert find([str(tmp_path)]).entries == (Photo(f"{tmp_path}/a.png"),)
    assert find([str(tmp_path)]).ignored == 1
    assert find([str(tmp_path)], Rules(every=5)).entries[1] == Video(f"{tmp_path}/b.mp4", 5)
    assert find([f"{tmp_path}/b.mp4"]).entries == (Video(f"{tmp_path}/b.mp4", 1),)
    make(tmp_path, "videos/c.mkv")
    with pytest.raises(
        InputError, match=r"holds no photo, only other files: 1\n.*\nDo: for the videos in it say --every"
    ):
        find([f"{tmp_path}/videos"])


def test_urls_are_refused_unless_they_are_allowed() -> None:
    url = "https://me:secret@example.org/a.jpg?key=secret"
    with pytest.raises(InputError) as caught:
        find([url])
    assert str(caught.value) == (
        "https://***@example.org/a.jpg?*** is a URL\nExpected: files\nDo: allow URLs with --allow-url"
    )
    (entry,) = find([url], Rules(limits=Limits())).entries
    assert isinstance(entry, Web)
    assert "secret" not in repr(entry) + entry.name


def test_a_url_in_a_list_is_a_row_with_an_error(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("https://example.org/a.jpg\n")
    (item,) = find([f"{tmp_path}/list.txt"]).items()
    with pytest.raises(InputError, match="is a URL"):
        item.content()


def test_standard_input_can_be_read_once() -> None:
    assert find(["-"]).waits
    assert find(["-"]).total() is None
    with pytest.raises(InputError, match="- is given twice"):
        find(["-", "-"])


# What is made to catch a search


def test_links_in_circles_are_not_followed(tmp_path: Path) -> None:
    make(tmp_path, "a/b/c.png")
    for name in ("one", "two", "three"):
        (tmp_path / "a" / name).symlink_to(tmp_path / "a", target_is_directory=True)
    (tmp_path / "a" / "circle.png").symlink_to("circle.png")
    for source in (str(tmp_path), f"{tmp_path}/**/*.png", f"{tmp_path}/**"):
        assert names(tmp_path, source) == ["a/b/c.png", "a/circle.png"]


def test_a_folder_deeper_than_the_stack_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folders = ["/".join(["d"] * depth) for depth in range(1, 200)]
    for folder in folders:
        os.mkdir(folder)
    photo = f"{folders[-1]}/a.png"
    Path(photo).touch()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 100)
    try:
        assert list(find(["d"]).names()) == [photo]
        assert list(find(["**/*.png"]).names()) == [photo]
    finally:
        sys.setrecursionlimit(limit)


def test_patterns_do_not_find_hidden_names_unless_they_say_so(tmp_path: Path) -> None:
    make(tmp_path, "a.png", ".b.png", ".c/d.png", "e/.f.png")
    assert names(tmp_path, f"{tmp_path}/**/*.png") == ["a.png"]
    assert names(tmp_path, f"{tmp_path}/**/.*.png") == [".b.png", "e/.f.png"]
    assert names(tmp_path, f"{tmp_path}/**/.c/*.png") == [".c/d.png"]


def test_a_folder_that_cannot_be_listed_is_an_item_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, "a.png", "closed/b.png")
    real = os.scandir

    def scandir(path: str) -> object:  # the superuser may list every folder
        if path.endswith("closed"):
            raise PermissionError
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    photo, closed = find([str(tmp_path)]).items()
    assert photo.name.endswith("a.png")
    with pytest.raises(PhotoError, match=r"closed cannot be listed\nExpected: a folder that this user may read"):
        closed.content()


def test_folders_that_are_written_to_are_not_searched(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "sorted/red/a.png")
    assert [Path(name).name for name in find([str(tmp_path)], Rules(without=(tmp_path / "sorted",))).names()] == [
        "a.png"
    ]
