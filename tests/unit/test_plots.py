"""The pictures of a training are PNG files that show something, whatever the class names are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgewise.spec import OutputError
from edgewise.train.checkpoint import Epoch
from edgewise.train.evaluation import evaluate
from edgewise.train.plots import save_confusion_matrix, save_learning_curves

HISTORY = tuple(Epoch(n, 2 / n, 1 - 0.5 / n, 2.2 / n, 1 - 0.6 / n, 1e-3, 1.0) for n in range(1, 6))


def ink(path: Path) -> float:
    """Share of the picture that is not white."""
    picture = cv2.imread(str(path))
    assert picture is not None
    return float((picture < 250).any(axis=2).mean())


@pytest.mark.parametrize("best", [0, 4])
@pytest.mark.parametrize("epochs", [1, 5])
def test_learning_curves(tmp_path: Path, epochs: int, best: int) -> None:
    save_learning_curves(HISTORY[:epochs], best, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert ink(tmp_path / "curves.png") > 0.01


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("labels", [("cat", "dog"), ("$x^{", "a_b\\frac$", "<b>&"), tuple(f"c{n}" for n in range(40))])
def test_confusion_matrix(tmp_path: Path, labels: tuple[str, ...]) -> None:
    truth = np.arange(len(labels)).repeat(2)
    metrics = evaluate(np.eye(len(labels), dtype=np.float32)[truth], truth, labels)
    save_confusion_matrix(metrics, labels, tmp_path / "matrix.png", "test photos")
    assert ink(tmp_path / "matrix.png") > 0.01


def test_very_long_names_leave_room_for_the_matrix(tmp_path: Path) -> None:
    labels = ("x" * 200, "y" * 200)
    metrics = evaluate(np.eye(2, dtype=np.float32), np.arange(2), labels)
    save_confusion_matrix(metrics, labels, tmp_path / "matrix.png", "test photos")
    picture = cv2.imread(str(tmp_path / "matrix.png"))
    assert picture is not None
    blue = (picture[..., 0].astype(int) - picture[..., 2]) > 60
    assert blue.mean() > 0.04


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        save_learning_curves(HISTORY, 1, tmp_path / "file" / "curves.png")
