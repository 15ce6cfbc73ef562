"""The pictures of a training are PNG files that show something, whatever the class names are."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgewise.spec import OutputError
from edgewise.train.checkpoint import Epoch
from edgewise.train.evaluation import Metrics, evaluate
from edgewise.train.plots import (
    MAX_BARS,
    PAGES,
    PAPER,
    Look,
    class_f1,
    confusion_matrix,
    learning_curves,
    page_svg,
    reliability_diagram,
    save,
    save_confusion_matrix,
    save_learning_curves,
)
from edgewise.train.temperature import reliability

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


def metrics_of(classes: int) -> tuple[Metrics, tuple[str, ...]]:
    """Two photos per class; one of every third class is taken for the next."""
    labels = tuple(f"species {number:03d}" for number in range(classes))
    truth = np.arange(classes).repeat(2)
    answers = truth.copy()
    answers[::6] = (answers[::6] + 1) % classes
    return evaluate(np.eye(classes, dtype=np.float32)[answers], truth, labels), labels


@pytest.mark.parametrize("classes", [2, 120])
def test_every_class_of_the_matrix_has_a_name_of_legible_size(classes: int, tmp_path: Path) -> None:
    metrics, labels = metrics_of(classes)
    figure = confusion_matrix(metrics, labels, PAPER)
    names = figure.axes[0].get_yticklabels()
    assert [name.get_text() for name in names] == list(labels)
    figure.draw_without_rendering()
    boxes = [name.get_window_extent() for name in names]
    assert min(name.get_fontsize() for name in names) >= 6
    assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))
    assert len(figure.axes[0].texts) == (3 if classes == 2 else 0)


@pytest.mark.parametrize("look", [PAPER, PAGES["narrow"]], ids=["paper", "narrow"])
@pytest.mark.parametrize("classes", [2, 120])
def test_f1_of_every_class_the_weakest_first(classes: int, look: Look) -> None:
    metrics, _ = metrics_of(classes)
    figure = class_f1(metrics, look)
    shown = [(name.get_text(), bar.get_width()) for axes in figure.axes for name, bar in zip(
        axes.get_yticklabels(), axes.patches, strict=True)]  # fmt: skip
    assert len(shown) == classes
    assert [f1 for _, f1 in shown] == sorted(f1 for _, f1 in shown)
    assert {name for name, _ in shown} == {row.label for row in metrics.classes}
    figure.draw_without_rendering()
    boxes = [name.get_window_extent() for name in figure.axes[0].get_yticklabels()]
    assert not any(one.overlaps(other) for one, other in itertools.pairwise(boxes))


def test_of_very_many_classes_the_weakest_are_drawn() -> None:
    metrics, _ = metrics_of(300)
    figure = class_f1(metrics, PAPER)
    bars = [bar.get_width() for axes in figure.axes for bar in axes.patches]
    assert len(bars) == MAX_BARS
    assert max(bars) <= sorted(row.f1 for row in metrics.classes)[MAX_BARS]


def test_reliability_before_and_after(tmp_path: Path) -> None:
    probabilities = np.array([[0.95, 0.05]] * 8 + [[0.6, 0.4]] * 2, np.float32)
    bins = reliability(probabilities, np.array([0] * 6 + [1] * 2 + [0, 1]))
    figure = reliability_diagram([("before", bins), ("after", bins)], PAPER)
    assert [axes.get_title() for axes in figure.axes] == ["before", "after"]
    bars = figure.axes[0].patches
    assert [bar.get_height() for bar in bars] == pytest.approx([0.5, 0.75])
    assert bars[0].get_alpha() < bars[1].get_alpha()
    save(figure, tmp_path / "reliability.png")
    assert ink(tmp_path / "reliability.png") > 0.01


@pytest.mark.filterwarnings("error")
def test_a_drawing_for_the_page_takes_its_colours_and_escapes_names() -> None:
    labels = ("<script>alert(1)</script>", "$x^{", "\x1b[31m", "\u4e2d\u6587")
    metrics = evaluate(np.eye(4, dtype=np.float32), np.arange(4), labels)
    for look in PAGES.values():
        for figure in (confusion_matrix(metrics, labels, look), class_f1(metrics, look)):
            svg = page_svg(figure, "test")
            assert svg.startswith("<svg viewBox=")
            assert "var(--quiet)" in svg
            assert "<script" not in svg
            assert "\x1b" not in svg
            assert "http" not in svg
    svg = page_svg(learning_curves(HISTORY, 2, PAGES["wide"]), "curves")
    assert "var(--first)" in svg
    assert "#0" not in svg.replace("#000000", "")
