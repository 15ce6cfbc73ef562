"""The end of a training: figures, tables, pictures and a page that agree with each other and with what is exported."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgewise.spec import ModelError
from edgewise.spec.progress import Silent
from edgewise.train.checkpoint import newest_state
from edgewise.train.dataset import load_dataset
from edgewise.train.finishing import NO_TEST, finish_run, held_out_photos
from edgewise.train.network import build
from edgewise.train.pixels import load_pixels
from edgewise.train.reference import open_network, open_reference
from edgewise.train.run import CHECKPOINTS, EXPLAINED, FILES, LOGS, METRICS, RATES, REPORT, Run
from edgewise.train.temperature import read_scaling
from edgewise.train.weights import load_weights

WITHOUT_EXPLAIN = {"class_f1.png", "confusion_matrix.png", "learning_curves.png", "reliability.png"}


class Recorder(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


class Page(HTMLParser):
    """Collects what a page refers to and what it says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.said = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "srcset")]

    def handle_data(self, data: str) -> None:
        self.said += data


def finish(path: Path, data: Path, *, explain: int = 0, test: bool = True) -> Recorder:
    """What a training does at its end, on a run whose weights are there."""
    run, recorder = Run.open(path), Recorder()
    found = newest_state(path / CHECKPOINTS)
    assert found is not None
    model = build(run.config.architecture)
    load_weights(model, run.weights_path)
    splits = {name: load_pixels(run.photos(name, data), 75) for name in ("validation", "test")[: 1 + test]}
    finish_run(run, model, found[1], splits, recorder, explain)
    return recorder


