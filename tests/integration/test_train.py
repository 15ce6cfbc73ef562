"""Training from a folder to a run folder: complete, resumable after Ctrl-C, and never over somebody's files."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgewise.cli.main import app
from edgewise.spec import DataError, EdgewiseError, InputError, ModelError, OutputError
from edgewise.spec.progress import Silent
from edgewise.train.assessment import assess
from edgewise.train.batches import clean_batches
from edgewise.train.framework import keras
from edgewise.train.hdf5 import opened
from edgewise.train.normalization import normalization_layers
from edgewise.train.pixels import load_pixels
from edgewise.train.recipe import Recipe
from edgewise.train.reference import open_network, open_reference
from edgewise.train.run import Run
from edgewise.train.trainer import Plan, resume, train
from edgewise.train.weights import load_initial

PROGRAM = (sys.executable, "-c", "import sys; from edgewise.cli.main import main; sys.exit(main())")
SCRATCH = Recipe(weights="none", epochs=3, batch_size=16)
OPTIONS = ("--weights", "none", "--epochs", "3", "--batch-size", "16", "--image-size", "75", "--blocks", "1,1,1")
MARKS = ("config.yaml", "labels.txt", "photos.csv")
FILES = {
    "checkpoints",
    "class_f1.png",
    "config.yaml",
    "confusion_matrix.png",
    "history.csv",
    "labels.txt",
    "learning_curves.png",
    "logs",
    "metrics.json",
    "model.weights.h5",
    "photos.csv",
    "predictions.csv",
    "reliability.png",
    "report.html",
}


class Recorder(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def plan(recipe: Recipe) -> Plan:
    return Plan(recipe, image_size=75, blocks=(1, 1, 1))


def start(data: Path, out: Path, recipe: Recipe = SCRATCH, *, overwrite: bool = False) -> tuple[Run, Recorder]:
    recorder = Recorder()
    return train(data, out, plan(recipe), overwrite=overwrite, reporter=recorder), recorder


def go_on(out: Path, data: Path | None = None) -> Recorder:
    recorder = Recorder()
    resume(out, data=data, reporter=recorder)
    return recorder


def history(run: Path) -> list[dict[str, float]]:
    rows = csv.DictReader(io.StringIO((run / "history.csv").read_text()))
    return [{key: float(value) for key, value in row.items()} for row in rows]


def arrays(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with opened(path) as file:
        file.visititems(lambda name, node: found.update({name: node[()]} if hasattr(node, "shape") else {}))
    return found


def assert_same_history(got: Path, expected: Path) -> None:
    rows, others = history(got), history(expected)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    for row, other in zip(rows, others, strict=True):
        for name in set(row) - {"seconds"}:
            assert row[name] == pytest.approx(other[name], abs=1e-3), name


@pytest.fixture(scope="module")
def whole(signs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three epochs that nobody interrupted."""
    return start(signs_folder, tmp_path_factory.mktemp("whole") / "run")[0].path


