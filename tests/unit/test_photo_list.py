"""Labelled photos in a CSV file: what is read, and what is refused by line and name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgewise.runtime import photo_list
from edgewise.runtime.photo_list import folder_of, read_photos
from edgewise.spec import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files to be named: cats and dogs."""
    for name in ("cats/1.jpg", "cats/2.jpg", "dogs/1.jpg", "dogs/2.jpg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path


def write(folder: Path, text: str | bytes, name: str = "photos.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refused(folder: Path, text: str | bytes) -> DataError:
    with pytest.raises(DataError) as error:
        read_photos(write(folder, text))
    return error.value


PLAIN = "path,label\ncats/1.jpg,cat\ndogs/1.jpg,dog\n"
SPLIT = "path,label,split\ncats/1.jpg,cat,train\ncats/2.jpg,cat,val\ndogs/1.jpg,dog,Train\ndogs/2.jpg,dog,test\n"


def test_without_splits(folder: Path) -> None:
    found = read_photos(write(folder, PLAIN))
    assert (found.root, found.labels, found.ignored) == (folder, ("cat", "dog"), 0)
    assert {name: [(p.path, p.label) for p in photos] for name, photos in found.splits.items()} == {
        "all": [(folder / "cats/1.jpg", "cat"), (folder / "dogs/1.jpg", "dog")]
    }


def test_with_splits_by_any_of_their_names(folder: Path) -> None:
    found = read_photos(write(folder, SPLIT))
    assert {name: [p.path.relative_to(folder).as_posix() for p in photos] for name, photos in found.splits.items()} == {
        "train": ["cats/1.jpg", "dogs/1.jpg"],
        "validation": ["cats/2.jpg"],
        "test": ["dogs/2.jpg"],
    }


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.replace("path,label", "Path, LABEL "),
        "label,path\ncat,cats/1.jpg\ndog,dogs/1.jpg",
        "path,label,split\ncats/1.jpg,cat,\n\ndogs/1.jpg, dog ,\n",
        'path,label\n"cats/1.jpg","cat"\n./dogs/1.jpg,dog\n',
    ],
    ids=["byte order mark", "line ends of Windows", "header", "order", "empty split", "quotes"],
)
def test_other_ways_to_write_the_same(folder: Path, text: str) -> None:
    plain = read_photos(write(folder, PLAIN, "plain.csv"))
    assert read_photos(write(folder, text)) == plain


def test_a_full_path_below_the_folder_is_fine(folder: Path) -> None:
    found = read_photos(write(folder, PLAIN.replace("cats/1.jpg", str(folder / "cats/1.jpg"))))
    assert found == read_photos(write(folder, PLAIN))


def test_names_with_commas_and_other_scripts(folder: Path) -> None:
    (folder / "a, b.jpg").write_bytes(b"x")
    found = read_photos(write(folder, 'path,label\n"a, b.jpg","grün, 緑"\ncats/1.jpg,cat\n'))
    assert found.labels == ("cat", "grün, 緑")
    assert found.splits["all"][1].path == folder / "a, b.jpg"


def test_paths_need_not_be_utf8(folder: Path) -> None:
    found = read_photos(write(folder, PLAIN.encode() + b"cats/\xff.jpg,cat\n"))
    assert folder / os.fsdecode(b"cats/\xff.jpg") in [photo.path for photo in found.splits["all"]]


def test_a_missing_photo_is_left_to_the_reader(folder: Path) -> None:
    found = read_photos(write(folder, PLAIN + "cats/gone.jpg,cat\n"))
    assert len(found.splits["all"]) == 3


def test_folders_are_read_too(folder: Path) -> None:
    assert read_photos(folder).labels == ("cats", "dogs")
    assert folder_of(folder) == folder_of(write(folder, PLAIN)) == folder


