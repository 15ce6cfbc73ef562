from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from edgewise.benchmarks.photos import check_labels, choose, digest
from edgewise.runtime.folders import LabelledPhoto
from edgewise.spec import DataError, InputError

PHOTOS = [LabelledPhoto(Path(f"{label}/{n}.jpg"), label) for label, many in (("a", 50), ("b", 3)) for n in range(many)]


def test_without_a_limit_all_photos_are_taken() -> None:
    assert choose(PHOTOS, None, seed=0) == tuple(PHOTOS)
    assert choose(PHOTOS, 53, seed=0) == tuple(PHOTOS)


def test_a_limit_takes_the_same_number_of_each_class() -> None:
    assert Counter(photo.label for photo in choose(PHOTOS, 6, seed=0)) == {"a": 3, "b": 3}


def test_a_small_class_gives_what_it_has() -> None:
    assert Counter(photo.label for photo in choose(PHOTOS, 20, seed=0)) == {"a": 17, "b": 3}


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
    check_labels(["a", "b"], ("a", "b", "c"), "m.onnx")
    with pytest.raises(
        DataError, match=r"the photos have classes that m\.onnx does not know: hat\nExpected: some of: a, b"
    ):
        check_labels(["a", "hat"], ("a", "b"), "m.onnx")
