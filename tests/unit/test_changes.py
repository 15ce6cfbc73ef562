"""What has become of the photos of a run, told by name."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise.train.architecture import Architecture, keep_blocks
from edgewise.train.changes import changes
from edgewise.train.dataset import Selection, load_dataset
from edgewise.train.recipe import Recipe
from edgewise.train.run import Config, Run

CONFIG = Config(Architecture(2, 75, keep_blocks((1, 1, 1))), Recipe(weights="none"), Path(), "a" * 64, None)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten different files in each of two classes."""
    root = tmp_path / "photos"
    for label in ("cat", "dog"):
        (root / label).mkdir(parents=True)
        for number in range(10):
            (root / label / f"{number}.jpg").write_text(f"{label}{number}")
    return root


def changed(photos: Path, tmp_path: Path, change: Callable[[Path], object], fraction: float = 1.0) -> str:
    """What is told after ``change``."""
    run = tmp_path / "run"
    selection = Selection(fraction=fraction)
    before = load_dataset(photos, seed=0, selection=selection)
    Run.create(run, replace(CONFIG, data=photos, selection=selection), before)
    change(photos)
    now = load_dataset(photos, seed=0, selection=selection)
    told = changes(run, now, fraction)
    assert (now.sha256 == before.sha256) == (not told)
    return told


def swap(photos: Path) -> None:
    os.replace(photos / "cat" / "3.jpg", photos / "dog" / "from-cat.jpg")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda photos: (photos / "cat" / "3.jpg").write_text("other"), ": 1 with other content (cat/3.jpg)"),
        (lambda photos: (photos / "cat" / "3.jpg").unlink(), ": 1 gone (cat/3.jpg)"),
        (lambda photos: (photos / "dog" / "x.jpg").write_text("new"), ": 1 new (dog/x.jpg)"),
        (swap, ": 1 of another class (cat/3.jpg)"),
        (lambda photos: (photos / "cat" / "3.jpg").rename(photos / "cat" / "x.jpg"), ""),
        (lambda photos: [path.unlink() for path in sorted((photos / "cat").iterdir())[:5]],
         ": 5 gone (cat/0.jpg, cat/1.jpg, cat/2.jpg and 2 more)"),
    ],
)  # fmt: skip
def test_what_changed_is_named(photos: Path, tmp_path: Path, change: Callable[[Path], object], told: str) -> None:
    assert changed(photos, tmp_path, change) == told


def test_of_a_share_of_the_photos_only_what_is_sure_is_named(photos: Path, tmp_path: Path) -> None:
    def change(root: Path) -> None:
        for path in (root / "cat").iterdir():
            path.unlink()
        for number in range(10):
            (root / "cat" / f"new{number}.jpg").write_text(f"new{number}")

    told = changed(photos, tmp_path, change, fraction=0.5)
    assert " gone (cat/" in told
    assert "new (" not in told


def test_without_its_list_nothing_is_named(photos: Path, tmp_path: Path) -> None:
    assert changes(tmp_path, load_dataset(photos, seed=0), 1.0) == ""
