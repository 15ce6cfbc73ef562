"""``edgewise evaluate``: one command for run folders, TFLite and ONNX, with figures worked out by hand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from edgewise.cli.main import app
from edgewise.spec import DataError, InputError, ModelError, OutputError

DATA = Path(__file__).parents[1] / "data"
FORMATS = ["tiny.tflite", "tiny.onnx"]
COLORS = {"blue": (40, 60, 200), "green": (50, 190, 60), "red": (210, 50, 40)}


def draw(path: Path, color: str, shade: int) -> None:
    """A plain picture of one colour; each shade is another file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    red, green, blue = COLORS[color]
    cv2.imwrite(str(path), np.full((40, 50, 3), (blue + shade, green + shade, red + shade), np.uint8))


@pytest.fixture
def colors(tmp_path: Path) -> Path:
    """Three blue, two green and three red photos; one of the blue and one of the red ones lie about their colour."""
    root = tmp_path / "colors"
    for label, shown in {"blue": "blue blue red", "green": "green green", "red": "red red green"}.items():
        for number, color in enumerate(shown.split()):
            draw(root / label / f"{number}.png", color, 3 * number)
    return root


def evaluate(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def figures(*words: str | Path) -> dict[str, Any]:
    result = evaluate(*words, "--json")
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    return dict(json.loads(line))


@pytest.mark.parametrize("name", FORMATS)
def test_figures_by_hand(name: str, colors: Path) -> None:
    data = figures(DATA / name, colors)
    assert data["model"] == str(DATA / name)
    assert data["labels"] == ["blue", "green", "red"]
    assert (data["split"], data["photos"]) == ("all", 8)
    assert data["top1"] == pytest.approx(6 / 8)
    assert data["top5"] == 1
    assert data["confusion"] == [[2, 0, 1], [0, 2, 0], [0, 1, 2]]
    blue, green, red = data["classes"]
    assert (blue["precision"], blue["recall"], blue["f1"]) == pytest.approx((1, 2 / 3, 0.8))
    assert (green["precision"], green["recall"], green["f1"]) == pytest.approx((2 / 3, 1, 0.8))
    assert (red["precision"], red["recall"], red["f1"]) == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert data["macro_f1"] == pytest.approx((0.8 + 0.8 + 2 / 3) / 3)


def test_for_people_it_is_a_table(colors: Path) -> None:
    result = evaluate(DATA / "tiny.onnx", colors)
    assert result.exit_code == 0
    assert "top-1 75.00%   macro F1 0.756   (8 all photos)" in result.stdout
    rows = {line.split()[0]: line.split() for line in result.stdout.splitlines() if line.strip()}
    assert rows["blue"] == ["blue", "3", "1.000", "0.667", "0.800", "red", "(1)"]
    assert rows["green"] == ["green", "2", "0.667", "1.000", "0.800"]


def test_a_run_folder_is_measured_by_the_same_command(small_run: Path, signs_folder: Path) -> None:
    data = figures(small_run, signs_folder)
    expected = json.loads((small_run / "metrics.json").read_text())
    assert (data["split"], data["photos"]) == ("test", 20)
    for name in ("top1", "top5", "macro_f1", "classes", "confusion"):
        assert data[name] == expected[name], name


@pytest.mark.parametrize(("split", "photos"), [("train", 60), ("validation", 20)])
def test_the_split_can_be_chosen(small_run: Path, signs_folder: Path, split: str, photos: int) -> None:
    data = figures(small_run, signs_folder, "--split", split)
    assert (data["split"], data["photos"]) == (split, photos)


def test_a_split_that_is_not_there(small_run: Path, signs_folder: Path, colors: Path) -> None:
    error = evaluate(small_run, signs_folder, "--split", "exam").exception
    assert isinstance(error, DataError)
    assert error.got == f"--split exam: {signs_folder} has these splits: train, validation, test"
    error = evaluate(DATA / "tiny.onnx", colors, "--split", "test").exception
    assert isinstance(error, DataError)
    assert error.got == f"--split test: {colors} has no split folders"


def test_photos_that_were_only_to_learn_from_are_all_measured(colors: Path, tmp_path: Path) -> None:
    colors.rename(tmp_path / "train")
    (tmp_path / "data").mkdir()
    (tmp_path / "train").rename(tmp_path / "data" / "train")
    result = evaluate(DATA / "tiny.onnx", tmp_path / "data")
    assert result.exit_code == 0, result.output
    assert "(8 all photos)" in result.stdout
    assert "all photos are measured: if the network was trained on some of them" in result.stderr
    error = evaluate(DATA / "tiny.onnx", tmp_path / "data", "--split", "validation").exception
    assert isinstance(error, DataError)
    assert error.got == f"--split validation: {tmp_path / 'data'} has these splits: train"


def test_folders_without_a_photo_that_can_be_read(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for label in ("red", "blue"):
            (tmp_path / split / label).mkdir(parents=True)
            (tmp_path / split / label / "a.jpg").touch()
    error = evaluate(DATA / "tiny.onnx", tmp_path).exception
    assert isinstance(error, DataError)
    assert error.got == f"no photo in {tmp_path} can be used: 4 were left out"


@pytest.mark.parametrize("name", FORMATS)
def test_a_class_the_model_does_not_know_is_named(name: str, colors: Path) -> None:
    draw(colors / "mauve" / "0.png", "red", 50)
    error = evaluate(DATA / name, colors).exception
    assert isinstance(error, DataError)
    assert error.got == f"{colors} has classes the model does not know: mauve"
    assert error.expected == "the model's classes: blue, green, red"


def test_classes_may_be_fewer_than_the_model_knows(colors: Path) -> None:
    shutil.rmtree(colors / "blue")
    data = figures(DATA / "tiny.tflite", colors)
    assert data["confusion"] == [[0, 0, 0], [0, 2, 0], [0, 1, 2]]


def test_unreadable_photos_are_named_and_the_rest_is_measured(colors: Path) -> None:
    (colors / "red" / "empty.jpg").touch()
    (colors / "red" / "text.jpg").write_text("hello")
    (colors / "red" / "notes.txt").write_text("hello")
    result = evaluate(DATA / "tiny.onnx", colors, "--json")
    assert json.loads(result.stdout)["photos"] == 8
    assert f"left out: {colors}/red/empty.jpg: is empty (0 bytes)" in result.stderr
    assert f"{colors}/red/text.jpg" in result.stderr
    assert "1 files are not photos by their suffix" in result.stderr


def test_photos_left_out_of_other_splits_are_not_named(colors: Path, tmp_path: Path) -> None:
    root = tmp_path / "split"
    for split in ("train", "validation", "test"):
        shutil.copytree(colors, root / split)
    for number, photo in enumerate(sorted(root.rglob("*.png"))):
        color = photo.parent.name
        draw(photo, color, number)
    for split in ("train", "test"):
        (root / split / "red" / f"empty-{split}.jpg").touch()
    (root / "train" / "red" / "notes.txt").write_text("hello")
    for split in ("test", "train"):
        result = evaluate(DATA / "tiny.onnx", root, "--split", split)
        assert result.exit_code == 0
        left_out = [line for line in result.stderr.splitlines() if "left out: " in line]
        assert left_out == [f"left out: {root}/{split}/red/empty-{split}.jpg: is empty (0 bytes)"]


def test_figures_can_be_saved_and_are_not_overwritten_unasked(colors: Path, tmp_path: Path) -> None:
    out = tmp_path / "figures"
    printed = figures(DATA / "tiny.onnx", colors, "--out", out)
    assert json.loads((out / "metrics.json").read_text()) == printed
    assert cv2.imread(str(out / "confusion_matrix.png")) is not None
    assert isinstance(evaluate(DATA / "tiny.onnx", colors, "--out", out).exception, OutputError)
    assert figures(DATA / "tiny.onnx", colors, "--out", out, "--overwrite") == printed


def test_what_is_no_model(colors: Path, tmp_path: Path) -> None:
    error = evaluate(tmp_path, colors).exception
    assert isinstance(error, ModelError)
    assert error.got.startswith(f"{tmp_path} is not a run folder: it has no config.yaml")
    assert isinstance(evaluate(tmp_path / "nowhere.onnx", colors).exception, (ModelError, InputError))


def test_a_run_without_weights_says_how_to_go_on(small_run: Path, signs_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(small_run, run)
    (run / "model.weights.h5").unlink()
    error = evaluate(run, signs_folder).exception
    assert isinstance(error, ModelError)
    assert error.got == f"{run} has no model.weights.h5 yet: no epoch was finished"
    assert error.do == f"continue with: edgewise train --out {run} --resume"


def test_a_file_is_measured_on_the_engine_that_was_asked_for(colors: Path) -> None:
    usual = json.loads(evaluate(DATA / "tiny.onnx", colors, "--json").stdout)
    other = json.loads(evaluate(DATA / "tiny.onnx", colors, "--backend", "openvino", "--threads", "1", "--json").stdout)
    assert other["confusion"] == usual["confusion"]


def test_options_of_files_are_refused_for_a_run_folder(small_run: Path, signs_folder: Path) -> None:
    error = evaluate(small_run, signs_folder, "--provider", "cuda", "--allow-fallback").exception
    assert isinstance(error, InputError)
    assert f"--provider, --allow-fallback for the run folder {small_run}" in str(error)
