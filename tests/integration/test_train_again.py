"""A training that is repeated by its configuration, killed in the middle of an epoch, or fed from a CSV file."""

from __future__ import annotations

import csv
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgewise.cli.main import app
from edgewise.spec import EdgewiseError
from edgewise.train.run import Run

PROGRAM = (sys.executable, "-c", "import sys; from edgewise.cli.main import main; sys.exit(main())")
OPTIONS = (
    "--weights", "none", "--epochs", "2", "--batch-size", "10", "--image-size", "75", "--blocks", "1,1,1",
    "--deterministic", "--checkpoint-minutes", "0", "--mixup", "0.2", "--ema", "0.9", "--optimizer", "sgd",
)  # fmt: skip


def history(run: Path) -> list[dict[str, str]]:
    rows = csv.DictReader(io.StringIO((run / "history.csv").read_text()))
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([*PROGRAM, "train", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(*words: str) -> str:
    process = start(*words)
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    return told


@pytest.fixture(scope="module")
def whole(signs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs that nobody interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    finish(str(signs_folder), "--out", str(out), *OPTIONS)
    return out


def test_a_training_that_was_killed_within_an_epoch_ends_as_if_it_had_not_been(
    whole: Path, signs_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = start(str(signs_folder), "--out", str(out), *OPTIONS)
    within = out / "checkpoints" / "epoch-00001-step-0000003" / "state.json"
    while not within.is_file():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    told = finish("--out", str(out), "--resume")
    assert "continuing after epoch 1 of 2 and " in told
    assert history(out) == history(whole)
    assert (out / "metrics.json").read_text() == (whole / "metrics.json").read_text()
    assert (out / "predictions.csv").read_text() == (whole / "predictions.csv").read_text()


def test_the_configuration_of_a_run_repeats_it(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    finish("--config", str(whole / "config.yaml"), "--out", str(out))
    assert history(out) == history(whole)
    assert (out / "config.yaml").read_text() == (whole / "config.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--config", "run/config.yaml", "--epochs", "3"), "--config together with --epochs"),
        (("--resume", "--mixup", "0.1"), "--resume together with --mixup"),
        (("photos", "--optimizer", "lion"), "--optimizer 'lion'"),
        (("photos", "--lr", "fast"), "--learning-rate 'fast'"),
        (("photos", "--fraction", "0"), "--fraction 0"),
        (("photos", "--magnitude", "2"), "the augmentation is out of range"),
        (("--config", "nowhere.yaml"), "nowhere.yaml cannot be read"),
    ],
)
def test_options_that_cannot_be_are_named(words: tuple[str, ...], message: str) -> None:
    error = CliRunner().invoke(app, ["train", *words]).exception
    assert isinstance(error, EdgewiseError)
    assert error.got.startswith(message)


def test_photos_from_a_csv_file_train_and_resume(signs_folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    shutil.copytree(signs_folder, photos)
    rows = [
        f"{path.relative_to(tmp_path)},{path.parent.name},{split}"
        for split in ("train", "validation", "test")
        for path in sorted((photos / split).glob("*/*"))
    ]
    (tmp_path / "photos.csv").write_text("path,label,split\n" + "\n".join(rows) + "\n")
    out, names = tmp_path / "run", tmp_path / "names.txt"
    labels = sorted((path.name for path in (signs_folder / "train").iterdir()), reverse=True)
    names.write_text("\n".join(labels) + "\n")
    few = ("--weights", "none", "--epochs", "1", "--image-size", "75", "--blocks", "1,1,1", "--class-names", str(names))
    told = finish(str(tmp_path / "photos.csv"), "--out", str(out), *few)
    assert "photos.csv: 10 classes, 60 train, 20 validation, 20 test" in told
    assert Run.open(out).labels == tuple(labels)
    assert len(Run.open(out).photos("test")) == 20
    assert "continuing after epoch 1 of 1" in finish("--out", str(out), "--resume")
