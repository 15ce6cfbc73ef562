"""What is found in a data set: counts, sizes, bad files, equal and nearly equal photos, across splits and classes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgewise.runtime.images import decode, read
from edgewise.spec import DataError
from edgewise.spec.progress import Silent
from edgewise.train.audit import Audit, Spread, audit, quick_findings, remark_on
from edgewise.train.contact_sheets import MOST, contact_sheet, save_contact_sheets
from edgewise.train.dataset import load_dataset
from edgewise.train.signs import LABELS, draw_sign


def draw(path: Path, number: int, size: tuple[int, int] = (64, 64)) -> Path:
    """A drawing that no other number gives, of (width, height) pixels, as PNG."""
    rng = np.random.default_rng(number)
    picture = cv2.resize(draw_sign(LABELS[number % len(LABELS)], rng, 64), size)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    return path


def smaller(path: Path, copy: Path) -> Path:
    """The same photo at 7/8 of its size, as JPEG."""
    picture = decode(read(path), "photo")
    reduced = cv2.resize(picture, None, fx=0.875, fy=0.875, interpolation=cv2.INTER_AREA)
    copy.write_bytes(cv2.imencode(".jpg", cv2.cvtColor(reduced, cv2.COLOR_RGB2BGR))[1].tobytes())
    return copy


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Four cats and two dogs to train on, one of each to test."""
    root = tmp_path / "photos"
    for number in range(4):
        draw(root / "train" / "cat" / f"{number}.png", number)
    for number in range(4, 6):
        draw(root / "train" / "dog" / f"{number}.png", number, (100, 50))
    draw(root / "test" / "cat" / "6.png", 6)
    draw(root / "test" / "dog" / "7.png", 7, (30, 60))
    return root


def check(root: Path) -> Audit:
    return audit(root, Silent())


def names(found: Audit, kind: str) -> list[list[str]]:
    return [[photo["path"] for photo in group["photos"]] for group in found.to_data()[kind]]


def test_counts_and_sizes(split: Path) -> None:
    found = check(split)
    assert found.counts == {"cat": {"train": 4, "test": 1}, "dog": {"train": 2, "test": 1}}
    assert found.spreads() == {
        "width": Spread(30, 64, 100),
        "height": Spread(50, 64, 64),
        "aspect": Spread(0.5, 1.0, 2.0),
    }
    assert found.imbalance == pytest.approx(5 / 3)
    assert (found.unreadable, found.equal, found.near, found.remarks()) == ((), (), (), ())


def test_sizes_are_those_of_the_upright_photo(split: Path) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    jpeg = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (40, 90, 3), np.uint8))[1].tobytes()
    turned = jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]
    (split / "train" / "cat" / "turned.jpg").write_bytes(turned)
    photo = next(photo for photo in check(split).photos if photo.path.name == "turned.jpg")
    assert (photo.width, photo.height) == (40, 90)


def test_bad_files_are_named_with_the_reason(split: Path) -> None:
    cats = split / "train" / "cat"
    (cats / "empty.jpg").touch()
    (cats / "text.jpg").write_text("not a picture")
    (cats / "half.png").write_bytes((cats / "0.png").read_bytes()[:200])
    (cats / "gone.jpg").symlink_to(cats / "nowhere.jpg")
    os.mkfifo(cats / "pipe.jpg")
    (cats / "notes.txt").touch()
    found = check(split)
    reasons = {found.name(bad.path): bad.reason for bad in found.unreadable}
    assert sorted(reasons) == [
        f"train/cat/{name}" for name in ("empty.jpg", "gone.jpg", "half.png", "pipe.jpg", "text.jpg")
    ]
    assert reasons["train/cat/empty.jpg"] == "is empty (0 bytes)"
    assert reasons["train/cat/gone.jpg"] == "cannot be read: No such file or directory"
    assert reasons["train/cat/half.png"].startswith("is truncated or damaged")
    assert reasons["train/cat/pipe.jpg"] == "is not a regular file"
    assert found.counts["cat"] == {"train": 4, "test": 1}
    assert found.remarks() == (
        "photos that cannot be read and would be left out: 5",
        "files that are not photos by their suffix: 1",
    )


def test_equal_photos_and_where_they_stand(split: Path) -> None:
    shutil.copy(split / "train/cat/0.png", split / "train/cat/copy.png")
    shutil.copy(split / "train/cat/1.png", split / "test/cat/copy.png")
    shutil.copy(split / "train/dog/4.png", split / "train/cat/dog.png")
    found = check(split)
    assert names(found, "exact_duplicates") == [
        ["train/cat/1.png", "test/cat/copy.png"],
        ["train/cat/dog.png", "train/dog/4.png"],
        ["train/cat/0.png", "train/cat/copy.png"],
    ]
    assert [(group.splits, group.labels) for group in found.equal] == [
        (("test", "train"), ("cat",)),
        (("train",), ("cat", "dog")),
        (("train",), ("cat",)),
    ]
    assert found.near == ()
    assert found.remarks() == (
        "equal photos in several splits make figures too good: 2 photos in 1 group",
        "equal photos in several classes, so that labels are wrong: 2 photos in 1 group",
    )


def test_nearly_equal_photos_and_where_they_stand(split: Path) -> None:
    smaller(split / "train/dog/5.png", split / "test/dog/small.jpg")
    shutil.copy(split / "train/dog/5.png", split / "train/dog/copy.png")
    found = check(split)
    assert names(found, "near_duplicates") == [["train/dog/5.png", "train/dog/copy.png", "test/dog/small.jpg"]]
    assert names(found, "exact_duplicates") == [["train/dog/5.png", "train/dog/copy.png"]]
    assert found.remarks() == ("nearly equal photos in several splits make figures too good: 3 photos in 1 group",)