@pytest.fixture(scope="module")
def finished(small_run: Path, signs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of ``small_run``, finished with explanations."""
    path = shutil.copytree(small_run, tmp_path_factory.mktemp("finished") / "<b>run & co")
    finish(path, signs_folder, explain=2)
    return path


def calibrate(path: Path, temperature: object, threshold: object) -> None:
    data = json.loads((path / METRICS).read_text())
    data["calibration"] = {**data["calibration"], "temperature": temperature, "unknown_threshold": threshold}
    (path / METRICS).write_text(json.dumps(data))


def test_the_run_folder_is_complete(finished: Path) -> None:
    assert [name for name in FILES if not (finished / name).is_file()] == [RATES]
    for picture in (*WITHOUT_EXPLAIN, EXPLAINED):
        assert cv2.imread(str(finished / picture)) is not None, picture


def test_a_new_training_removes_all_of_it_and_nothing_else(finished: Path, tmp_path: Path) -> None:
    path = shutil.copytree(finished, tmp_path / "run")
    (path / "logs" / "notes.txt").write_text("mine")
    Run.clear(path)
    assert [entry.relative_to(path).as_posix() for entry in path.rglob("*") if entry.is_file()] == ["logs/notes.txt"]


def test_figures_and_table_agree(finished: Path) -> None:
    figures = json.loads((finished / METRICS).read_text())
    rows = list(csv.DictReader((finished / "predictions.csv").open()))
    assert {row["split"] for row in rows} == {"validation", "test"}
    test = [row for row in rows if row["split"] == "test"]
    assert (len(rows), len(test), figures["photos"]) == (40, 20, 20)
    assert np.mean([int(row["correct"]) for row in test]) == pytest.approx(figures["top1"])
    assert all((row["label"] == row["answer"]) == (row["correct"] == "1") for row in rows)
    assert all(row["path"].split("/")[1] == row["label"] for row in rows)
    answers = open_reference(finished).run(load_pixels(Run.open(finished).photos("test"), 75).images)
    assert [float(row["probability"]) for row in test] == pytest.approx(answers.max(axis=1).tolist(), abs=1e-4)
    scaling = read_scaling(finished / METRICS)
    assert scaling.photos == 20
    assert scaling.nll_after <= scaling.nll_before


def test_the_page_needs_nothing_from_outside_and_shows_everything(finished: Path) -> None:
    text = (finished / REPORT).read_text(encoding="utf-8")
    page = Page(text)
    assert [link for link in page.references if not link.startswith(("data:image/", "#"))] == []
    assert "script" not in page.tags
    assert "&lt;b&gt;run &amp; co" in text
    assert "Training <b>run & co" in page.said
    assert page.tags.count("svg") == 8
    figures = json.loads((finished / METRICS).read_text())
    assert f"{100 * figures['top1']:.1f}% of 20 test photos answered right" in page.said
    wrong = round((1 - figures["top1"]) * 20)
    assert page.tags.count("img") == wrong + 2 * (min(wrong, 2) + min(20 - wrong, 2))
    assert "Grad-CAM at layer block17_20_ac, which has 3 × 3 places" in page.said
    assert "can be scrolled" not in page.said


def test_without_explanations_and_without_test_photos(small_run: Path, signs_folder: Path, tmp_path: Path) -> None:
    path = shutil.copytree(small_run, tmp_path / "run")
    (path / EXPLAINED).unlink(missing_ok=True)
    recorder = finish(path, signs_folder, test=False)
    assert json.loads((path / METRICS).read_text())["split"] == "validation"
    assert not (path / EXPLAINED).exists()
    said = Page((path / REPORT).read_text(encoding="utf-8")).said
    assert "of 20 validation photos answered right" in said
    assert "There are no test photos" in said
    assert "Grad-CAM" not in said
    assert recorder.said[-1] == f"the report is {path / REPORT}"


def test_finishing_twice_changes_no_figure(finished: Path, signs_folder: Path, tmp_path: Path) -> None:
    path = shutil.copytree(finished, tmp_path / "run")
    finish(path, signs_folder)
    for name in (METRICS, "predictions.csv"):
        assert (path / name).read_text() == (finished / name).read_text(), name
    assert len(list((path / "logs").rglob("*tfevents*"))) == len(LOGS)


def test_photos_that_are_gone_are_shown_as_the_network_saw_them(
    small_run: Path, signs_folder: Path, tmp_path: Path
) -> None:
    path, data = shutil.copytree(small_run, tmp_path / "run"), shutil.copytree(signs_folder, tmp_path / "signs")
    run = Run.open(path)
    model = build(run.config.architecture)
    load_weights(model, run.weights_path)
    splits = {"validation": load_pixels(run.photos("validation", data), 75)}
    shutil.rmtree(data)
    found = newest_state(path / CHECKPOINTS)
    assert found is not None
    metrics = finish_run(run, model, found[1], splits, Silent())
    assert Page((path / REPORT).read_text()).tags.count("img") == round(20 * (1 - metrics.top1))


def test_test_photos_that_cannot_be_read_do_not_end_a_training(signs_folder: Path, tmp_path: Path) -> None:
    data = shutil.copytree(signs_folder, tmp_path / "signs")
    for photo in (data / "test").rglob("*.jpg"):
        photo.write_bytes(b"not a photo: " + photo.name.encode())
    dataset, recorder = load_dataset(data, seed=0), Recorder()
    validation = load_pixels(dataset.splits["validation"], 75)
    assert list(held_out_photos(dataset, validation, 75, recorder)) == ["validation"]
    assert recorder.said == [f"{NO_TEST} (none of the 20 test photos can be read)"]


def test_the_temperature_is_in_the_network_once(finished: Path, tmp_path: Path) -> None:
    path = shutil.copytree(finished, tmp_path / "run")
    images = load_pixels(Run.open(path).photos("test"), 75).images
    calibrate(path, 1.0, None)
    raw = open_reference(path).run(images)
    calibrate(path, 2.5, None)
    soft = open_reference(path).run(images)
    expected = np.exp(np.log(raw.astype(np.float64)) / 2.5)
    np.testing.assert_allclose(soft, expected / expected.sum(axis=1, keepdims=True), atol=1e-5)
    assert np.array_equal(soft.argmax(axis=1), raw.argmax(axis=1))


def test_an_older_run_has_its_weights_as_they_are(finished: Path, tmp_path: Path) -> None:
    path = shutil.copytree(finished, tmp_path / "run")
    run = Run.open(path)
    model = build(run.config.architecture)
    load_weights(model, run.weights_path)
    (path / METRICS).write_text('{"split": "test", "top1": 0.5}')
    for name in (METRICS, None):
        opened = open_network(run)
        assert all(np.array_equal(a, b) for a, b in zip(opened.get_weights(), model.get_weights(), strict=True)), name
        (path / METRICS).unlink(missing_ok=True)


def test_figures_that_were_tampered_with_are_refused(finished: Path, tmp_path: Path) -> None:
    path = shutil.copytree(finished, tmp_path / "run")
    calibrate(path, 0, None)
    with pytest.raises(ModelError) as error:
        open_network(Run.open(path))
    assert error.value.got == f"{path / METRICS}: 'temperature' of its calibration is 0"
    assert error.value.expected == "a number from 0.05 to 20"


def test_an_exported_file_carries_temperature_and_threshold(
    finished: Path, signs_folder: Path, tmp_path: Path, edgewise: Callable[..., int], capsys: Any
) -> None:
    path = shutil.copytree(finished, tmp_path / "run")
    calibrate(path, 2.0, 0.999)
    assert edgewise("export", "onnx", path, "--quantize", "fp32", "--out", tmp_path / "release") == 0
    (exported,) = (tmp_path / "release").glob("*.onnx")
    from edgewise.runtime.classifier import Classifier

    classifier = Classifier.open(exported)
    assert (classifier.manifest.temperature, classifier.manifest.unknown_threshold) == (2.0, 0.999)
    images = load_pixels(Run.open(path).photos("test"), 75).images
    expected = open_reference(path).run(images)
    np.testing.assert_allclose(classifier.probabilities(images), expected, atol=1e-4)
    assert classifier.prediction(expected[0]).label == "unknown"
    # The gate counts answers by the best class, whatever the threshold would make of them.
    accuracy = classifier.manifest.accuracy
    assert accuracy is not None
    assert accuracy.photos == 40
    assert classifier.manifest.parity is not None
    assert accuracy.top1 == pytest.approx(classifier.manifest.parity.reference_top1)