@pytest.fixture(scope="module")
def flat(signs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawings of five signs without splits."""
    root = tmp_path_factory.mktemp("flat") / "signs"
    for label in ("heart", "moon", "plus", "spiral", "star"):
        for split in ("train", "validation", "test"):
            for photo in (signs_folder / split / label).iterdir():
                (root / label).mkdir(parents=True, exist_ok=True)
                shutil.copy(photo, root / label / f"{split}-{photo.name}")
    return root


@pytest.fixture(scope="module")
def tuned(flat: Path, official_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Recorder]:
    """Both phases with given weights, on the flat folder; the run of somebody else's lay there before."""
    out = tmp_path_factory.mktemp("tuned") / "run"
    (out / "checkpoints" / "epoch-00009").mkdir(parents=True)
    for name in (*MARKS, "notes.txt"):
        (out / name).write_text("of an older run")
    recipe = Recipe(weights=str(official_file), epochs=1, head_epochs=3, batch_size=8)
    run, recorder = start(flat, out, recipe, overwrite=True)
    return run.path, recorder


def test_a_run_folder_is_complete(whole: Path) -> None:
    assert {entry.name for entry in whole.iterdir()} == FILES
    assert sorted(entry.name for entry in (whole / "checkpoints").iterdir()) == ["epoch-00002", "epoch-00003"]
    labels = (whole / "labels.txt").read_text().splitlines()
    assert labels == sorted(labels)
    assert len(labels) == 10
    assert [row["epoch"] for row in history(whole)] == [1, 2, 3]
    for name in ("learning_curves.png", "confusion_matrix.png"):
        assert cv2.imread(str(whole / name)) is not None


def test_metrics_are_those_of_the_kept_weights_on_the_test_photos(whole: Path, signs_folder: Path) -> None:
    metrics = json.loads((whole / "metrics.json").read_text())
    assert (metrics["split"], metrics["photos"], metrics["epochs"]) == ("test", 20, 3)
    pixels = load_pixels(Run.open(whole).photos("test"), 75)
    answers = open_reference(whole).run(pixels.images).argmax(axis=1)
    assert metrics["top1"] == pytest.approx((answers == pixels.labels).mean())
    assert metrics["top1"] <= metrics["top5"] <= 1
    assert np.array(metrics["confusion"]).sum() == 20
    assert [row["photos"] for row in metrics["classes"]] == [2] * 10


def test_the_best_epoch_is_kept(whole: Path, signs_folder: Path) -> None:
    best = max(history(whole), key=lambda row: (row["val_accuracy"], -row["val_loss"]))
    assert json.loads((whole / "metrics.json").read_text())["best_epoch"] == best["epoch"]
    measured = assess(whole, signs_folder, split="validation", reporter=Silent())
    assert measured.metrics.top1 == pytest.approx(best["val_accuracy"])


def test_from_scratch_the_network_answers_alike_in_training_and_in_inference(small_run: Path) -> None:
    run = Run.open(small_run)
    model = open_network(run)
    (batch,) = clean_batches(load_pixels(run.photos("train"), 75).images, 60)
    features = keras.Model(model.input, model.get_layer("avg_pool").output)
    inferred, trained = features(batch, training=False).numpy(), features(batch, training=True).numpy()
    for layer in normalization_layers(model):
        layer.moving_mean.assign(np.zeros(layer.moving_mean.shape))
        layer.moving_variance.assign(np.ones(layer.moving_variance.shape))
    without_statistics = features(batch, training=False).numpy()
    gap = np.abs(inferred - trained).mean()
    # The statistics of 16 photos, which it was trained with, differ from those of 60 a good deal.
    assert gap < 0.5 * trained.mean()
    assert gap < 0.5 * np.abs(without_statistics - trained).mean()


def test_ctrl_c_leaves_a_run_that_resume_continues_even_from_the_older_checkpoint(
    whole: Path, signs_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = [*PROGRAM, "train", str(signs_folder), "--out", str(out), *OPTIONS]
    said = []
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            said.append(line)
            if line.startswith("epoch 2/3:"):
                process.send_signal(signal.SIGINT)
                break
        said += process.stderr.readlines()
        assert process.stdout is not None
        assert process.stdout.read() == ""
    assert process.returncode == 130, "".join(said)
    assert said[-1].startswith("stopped: continue with: ")
    assert said[-1].endswith(f" train --out {out} --resume\n")
    assert "Traceback" not in "".join(said)

    assert [row["epoch"] for row in history(out)] == [1, 2]
    assert open_reference(out).labels == Run.open(out).labels

    assert sorted(entry.name for entry in (out / "checkpoints").iterdir()) == ["epoch-00001", "epoch-00002"]
    (out / "checkpoints" / "epoch-00002" / "optimizer.h5").write_bytes(b"damaged")
    result = CliRunner().invoke(app, ["train", "--out", str(out), "--resume"])
    assert result.exit_code == 0
    assert "continuing after epoch 1 of 3" in result.stderr
    assert {entry.name for entry in out.iterdir()} == FILES
    assert_same_history(out, whole)


def test_resume_with_other_photos_is_refused(whole: Path, signs_folder: Path, tmp_path: Path) -> None:
    changed = tmp_path / "signs"
    shutil.copytree(signs_folder, changed)
    photo = next((changed / "train" / "heart").iterdir())
    photo.unlink()
    before = sorted((path, path.stat().st_mtime_ns) for path in whole.rglob("*"))
    with pytest.raises(DataError) as error:
        go_on(whole, changed)
    gone = f"1 gone ({photo.relative_to(changed)})"
    assert error.value.got == f"the photos in {changed} have changed since this run began: {gone}"
    assert error.value.do == "put them back as they were, or train again into another --out; nothing was changed"
    assert sorted((path, path.stat().st_mtime_ns) for path in whole.rglob("*")) == before


def test_resume_without_checkpoints_writes_over_nothing(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    for file in (out / "checkpoints").glob("*/state.json"):
        file.write_text("{")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    with pytest.raises(ModelError) as error:
        go_on(out)
    assert error.value.got == f"the checkpoints of the run in {out} are gone or damaged"
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_resume_of_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        go_on(tmp_path)
    assert error.value.got == f"there is no run in {tmp_path} to continue: it has no config.yaml"
    assert error.value.do == "check --out, or begin the training, without --resume"


def test_an_existing_run_is_not_overwritten_unasked(whole: Path, signs_folder: Path) -> None:
    with pytest.raises(OutputError, match="exists already\nDo: add --overwrite to replace it"):
        start(signs_folder, whole)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_foreign_folder_is_never_overwritten(signs_folder: Path, tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="was not made by this command"):
        start(signs_folder, tmp_path, overwrite=overwrite)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_photos_inside_of_the_run_to_overwrite_are_safe(whole: Path, signs_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    out.mkdir()
    for name in MARKS:
        shutil.copy(whole / name, out)
    shutil.copytree(signs_folder, out / "signs")
    with pytest.raises(OutputError, match="lie inside of each other"):
        start(out / "signs", out, overwrite=True)
    assert (out / "signs" / "train" / "heart").is_dir()


def spoil(folder: Path) -> None:
    for photo in folder.iterdir():
        photo.write_bytes(b"not a photo: " + photo.name.encode())


def refuse_to_train(data: Path, out: Path, recipe: Recipe = SCRATCH) -> EdgewiseError:
    """Training into an older run fails, and the older run is as it was."""
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for name in MARKS:
        (out / name).write_text("an older run")
    with pytest.raises(EdgewiseError) as error:
        start(data, out, recipe, overwrite=True)
    assert {entry.name: entry.read_text() for entry in out.iterdir()} == dict.fromkeys(MARKS, "an older run")
    return error.value


def test_what_cannot_be_trained_leaves_an_older_run_alone(signs_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "signs"
    shutil.copytree(signs_folder, data)
    error = refuse_to_train(signs_folder, tmp_path / "run", replace(SCRATCH, weights=str(tmp_path / "no.h5")))
    assert isinstance(error, InputError)
    assert "there is no such file" in error.got
    spoil(data / "train" / "heart")
    error = refuse_to_train(data, tmp_path / "run")
    assert isinstance(error, DataError)
    assert error.got == f"{data}: no photo to train on for heart"
    for folder in (data / "validation").iterdir():
        spoil(folder)
    assert refuse_to_train(data, tmp_path / "run").got == "none of the 20 validation photos can be read"


def test_given_weights_train_the_head_first(tuned: tuple[Path, Recorder], official_file: Path) -> None:
    run, recorder = tuned
    told = [line.partition(":")[0] for line in recorder.said]
    assert told.index("head on the frozen backbone") < told.index("epoch 1/1")
    state = json.loads((run / "checkpoints" / "epoch-00001" / "state.json").read_text())
    assert 0 <= state["head_accuracy"] <= 1
    model = open_network(Run.open(run))
    load_initial(model, str(official_file))
    given = {variable.name.split(":")[0]: variable.numpy() for variable in model.weights}
    after_head = arrays(run / "checkpoints" / "epoch-00000-head" / "model.weights.h5")
    changed = {name.split("/")[0] for name, array in after_head.items() if not np.array_equal(array, given[name])}
    assert changed == {"predictions"}


def test_given_normalization_statistics_stay(tuned: tuple[Path, Recorder]) -> None:
    names = ("epoch-00000-head", "epoch-00001")
    before, after = (arrays(tuned[0] / "checkpoints" / name / "model.weights.h5") for name in names)
    for name, array in before.items():
        assert np.array_equal(after[name], array) == name.split("/")[0].endswith("_bn"), name


def test_the_initial_weights_are_recorded(tuned: tuple[Path, Recorder], official_file: Path) -> None:
    config = Run.open(tuned[0]).config
    assert config.recipe.weights == str(official_file)
    assert config.weights_sha256 is not None
    assert len(config.weights_sha256) == 64


def test_overwriting_leaves_nothing_of_the_older_run_but_what_others_put_there(tuned: tuple[Path, Recorder]) -> None:
    run = tuned[0]
    assert {entry.name for entry in run.iterdir()} == {*FILES, "notes.txt"}
    assert sorted(entry.name for entry in (run / "checkpoints").iterdir()) == ["epoch-00000-head", "epoch-00001"]
    assert all((run / name).read_text() != "of an older run" for name in MARKS)


def test_an_unsplit_folder_is_measured_on_the_photos_the_run_has_not_learned(
    tuned: tuple[Path, Recorder], flat: Path, tmp_path: Path
) -> None:
    run = Run.open(tuned[0])
    moved = tmp_path / "moved"
    for number, photo in enumerate(sorted(flat.rglob("*.jpg"), reverse=True)):
        (moved / photo.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(photo, moved / photo.parent.name / f"{number}.jpg")
    for data in (flat, moved):
        measured = assess(run.path, data, reporter=Silent())
        assert measured.split == "test"
        assert measured.metrics.photos == len(run.photos("test"))
        assert measured.metrics.top1 == pytest.approx(json.loads((run.path / "metrics.json").read_text())["top1"])
    (moved / "heart" / "0.png").write_bytes((Path(__file__).parents[1] / "data" / "red.png").read_bytes())
    measured = assess(run.path, moved, reporter=Silent())
    assert (measured.split, measured.metrics.photos) == ("all", 51)
    with pytest.raises(DataError, match=r"--split test: .* has no split folders"):
        assess(run.path, moved, split="test", reporter=Silent())


def test_left_out_photos_are_named_and_the_rest_counted(signs_folder: Path, tmp_path: Path) -> None:
    data = tmp_path / "signs"
    shutil.copytree(signs_folder, data)
    for number in range(6):
        (data / "train" / "heart" / f"empty{number}.jpg").touch()
    for folder in (data / "validation").iterdir():
        spoil(folder)
    recorder = Recorder()
    with pytest.raises(DataError):
        train(data, tmp_path / "run", plan(SCRATCH), overwrite=False, reporter=recorder)
    shutil.rmtree(data / "validation")
    spoil(data / "train" / "moon")
    with pytest.raises(DataError, match="no photo to train on for moon"):
        train(data, tmp_path / "run", plan(SCRATCH), overwrite=False, reporter=recorder)
    left_out = [line for line in recorder.said if line.startswith("left out: ")]
    assert left_out[0] == f"left out: {data}/train/heart/empty0.jpg: is empty (0 bytes)"
    assert left_out[-1].startswith("left out: 7 more (empty5.jpg, moon-")
    assert len(left_out) == 6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--blocks", "0,1,1"], "three numbers from 1,1,1 (smallest) to 10,20,10"),
        (["--blocks", "many"], "three numbers from 1,1,1 (smallest) to 10,20,10"),
        (["--learning-rate", "-1"], "--learning-rate -1.0"),
        (["--cache-limit", "nan"], "--cache-limit nan\nExpected: a number"),
    ],
)
def test_options_out_of_range(signs_folder: Path, tmp_path: Path, words: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["train", str(signs_folder), "--out", str(tmp_path / "run"), *words])
    assert isinstance(result.exception, InputError)
    assert message in str(result.exception)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("words", [["--image-size", "31"], ["--epochs", "0"], []])
def test_wrong_usage(signs_folder: Path, tmp_path: Path, words: list[str]) -> None:
    data = [str(signs_folder)] if words else []
    result = CliRunner().invoke(app, ["train", *data, "--out", str(tmp_path / "run"), *words])
    assert result.exit_code == 2
    assert not (tmp_path / "run").exists()