@pytest.mark.parametrize("path", ["../secret.jpg", "/etc/passwd", "cats/../../x.jpg", "", "."])
def test_paths_that_lead_out_are_refused(folder: Path, path: str) -> None:
    error = refused(folder, PLAIN + f"{path},cat\n")
    assert error.got == f"{folder}/photos.csv, line 4: the path is {path!r}"
    assert error.expected == f"a path below the folder of the CSV file, {folder}"
    assert error.do == "move the CSV file up to a folder that holds all photos"


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("", "has the columns nothing"),
        ("cats/1.jpg,cat\n", "has the columns 'cats/1.jpg', 'cat'"),
        ("path;label\ncats/1.jpg;cat\n", "has the columns 'path;label'"),
        ("path,label,splits\n", "has the columns 'path', 'label', 'splits'"),
        ("path,label,label\n", "has the columns 'path', 'label', 'label'"),
        ("path,split\n", "has the columns 'path', 'split'"),
    ],
)
def test_other_columns_are_refused(folder: Path, text: str, got: str) -> None:
    error = refused(folder, text)
    assert error.got == f"{folder}/photos.csv {got}"
    assert error.expected == "a first row that names the columns: path,label or path,label,split"


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("path,label\n", " names no photos"),
        ("path,label\ncats/1.jpg,cat,train\n", ", line 2 has 3 cells"),
        (PLAIN + "cats/2.jpg\n", ", line 4 has 1 cell"),
        (PLAIN + "cats/1.jpg,dog\n", ", line 4: {folder}/cats/1.jpg stands in line 2 already"),
        (SPLIT.replace("Train", "learn"), ", line 4: the split is 'learn'"),
        (SPLIT.replace("Train", ""), ", line 4 has no split, and line 2 has one"),
        (PLAIN.replace("dog\n", "cat\n"), " has one class: cat"),
        (PLAIN.replace(",dog", ",a\x1b[31m"), r", line 3: 'a\x1b[31m' cannot be a class name"),
        (PLAIN.replace(",dog", ", "), ", line 3: '' cannot be a class name"),
        (SPLIT.replace("dog,test", "cow,test"), " has classes without a train row: cow"),
        (PLAIN.replace("s/", "_/"), ": none of the 2 photos of"),
        (PLAIN.encode("utf-16"), " is not text in UTF-8"),
        (PLAIN + '"open', ", line 4, cannot be read as CSV: unexpected end of data"),
        (PLAIN + "x" * 200_000, ", line 4, cannot be read as CSV: field larger than field limit (131072)"),
    ],
)
def test_what_is_wrong_is_named(folder: Path, text: str | bytes, got: str) -> None:
    if got.startswith(": none"):
        wanted = f"none of the 2 photos of {folder}/photos.csv is there, for example {folder}/cat_/1.jpg"
    else:
        wanted = f"{folder}/photos.csv" + got.replace("{folder}", str(folder))
    error = refused(folder, text)
    assert error.got == wanted
    assert error.expected


def test_a_label_in_another_encoding_is_refused_in_printable_words(folder: Path) -> None:
    error = refused(folder, PLAIN.encode() + "cats/2.jpg,größe\n".encode("latin-1"))
    assert error.got.isprintable()
    assert "cannot be a class name" in error.got


def test_neither_a_folder_nor_a_csv_file(folder: Path) -> None:
    with pytest.raises(DataError, match=r"1\.jpg is neither a folder nor a \.csv file"):
        read_photos(folder / "cats/1.jpg")
    with pytest.raises(DataError, match=r"no\.csv cannot be read: No such file or directory"):
        read_photos(folder / "no.csv")
    with pytest.raises(DataError, match="there is no folder"):
        read_photos(folder / "nowhere")


def test_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.csv")
    with pytest.raises(DataError, match=r"pipe\.csv is not a regular file"):
        read_photos(folder / "pipe.csv")


def test_a_file_that_is_too_long_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo_list, "MAX_CSV_BYTES", 20)
    assert refused(folder, PLAIN).got == f"{folder}/photos.csv is longer than 20 bytes"