def test_plain_photos_are_not_taken_for_copies_of_each_other(split: Path) -> None:
    for shade in (0, 100, 255):
        path = split / "train" / "cat" / f"plain{shade}.png"
        path.write_bytes(cv2.imencode(".png", np.full((40, 40, 3), shade, np.uint8))[1].tobytes())
    assert check(split).near == ()


def test_no_photo_at_all(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
    with pytest.raises(DataError, match="has no photo that can be read"):
        check(tmp_path)
    (tmp_path / "a" / "1.jpg").touch()
    with pytest.raises(DataError, match=r"has no photo that can be read, for example: is empty \(0 bytes\)"):
        check(tmp_path)


def test_a_csv_file_and_the_order_of_the_classes(split: Path) -> None:
    path = split / "photos.csv"
    path.write_text("path,label\ntrain/cat/0.png,cat\ntrain/dog/4.png,a/../dog\n")
    found = audit(path, Silent(), class_names=("cat", "a/../dog"))
    assert found.counts == {"cat": {"all": 1}, "a/../dog": {"all": 1}}
    assert list(found.counts) == ["cat", "a/../dog"]
    with pytest.raises(DataError, match="the class names do not fit the photos"):
        audit(path, Silent(), class_names=("cat", "dog"))


def test_names_that_are_not_utf8_can_be_written_as_json(split: Path) -> None:
    for number in range(2):
        draw(split / "train" / "cat" / os.fsdecode(b"\xff%d.png" % number), 20)
    (split / "train" / "cat" / os.fsdecode(b"\xfe.png")).touch()
    found = check(split)
    data = json.loads(json.dumps(found.to_data()).encode("utf-8"))
    assert data["unreadable"][0]["path"] == r"train/cat/\xfe.png"
    assert data["exact_duplicates"][0]["photos"][0]["path"] == r"train/cat/\xff0.png"


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"a": 10, "b": 90}, ""),
        ({"a": 10, "b": 150}, "b has 15 times as many photos as a (150 and 10): weight the classes, or add photos"),
        ({"a": 0, "b": 5, "c": 0}, "no photos of a, c"),
    ],
)
def test_the_remark_about_sizes_of_classes(counts: dict[str, int], expected: str) -> None:
    assert remark_on(counts) == expected


# What training says


def test_quick_findings_of_good_data(split: Path) -> None:
    assert quick_findings(load_dataset(split, seed=0)) == (
        "2 classes, 5 train, 1 validation, 2 test; 2 to 3 training photos per class",
    )


def test_quick_findings_never_decode_and_are_three_lines_at_most(tmp_path: Path) -> None:
    for label, count in (("a", 100), ("b", 5)):
        for number in range(count):
            path = tmp_path / label / f"{number}.jpg"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"{label}{number}")
    for number in range(3):
        (tmp_path / "a" / f"empty{number}.jpg").touch()
    (tmp_path / "a" / "notes.txt").touch()
    shutil.copy(tmp_path / "a" / "0.jpg", tmp_path / "b" / "same.jpg")
    assert quick_findings(load_dataset(tmp_path, seed=0)) == (
        "2 classes, 72 train, 16 validation, 16 test (split by seed); 3 to 69 training photos per class",
        "not used: is empty (0 bytes): 3, the same photo is in two classes: 2, 1 files are not photos by their suffix",
        "a has 23 times as many photos as b (69 and 3): weight the classes, or add photos",
    )


# Contact sheets


def test_a_sheet_for_each_class(split: Path, tmp_path: Path) -> None:
    out = tmp_path / "sheets"
    (out).mkdir()
    for old in ("009-old.png", "mine.png"):
        (out / old).touch()
    made = save_contact_sheets(check(split), out, 0, Silent())
    assert [path.name for path in made] == ["001-cat.png", "002-dog.png"]
    assert sorted(path.name for path in out.iterdir()) == ["001-cat.png", "002-dog.png", "mine.png"]
    assert decode(read(made[0]), "sheet").shape == decode(read(made[1]), "sheet").shape


def test_a_sheet_shows_the_photos(split: Path) -> None:
    found = check(split)
    red = split / "train" / "cat" / "0.png"
    red.write_bytes(cv2.imencode(".png", np.full((20, 40, 3), (0, 0, 255), np.uint8))[1].tobytes())
    sheet = contact_sheet(found, "cat", [photo for photo in found.photos if photo.label == "cat"], 0)
    ys, xs = np.nonzero((sheet == (255, 0, 0)).all(axis=2))
    assert (xs.max() - xs.min() + 1, ys.max() - ys.min() + 1) == (120, 60)  # the whole photo, not squeezed


def test_labels_from_a_csv_file_do_not_lead_out_of_the_folder(split: Path, tmp_path: Path) -> None:
    path = split / "photos.csv"
    path.write_text(f"path,label\ntrain/cat/0.png,../../evil\ntrain/dog/4.png,{'緑' * 300}\n")
    made = save_contact_sheets(check(path), tmp_path / "sheets", 0, Silent())
    assert [path.parent for path in made] == [tmp_path / "sheets"] * 2
    assert made[0].name == "001-_evil.png"
    assert all(path.is_file() for path in made)


def test_of_many_photos_a_seeded_choice_is_shown(split: Path) -> None:
    found = check(split)
    many = [photo for photo in found.photos if photo.label == "cat"] * 60
    first, again, other = (contact_sheet(found, "cat", many, seed) for seed in (0, 0, 1))
    assert len(many) > MOST
    assert np.array_equal(first, again)
    assert first.shape == other.shape
    assert not np.array_equal(first, other)
