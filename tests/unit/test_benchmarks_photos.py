from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from edgewise.benchmarks.photos import check_labels, choose, digest, held_out
from edgewise.runtime.folders import LabelledPhoto
from edgewise.spec import DataError, InputError
from edgewise.spec.files import sha256_file

PHOTOS = [LabelledPhoto(Path(f"{label}/{n}.jpg"), label) for label, many in (("a", 50), ("b", 3)) for n in range(many)]


def test_without_a_limit_all_photos_are_taken() -> None:
    assert choose(PHOTOS, None, seed=0) == tuple(PHOTOS)
    assert choose(PHOTOS, 53, seed=0) == tuple(PHOTOS)


def test_a_limit_takes_the_same_number_of_each_class() -> None:
    assert Counter(photo.label for photo in choose(PHOTOS, 6, seed=0)) == {"a": 3, "b": 3}


def test_a_small_class_gives_what_it_has() -> None:
    assert Counter(photo.label for photo in choose(PHOTOS, 20, seed=0)) == {"a": 17, "b": 3}


def test_of_fewer_photos_than_classes_none_has_precedence() -> None:
    photos = [LabelledPhoto(Path(f"{label}/{n}.jpg"), label) for label in "abcdefghij" for n in range(3)]
    chosen = [{photo.label for photo in choose(photos, 4, seed)} for seed in range(20)]
    assert all(len(labels) == 4 for labels in chosen)
    assert set().union(*chosen) == set("abcdefghij")


def test_the_choice_depends_on_the_seed_alone() -> None:
    assert choose(PHOTOS, 10, seed=1) == choose(PHOTOS[::-1], 10, seed=1)
    assert choose(PHOTOS, 10, seed=1) != choose(PHOTOS, 10, seed=2)


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(InputError, match="--limit is 0\nExpected: a number of photos from 1 on"):
        choose(PHOTOS, 0, seed=0)


def test_the_digest_covers_labels_and_content(tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"one")
    first = digest([LabelledPhoto(path, "a")])
    assert first == digest([LabelledPhoto(path, "a")])
    assert first != digest([LabelledPhoto(path, "b")])
    path.write_bytes(b"two")
    assert first != digest([LabelledPhoto(path, "a")])
    path.unlink()
    assert len(digest([LabelledPhoto(path, "a")])) == 64


def test_a_class_that_the_model_does_not_know_is_named() -> None:
    with pytest.raises(DataError) as error:
        check_labels(["a", "hat"], ("a", "b"), "m.onnx")
    assert error.value.got == "the photos have classes that m.onnx does not know: hat"
    assert error.value.expected == "some of: a, b"
    assert error.value.do == "give the data set the model was trained on, or photos in folders of the same names"


def test_the_order_of_a_choice_stays_what_it_was() -> None:
    assert [str(photo.path) for photo in choose(PHOTOS, 5, seed=0)] == [
        "a/48.jpg",
        "b/1.jpg",
        "a/1.jpg",
        "b/0.jpg",
        "a/34.jpg",
    ]


def test_photos_without_splits_are_those_the_run_set_aside(tmp_path: Path) -> None:
    photos = []
    for number in range(4):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(f"photo {number}".encode())
        photos.append(LabelledPhoto(path, "a"))
    rows = [("train", 0), ("test", 1), ("validation", 2), ("test", 3)]
    lines = [f"elsewhere/{n}.jpg,a,{split},{sha256_file(photos[n].path)}\n" for split, n in rows]
    (tmp_path / "photos.csv").write_text("path,label,split,sha256\n" + "".join(lines))
    assert held_out(photos, tmp_path) == ((photos[1], photos[3]), "test")
    photos[1].path.unlink()  # one that is gone is no reason to measure those that were learned from
    assert held_out(photos, tmp_path) == ((photos[3],), "test")


def test_photos_the_run_does_not_know_are_all_measured(tmp_path: Path) -> None:
    path = tmp_path / "new.jpg"
    path.write_bytes(b"new")
    photos = (LabelledPhoto(path, "a"),)
    assert held_out(photos, tmp_path) == (photos, "all")
    (tmp_path / "photos.csv").write_text("path,label,split,sha256\nx.jpg,a,test,00\n")
    assert held_out(photos, tmp_path) == (photos, "all")
