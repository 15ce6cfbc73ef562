"""The data set: split by content and seed, duplicates on one side, and every photo that is left out is named."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from edgewise.spec import DataError
from edgewise.train.dataset import Dataset, load_dataset


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
