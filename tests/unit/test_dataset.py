"""The data set: split by content and seed, duplicates on one side, and every photo that is left out is named."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from edgewise.spec import DataError, InputError
from edgewise.train import dataset as dataset_module
from edgewise.train.dataset import Dataset, Selection, load_dataset, read_class_names


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def flat(tmp_path: Path) -> Path:
    """40, 20 and 10 different files in three classes."""
    for label, count in (("a", 40), ("b", 20), ("c", 10)):
        for number in range(count):
            write(tmp_path / "flat" / label / f"{number}.jpg", f"{label}{number}")
    return tmp_path / "flat"


def contents(dataset: Dataset) -> dict[str, set[str]]:
    return {name: {example.sha256 for example in examples} for name, examples in dataset.splits.items()}


def reasons(dataset: Dataset) -> dict[str, str]:
    return {str(skip.path.relative_to(dataset.root)): skip.reason for skip in dataset.skipped}


def test_a_flat_folder_is_split_by_class(flat: Path) -> None:
    dataset = load_dataset(flat, seed=0)
    counts = {name: Counter(example.label for example in examples) for name, examples in dataset.splits.items()}
    assert counts == {
        "train": {"a": 28, "b": 14, "c": 7},
        "validation": {"a": 6, "b": 3, "c": 1},
        "test": {"a": 6, "b": 3, "c": 2},
    }
    assert dataset.split_by_us
    assert dataset.labels == ("a", "b", "c")
    assert dataset.summary() == "3 classes, 49 train, 10 validation, 11 test (split by seed)"
    assert all(example.index == "abc".index(example.label) for example in dataset.splits["train"])


def test_the_split_is_the_same_each_time_and_another_with_another_seed(flat: Path) -> None:
    first, again, other = (load_dataset(flat, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert contents(first) != contents(other)
    assert first.sha256 != other.sha256


def test_the_split_goes_by_content_not_by_name_or_place(flat: Path, tmp_path: Path) -> None:
    before = load_dataset(flat, seed=3)
    moved = tmp_path / "elsewhere"
    for number, path in enumerate(sorted(flat.rglob("*.jpg"), reverse=True)):
        target = moved / path.parent.name / "sub" / f"renamed-{number:03d}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    after = load_dataset(moved, seed=3)
    assert contents(after) == contents(before)
    assert after.sha256 == before.sha256


def test_one_photo_more_moves_few_others(flat: Path) -> None:
    before = contents(load_dataset(flat, seed=0))
    write(flat / "a" / "new.jpg", "new")
    after = contents(load_dataset(flat, seed=0))
    assert len(after["test"] & before["train"]) <= 1


@pytest.mark.parametrize("change", ["content", "class", "removed"])
def test_the_digest_tells_other_data(flat: Path, change: str) -> None:
    before = load_dataset(flat, seed=0).sha256
    photo = flat / "a" / "0.jpg"
    if change == "content":
        photo.write_text("other")
    elif change == "class":
        photo.rename(flat / "b" / "moved.jpg")
    else:
        photo.unlink()
    assert load_dataset(flat, seed=0).sha256 != before


@pytest.mark.parametrize("seed", range(5))
def test_duplicates_stay_on_one_side(flat: Path, seed: int) -> None:
    for number in range(0, 40, 2):
        for copy in range(3):
            shutil.copy(flat / "a" / f"{number}.jpg", flat / "a" / f"copy-{number}-{copy}.jpg")
    dataset = load_dataset(flat, seed=seed)
    parts = contents(dataset)
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert parts[one].isdisjoint(parts[other])
    assert sum(map(len, dataset.splits.values())) == 130
    assert dataset.skipped == ()


def test_a_photo_in_two_classes_is_left_out_of_both(flat: Path) -> None:
    write(flat / "a" / "same.jpg", "same")
    write(flat / "b" / "same-too.jpg", "same")
    dataset = load_dataset(flat, seed=0)
    assert reasons(dataset) == dict.fromkeys(["a/same.jpg", "b/same-too.jpg"], "the same photo is in two classes")
    assert sum(map(len, dataset.splits.values())) == 70


def test_empty_files_and_other_files_are_named_and_counted(flat: Path) -> None:
    write(flat / "a" / "empty.jpg", "")
    write(flat / "b" / "notes.txt", "x")
    write(flat / "b" / "more.pdf", "y")
    dataset = load_dataset(flat, seed=0)
    assert reasons(dataset) == {"a/empty.jpg": "is empty (0 bytes)", ".": "2 files are not photos by their suffix"}


def test_a_dangling_link_is_named(flat: Path) -> None:
    (flat / "a" / "gone.jpg").symlink_to(flat / "nowhere.jpg")
    assert reasons(load_dataset(flat, seed=0)) == {"a/gone.jpg": "cannot be read: No such file or directory"}


@pytest.fixture
def split(tmp_path: Path) -> Path:
    root = tmp_path / "split"
    for part, count in (("train", 8), ("val", 3), ("test", 2)):
        for label in ("a", "b"):
            for number in range(count):
                write(root / part / label / f"{number}.jpg", f"{part}{label}{number}")
    return root


def test_given_splits_are_kept(split: Path) -> None:
    dataset = load_dataset(split, seed=0)
    assert {name: len(examples) for name, examples in dataset.splits.items()} == {
        "train": 16,
        "validation": 6,
        "test": 4,
    }
    assert not dataset.split_by_us
    assert {example.path.parts[-3] for example in dataset.splits["validation"]} == {"val"}


def test_duplicates_between_given_splits_leave_training(split: Path) -> None:
    write(split / "train" / "a" / "dup1.jpg", "vala0")
    write(split / "train" / "a" / "dup2.jpg", "testa0")
    write(split / "val" / "a" / "dup3.jpg", "testa1")
    dataset = load_dataset(split, seed=0)
    assert reasons(dataset) == {
        "train/a/dup1.jpg": "the same photo is in validation",
        "train/a/dup2.jpg": "the same photo is in test",
        "val/a/dup3.jpg": "the same photo is in test",
    }
    assert {name: len(examples) for name, examples in dataset.splits.items()} == {
        "train": 16,
        "validation": 6,
        "test": 4,
    }


def test_contradictions_between_given_splits_leave_all(split: Path) -> None:
    write(split / "train" / "a" / "x.jpg", "testb0")
    dataset = load_dataset(split, seed=0)
    assert set(reasons(dataset)) == {"train/a/x.jpg", "test/b/0.jpg"}


def test_without_a_validation_folder_some_training_photos_validate(split: Path) -> None:
    shutil.rmtree(split / "val")
    dataset = load_dataset(split, seed=0)
    assert {name: len(examples) for name, examples in dataset.splits.items()} == {
        "train": 14,
        "validation": 2,
        "test": 4,
    }


def test_a_class_without_a_training_photo_is_named(split: Path) -> None:
    (split / "train" / "empty").mkdir()
    write(split / "train" / "zero" / "0.jpg", "")
    with pytest.raises(DataError, match="no photo to train on for empty, zero") as error:
        load_dataset(split, seed=0)
    assert error.value.expected == "at least one readable training photo per class"
    assert error.value.do == "add photos, or remove the empty folders"


def test_an_empty_class_of_a_flat_folder_is_named(flat: Path) -> None:
    (flat / "nothing").mkdir()
    with pytest.raises(DataError, match="no photo to train on for nothing"):
        load_dataset(flat, seed=0)
    assert "nothing" in load_dataset(flat, seed=0, training=False).labels


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_photos_to_validate(tmp_path: Path, count: int) -> None:
    for label in "ab":
        for number in range(count):
            write(tmp_path / label / f"{number}.jpg", f"{label}{number}")
    with pytest.raises(DataError, match="too few photos to set some aside for validation"):
        load_dataset(tmp_path, seed=0)


@pytest.mark.parametrize(("count", "expected"), [(4, (2, 1, 1)), (5, (3, 1, 1)), (6, (4, 1, 1)), (20, (14, 3, 3))])
def test_small_classes_are_in_every_split(tmp_path: Path, count: int, expected: tuple[int, ...]) -> None:
    for label in "ab":
        for number in range(count):
            write(tmp_path / label / f"{number}.jpg", f"{label}{number}")
    dataset = load_dataset(tmp_path, seed=0)
    for label in "ab":
        assert (
            tuple(sum(e.label == label for e in dataset.splits[name]) for name in ("train", "validation", "test"))
            == expected
        )


def test_names_of_photos_need_not_be_utf8(flat: Path) -> None:
    write(flat / "a" / os.fsdecode(b"\xff\xfe.jpg"), "odd")
    assert sum(map(len, load_dataset(flat, seed=0).splits.values())) == 71


def test_the_split_is_what_it_always_was(flat: Path) -> None:
    """Runs are resumed and evaluated with the split they were begun with."""
    digests = {seed: load_dataset(flat, seed=seed).sha256 for seed in (0, 7)}
    assert digests == {
        0: "1b73880537436f03426c990104fd48ff71edd41c86187f0a5abb8d8bd669e6be",
        7: "0c234803846c817abe679d7a2ae9310d1be5d438bf41b6f8f90038c090950d4b",
    }


def test_a_pipe_among_the_photos_is_not_waited_for(flat: Path) -> None:
    os.mkfifo(flat / "a" / "pipe.jpg")
    assert reasons(load_dataset(flat, seed=0)) == {"a/pipe.jpg": "is not a regular file"}


# A CSV file instead of folders


def csv_of(flat: Path, rows: str = "") -> Path:
    lines = [f"{path.relative_to(flat)},{path.parent.name}" for path in sorted(flat.rglob("*.jpg"))]
    return write(flat / "photos.csv", "path,label\n" + "\n".join(lines) + "\n" + rows)


def test_a_csv_file_gives_the_same_as_the_folders_it_names(flat: Path) -> None:
    folder, listed = load_dataset(flat, seed=0), load_dataset(csv_of(flat), seed=0)
    assert listed.splits == folder.splits
    assert (listed.sha256, listed.root, listed.labels) == (folder.sha256, flat, folder.labels)
    assert (folder.source, listed.source) == (flat, flat / "photos.csv")


def test_missing_and_empty_photos_of_a_csv_file_are_named(flat: Path) -> None:
    write(flat / "zero.png", "")
    dataset = load_dataset(csv_of(flat, "a/gone.jpg,a\nzero.png,b\n"), seed=0)
    assert reasons(dataset) == {
        "a/gone.jpg": "cannot be read: No such file or directory",
        "zero.png": "is empty (0 bytes)",
    }


def test_splits_of_a_csv_file_are_kept(split: Path) -> None:
    rows = [f"{path.relative_to(split)},{path.parent.name},{path.parts[-3]}\n" for path in sorted(split.rglob("*.jpg"))]
    listed = load_dataset(write(split / "photos.csv", "path,label,split\n" + "".join(rows)), seed=0)
    assert (listed.sha256, listed.split_by_us) == (load_dataset(split, seed=0).sha256, False)


# What a run selects


@pytest.mark.parametrize(("fraction", "expected"), [(0.5, (14, 7, 4)), (0.01, (1, 1, 1)), (1.0, (28, 14, 7))])
def test_a_fraction_is_taken_of_every_class(flat: Path, fraction: float, expected: tuple[int, ...]) -> None:
    everything = load_dataset(flat, seed=0)
    dataset = load_dataset(flat, seed=0, selection=Selection(fraction=fraction))
    assert tuple(sum(e.label == label for e in dataset.splits["train"]) for label in "abc") == expected
    assert {name: dataset.splits[name] for name in ("validation", "test")} == {
        name: everything.splits[name] for name in ("validation", "test")
    }
    assert dataset.sha256 == everything.sha256


def test_a_larger_fraction_keeps_what_a_smaller_one_takes(flat: Path) -> None:
    some, more, other = (
        contents(load_dataset(flat, seed=seed, selection=Selection(fraction=fraction)))["train"]
        for seed, fraction in ((0, 0.2), (0, 0.6), (1, 0.2))
    )
    assert some < more
    assert some != other


def test_shares_for_validation_and_test_are_chosen(flat: Path) -> None:
    dataset = load_dataset(flat, seed=0, selection=Selection(val_split=0.3, test_split=0.1))
    assert {name: len(part) for name, part in dataset.splits.items()} == {"train": 42, "validation": 21, "test": 7}


def test_no_test_photos_where_none_are_wanted(flat: Path) -> None:
    dataset = load_dataset(flat, seed=0, selection=Selection(test_split=0))
    assert list(dataset.splits) == ["train", "validation"]
    assert sum(map(len, dataset.splits.values())) == 70


def test_given_splits_do_not_mind_the_shares(split: Path) -> None:
    selection = Selection(val_split=0.5, test_split=0.4)
    assert load_dataset(split, seed=0, selection=selection) == load_dataset(split, seed=0)


def test_class_names_fix_the_order(flat: Path) -> None:
    before = load_dataset(flat, seed=0)
    dataset = load_dataset(flat, seed=0, selection=Selection(class_names=("c", "a", "b")))
    assert dataset.labels == ("c", "a", "b")
    assert {(e.label, e.index) for part in dataset.splits.values() for e in part} == {("c", 0), ("a", 1), ("b", 2)}
    assert contents(dataset) == contents(before)
    assert dataset.sha256 == before.sha256


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("a", "b"), "they lack c"),
        (("a", "b", "c", "d"), "there are no photos of d"),
        (("a", "x", "y"), "they lack b, c; there are no photos of x, y"),
        (("a", "b", "c", "a"), "one stands there twice"),
    ],
)
def test_class_names_must_be_those_of_the_photos(flat: Path, names: tuple[str, ...], reason: str) -> None:
    with pytest.raises(DataError) as error:
        load_dataset(flat, seed=0, selection=Selection(class_names=names))
    assert str(error.value) == (
        f"the class names do not fit the photos: {reason}\n"
        "Expected: each of these once: a, b, c\nDo: mend the file given with --class-names"
    )


@pytest.mark.parametrize(
    ("values", "got"),
    [
        ({"fraction": 0}, "--fraction 0"),
        ({"fraction": 1.5}, "--fraction 1.5"),
        ({"fraction": "all"}, "--fraction 'all'"),
        ({"fraction": float("nan")}, "--fraction nan"),
        ({"fraction": True}, "--fraction True"),
        ({"val_split": 0}, "--val-split 0"),
        ({"test_split": -0.1}, "--test-split -0.1"),
        ({"test_split": 1}, "--test-split 1"),
        ({"val_split": 0.5, "test_split": 0.5}, "--val-split 0.5 and --test-split 0.5 leave no photo to train on"),
    ],
)
def test_shares_out_of_range_name_their_option(values: dict[str, Any], got: str) -> None:
    with pytest.raises(InputError) as error:
        Selection(**values)
    assert error.value.got == got
    assert error.value.expected


def test_a_selection_is_plain_data_and_back() -> None:
    for selection in (Selection(), Selection(("b", "a"), 0.5, 0.2, 0)):
        assert Selection.from_data(json.loads(json.dumps(selection.to_data()))) == selection


def test_a_run_with_a_fraction_and_an_order_is_measured_on_the_same_split(flat: Path) -> None:
    selection = Selection(("c", "a", "b"), 0.5, 0.3, 0.1)
    trained = load_dataset(flat, seed=0, selection=selection)
    measured = load_dataset(flat, seed=0, training=False, selection=selection.shares())
    assert measured.sha256 == trained.sha256
    assert contents(measured)["test"] == contents(trained)["test"]
    assert len(measured.splits["train"]) == 42


@pytest.mark.parametrize("names", ["ab", [1], {"a": 1}])
def test_class_names_of_a_damaged_file_are_refused(names: object) -> None:
    with pytest.raises(InputError, match=r"the class names are .*\nExpected: a list of names"):
        Selection.from_data({"class_names": names})


def test_class_names_are_read_from_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "names.txt", b"\xef\xbb\xbfT-shirt\r\n\n  gr\xc3\xbcn, 1 \nhat")
    assert read_class_names(path) == ("T-shirt", "grün, 1", "hat")


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (b"", "the class names in {}: there are none"),
        (b"a\n\nb\na\n", "the class names in {}: a stands in lines 1 and 4"),
        (b"a\nb\x1b[2J\n", "the class names in {}, line 2: 'b\\x1b[2J' cannot be a class name"),
        (b"gr\xfcn\n", "the class names in {}, line 1: 'gr\\udcfcn' cannot be a class name"),
    ],
)
def test_files_of_class_names_that_are_wrong(tmp_path: Path, content: bytes, got: str) -> None:
    path = write(tmp_path / "names.txt", content)
    with pytest.raises(InputError) as error:
        read_class_names(path)
    assert error.value.got == got.format(path)


def test_a_file_of_class_names_that_is_not_there_or_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="there is no file"):
        read_class_names(tmp_path)
    monkeypatch.setattr(dataset_module, "MAX_NAMES_BYTES", 10)
    with pytest.raises(InputError, match="are longer than 10 bytes"):
        read_class_names(write(tmp_path / "names.txt", "a\n" * 10))
