"""Folders of photos: what is taken for a class, a split and a photo, and what is refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgewise.runtime.folders import LabelledPhoto, in_turn, is_photo, read_folder, refuse_unknown, shortened
from edgewise.spec import DataError


def make(root: Path, *names: str) -> Path:
    """Folders where a name ends with a slash, files otherwise."""
    for name in names:
        path = root / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(name.encode())
    return root


def read_labelled(root: Path, split: str | None) -> tuple[LabelledPhoto, ...]:
    return read_folder(root).photos(split)


def refused(root: Path) -> DataError:
    with pytest.raises(DataError) as error:
        read_folder(root)
    return error.value


def test_class_folders(tmp_path: Path) -> None:
    folder = read_folder(make(tmp_path, "dog/2.jpg", "dog/1.JPG", "cat/deep/er/3.png", "cat/notes.txt", "cat/.4.jpg"))
    assert folder.labels == ("cat", "dog")
    assert {name: [(p.path.name, p.label) for p in photos] for name, photos in folder.splits.items()} == {
        "all": [("3.png", "cat"), ("1.JPG", "dog"), ("2.jpg", "dog")]
    }
    assert folder.ignored == 2
    assert read_labelled(tmp_path, None) == read_labelled(tmp_path, "test") == folder.splits["all"]


def test_hidden_folders_are_left_alone(tmp_path: Path) -> None:
    folder = read_folder(make(tmp_path, "a/1.jpg", "b/1.jpg", "b/.thumbs/2.jpg", ".git/3.jpg"))
    assert folder.labels == ("a", "b")
    assert len(folder.splits["all"]) == 2


@pytest.mark.parametrize("name", ["validation", "val", "valid", "Val", "VALIDATION"])
def test_split_folders_and_their_other_names(tmp_path: Path, name: str) -> None:
    make(tmp_path, "train/a/1.jpg", "train/b/2.jpg", f"{name}/a/3.jpg", f"{name}/b/4.jpg", "test/a/5.jpg", "test/b/")
    folder = read_folder(tmp_path)
    assert folder.labels == ("a", "b")
    assert {split: len(photos) for split, photos in folder.splits.items()} == {"train": 2, "validation": 2, "test": 1}
    assert [photo.path.name for photo in read_labelled(tmp_path, "validation")] == ["3.jpg", "4.jpg"]
    assert len(read_labelled(tmp_path, None)) == 5


def test_a_split_that_is_not_there(tmp_path: Path) -> None:
    make(tmp_path, "train/a/1.jpg", "train/b/2.jpg")
    with pytest.raises(DataError, match="has no test photos\nExpected: one of its splits: train\nDo: choose with"):
        read_labelled(tmp_path, "test")


def test_test_and_validation_alone_are_splits(tmp_path: Path) -> None:
    make(tmp_path, "test/a/1.jpg", "test/b/2.jpg", "val/b/3.jpg", "val/c/4.jpg")
    assert read_folder(tmp_path).labels == ("a", "b", "c")


def test_a_class_may_be_called_test(tmp_path: Path) -> None:
    assert read_folder(make(tmp_path, "test/1.jpg", "other/2.jpg")).labels == ("other", "test")


def test_a_split_may_have_fewer_classes_than_train(tmp_path: Path) -> None:
    make(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "train/c/2.jpg", "test/a/1.jpg", "test/b/1.jpg")
    assert read_folder(tmp_path).labels == ("a", "b", "c")


def test_unknown_folders_in_test_are_named(tmp_path: Path) -> None:
    make(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg", "test/zebra/4.jpg")
    error = refused(tmp_path)
    assert error.got == f"{tmp_path}/test has folders that train does not have: zebra"
    assert error.expected == "the classes of train: a, b"


def test_strange_folders_beside_splits_are_named(tmp_path: Path) -> None:
    make(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "extra/a/3.jpg")
    assert refused(tmp_path).got == f"{tmp_path} has split folders and also: extra"


def test_two_folders_for_one_split(tmp_path: Path) -> None:
    make(tmp_path, "train/a/1.jpg", "train/b/2.jpg", "val/a/3.jpg", "val/b/3.jpg", "valid/a/4.jpg", "valid/b/4.jpg")
    assert refused(tmp_path).got.endswith("has split folders and also: two folders for one split")


def test_no_folder(tmp_path: Path) -> None:
    assert refused(tmp_path / "nowhere").got == f"there is no folder {tmp_path}/nowhere"


@pytest.mark.parametrize(
    ("names", "count"), [(("only/1.jpg",), "1 class folder"), ((), "0 class folders"), (("x.txt",), "0 class folders")]
)
def test_fewer_than_two_classes(tmp_path: Path, names: tuple[str, ...], count: str) -> None:
    error = refused(make(tmp_path, *names))
    assert error.got == f"{tmp_path} has {count}"
    assert error.expected == "at least two folders of photos, one per class"


def test_loose_photos(tmp_path: Path) -> None:
    error = refused(make(tmp_path, "a/1.jpg", "b/1.jpg", "z.png", "loose.jpg"))
    assert error.got == f"{tmp_path} has photos outside of class folders, for example loose.jpg"
    assert error.do == "move each photo into the folder of its class"


@pytest.mark.parametrize("name", [b"new\nline", b"bell\x07", b"\x1b[31mred", b"latin\xe9", "sep\u2028".encode()])
def test_names_that_cannot_be_printed(tmp_path: Path, name: bytes) -> None:
    make(tmp_path, "a/1.jpg")
    (tmp_path / os.fsdecode(name)).mkdir()
    error = refused(tmp_path)
    assert error.got.isprintable()
    assert "cannot be a class name" in error.got
    assert error.do == "rename the folder"


def test_names_in_every_script_are_fine(tmp_path: Path) -> None:
    assert read_folder(make(tmp_path, "größe, $5/1.jpg", "日本 語/2.jpg")).labels == ("größe, $5", "日本 語")


def test_photos_with_names_that_are_not_utf8_are_found(tmp_path: Path) -> None:
    make(tmp_path, "a/1.jpg", "b/")
    (tmp_path / "b" / os.fsdecode(b"\xff.jpg")).write_bytes(b"x")
    assert [os.fsencode(photo.path.name) for photo in read_labelled(tmp_path, None)] == [b"1.jpg", b"\xff.jpg"]


def test_photos_are_known_by_their_suffix() -> None:
    assert all(is_photo(Path(name)) for name in ("a.jpg", "a.JPEG", "a.b.png", "a.webp", "a.TIFF"))
    assert not any(is_photo(Path(name)) for name in ("a.txt", "jpg", ".jpg", ".a.jpg", "a.jpg.part"))


def test_long_lists_are_shortened() -> None:
    assert shortened(["a", "b"]) == "a, b"
    assert shortened([str(n) for n in range(20)], 3) == "0, 1, 2 and 17 more"


def test_unknown_labels_are_named_with_the_known_ones() -> None:
    with pytest.raises(DataError) as error:
        refuse_unknown(["b", "x", "a", "x"], ["a", "b"], "m.onnx does not know", "its classes", "rename them")
    assert str(error.value) == "m.onnx does not know: x\nExpected: its classes: a, b\nDo: rename them"


def test_known_labels_pass() -> None:
    assert refuse_unknown(["b"], ["a", "b"], "", "", "") is None  # type: ignore[func-returns-value]


def test_groups_take_turns() -> None:
    assert "".join(in_turn(["aaaa", "", "bb", "c"])) == "abcabaa"
    assert list(in_turn([[None, 0], [1]])) == [None, 1, 0]
