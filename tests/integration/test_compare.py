"""``edgewise compare A B --data``: two releases measured in turns, for real, but for fewer rounds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgewise.benchmarks import compare_releases, duel
from edgewise.cli.main import app

TINY = Path(__file__).parents[1] / "data"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare_releases, "QUICK_ROUNDS", (3, 3))
    monkeypatch.setattr(compare_releases, "SECONDS", 0.1)
    monkeypatch.setattr(duel, "TRIES", 0)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for place, label in enumerate(("blue", "green", "red")):
        folder = tmp_path / "photos" / label
        folder.mkdir(parents=True)
        for number in range(6):
            picture = np.full((40, 60, 3), 30 + number, np.uint8)
            picture[..., place] = 220
            cv2.imwrite(str(folder / f"{number}.png"), picture)
    return tmp_path / "photos"


def release(folder: Path, name: str) -> Path:
    folder.mkdir()
    shutil.copy(TINY / name, folder / name)
    return folder


def compare(*words: str | Path) -> Any:
    return CliRunner().invoke(app, ["compare", *map(str, words), "--quick", "--threads", "1"])


def test_a_release_against_its_copy(tmp_path: Path, photos: Path) -> None:
    old, new = release(tmp_path / "old", "tiny.onnx"), release(tmp_path / "new", "tiny.onnx")
    result = compare(old, new, "--data", photos, "--fail-if", "top1:0", "--fail-if", "size:0%")
    assert result.exit_code == 0, result.output
    assert "How latencies compare was measured in turns" in result.output.replace("\n", " ")
    assert "tiny.onnx" in result.output


def test_a_file_in_both_is_refused(tmp_path: Path, photos: Path) -> None:
    old = release(tmp_path / "old", "tiny.onnx")
    result = compare(old, old, "--data", photos)
    assert str(result.exception).startswith(
        f"{old / 'tiny.onnx'} is in both\nExpected: two releases or files that differ"
    )


def test_a_release_of_which_nothing_can_be_measured(tmp_path: Path, photos: Path) -> None:
    old, new = release(tmp_path / "old", "tiny.onnx"), tmp_path / "new"
    new.mkdir()
    (new / "broken.onnx").write_bytes(b"no model")
    result = compare(old, new, "--data", photos)
    assert result.exit_code == 1
    assert "broken.onnx" in str(result.exception)
