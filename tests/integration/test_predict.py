"""``edgewise predict`` from outside: real photos, real files, exit codes and streams."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgewise.runtime.classifier import Classifier

DATA = Path(__file__).parent.parent / "data"
PROGRAM = (sys.executable, "-c", "import sys; from edgewise.cli.main import main; sys.exit(main())")
MODELS = [DATA / "tiny.tflite", DATA / "tiny.onnx"]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three photos, one of them in a subfolder, and a file that is none."""
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    shutil.copy(DATA / "red.png", folder / "a.png")
    shutil.copy(DATA / "green.png", folder / "b.png")
    shutil.copy(DATA / "blue.png", folder / "sub" / "c.png")
    (folder / "notes.txt").write_text("hello")
    return folder


def predict(*words: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, "predict", *map(os.fspath, words)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def records(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize("model", MODELS, ids=lambda path: path.suffix)
def test_each_format_names_the_colours_in_order(model: Path, photos: Path) -> None:
    result = predict(model, photos, "--json")
    assert result.returncode == 0, result.stderr
    rows = records(result.stdout)
    assert [(row["path"], row["label"], row["error"]) for row in rows] == [
        (str(photos / "a.png"), "red", None),
        (str(photos / "b.png"), "green", None),
        (str(photos / "sub" / "c.png"), "blue", None),
    ]
    assert "files ignored, because they are no photos by their suffix: 1" in result.stderr


def test_the_command_says_what_the_library_says(photos: Path) -> None:
    expected = Classifier.open(MODELS[0]).predict(photos / "a.png", 2)
    (row,) = records(predict(MODELS[0], photos / "a.png", "--json", "--top-k", "2").stdout)
    assert row["top"] == [{"label": score.label, "probability": round(score.probability, 6)} for score in expected.top]
    assert row["probability"] == round(expected.probability, 6)


def test_what_ran_is_in_the_rows_and_in_the_summary(photos: Path) -> None:
    refused = predict(MODELS[1], photos, "--json", "--provider", "cuda")
    assert refused.returncode == 1
    assert "--provider cuda is not there with ONNX Runtime" in refused.stderr
    result = predict(MODELS[1], photos, "--json", "--provider", "cuda", "--allow-fallback")
    ran = {"backend": "onnxruntime", "provider": "cpu", "precision": "fp32"}
    assert all(row.items() >= ran.items() for row in records(result.stdout))
    assert "images/s on onnxruntime cpu fp32" in result.stderr
    assert "--provider cuda is not granted; cpu is used instead" in result.stderr


def test_a_pattern_that_the_shell_did_not_expand(photos: Path) -> None:
    result = predict(MODELS[0], "**/*.png", "--json", cwd=photos)
    assert [row["path"] for row in records(result.stdout)] == ["a.png", "b.png", "sub/c.png"]


def test_a_bad_photo_is_a_row_and_only_strict_makes_it_a_failure(photos: Path) -> None:
    (photos / "b.png").write_bytes((DATA / "green.png").read_bytes()[:100])
    (photos / "sub" / "zero.jpg").touch()
    for words, code in (((), 0), (("--strict",), 1)):
        result = predict(MODELS[0], photos, "--json", *words)
        assert result.returncode == code
        rows = records(result.stdout)
        assert [row["label"] for row in rows] == ["red", None, "blue", None]
        assert "b.png is truncated" in str(rows[1]["error"])
        assert "zero.jpg is empty" in str(rows[3]["error"])
        assert "photos that could not be read: 2 of 4" in result.stderr


def test_nothing_readable_at_all_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "zero.jpg").touch()
    result = predict(MODELS[0], tmp_path)
    assert result.returncode == 1
    assert "error: " in result.stdout
    assert "photos that could not be read: 1 of 1" in result.stderr


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nope.jpg", "there is no 'nope.jpg'"),
        ("nope*", "nothing fits the pattern 'nope*'"),
        ("empty", "the folder empty holds no photo"),
    ],
)
def test_a_wrong_source_is_named(tmp_path: Path, source: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    result = predict(MODELS[0], source, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stdout == ""
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_the_table_takes_file_names_as_they_are(photos: Path) -> None:
    shutil.copy(DATA / "red.png", photos / "[bold]x[blue].png")
    result = predict(MODELS[0], photos)
    assert result.stdout.splitlines()[0].split() == ["photo", "label", "probability", "next"]
    assert f"{photos}/[bold]x[blue].png" in result.stdout


@pytest.mark.parametrize("form", ["table", "csv", "jsonl"])
def test_a_name_that_is_not_utf8_can_be_written(photos: Path, form: str) -> None:
    shutil.copy(DATA / "red.png", os.path.join(os.fsencode(photos), b"\xff.png"))
    result = predict(MODELS[0], photos, "--format", form)
    assert result.returncode == 0, result.stderr
    assert (r"\\xff.png" if form == "jsonl" else r"\xff.png") in result.stdout


def test_out_takes_its_form_from_the_suffix_and_is_not_overwritten(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.csv"
    result = predict(MODELS[0], photos, "--out", out)
    assert (result.returncode, result.stdout) == (0, "")
    with out.open(newline="", encoding="utf-8") as file:
        assert [row["label"] for row in csv.DictReader(file)] == ["red", "green", "blue"]
    before = out.read_bytes()
    again = predict(MODELS[0], photos / "a.png", "--out", out)
    assert again.returncode == 1
    assert "answers.csv exists already" in again.stderr
    assert out.read_bytes() == before
    assert predict(MODELS[0], photos / "a.png", "--out", out, "--overwrite").returncode == 0
    assert len(out.read_text(encoding="utf-8").splitlines()) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.csv", "photos"]


def test_an_answer_below_the_threshold_is_unknown(tmp_path: Path) -> None:
    grey = tmp_path / "grey.png"
    grey.write_bytes(cv2.imencode(".png", np.full((40, 40, 3), 128, np.uint8))[1].tobytes())
    (row,) = records(predict(MODELS[0], grey, "--json", "--unknown-threshold", "0.9").stdout)
    assert row["label"] == "unknown"
    assert len(row["top"]) == 3  # type: ignore[arg-type]


def test_a_threshold_that_is_no_probability_is_wrong_usage(photos: Path) -> None:
    assert predict(MODELS[0], photos, "--unknown-threshold", "1.5").returncode == 2


def test_two_forms_at_once_are_refused(photos: Path) -> None:
    result = predict(MODELS[0], photos, "--json", "--format", "csv")
    assert result.returncode == 1
    assert "--json together with --format csv" in result.stderr


def test_a_reader_that_stops_reading_ends_it_quietly(tmp_path: Path) -> None:
    names = [f"{number:03}.png" for number in range(300)]
    for name in names:
        shutil.copy(DATA / "red.png", tmp_path / name)
    command = [*PROGRAM, "predict", str(MODELS[1]), str(tmp_path), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["label"] == "red"
        process.stdout.close()
        messages = process.stderr.read()
        assert process.wait(timeout=60) == 0
    assert messages == ""
