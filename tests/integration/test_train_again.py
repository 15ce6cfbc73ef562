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
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgewise.cli.main import app
from edgewise.spec import EdgewiseError, OutputError
from edgewise.train.run import Run

PROGRAM = (
    sys.executable, "-c",
    "import sys; from edgewise.cli.main import app; "
    "[app(words.split('\\n'), standalone_mode=False) for words in sys.argv[1:]]",
)  # fmt: skip
"""Each of its arguments is a command line; importing TensorFlow takes longer than such a training."""

OPTIONS = (
    "--weights", "none", "--epochs", "2", "--batch-size", "10", "--image-size", "75", "--blocks", "1,1,1",
    "--deterministic", "--checkpoint-minutes", "0", "--mixup", "0.2", "--ema", "0.9", "--optimizer", "sgd",
)  # fmt: skip


def history(run: Path) -> list[dict[str, str]]:
    rows = csv.DictReader(io.StringIO((run / "history.csv").read_text()))
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def start(*trainings: tuple[str, ...]) -> subprocess.Popen[str]:
    """A process of its own, for trainings one after the other: nothing else is as deterministic afterwards."""
    lines = ["\n".join(("train", *words)) for words in trainings]
    return subprocess.Popen([*PROGRAM, *lines], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(*trainings: tuple[str, ...]) -> str:
    process = start(*trainings)
    _, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    return told


def edgewise(*words: str) -> str:
    """A training in this process."""
    result = CliRunner().invoke(app, ["train", *words])
    assert result.exit_code == 0, result.output
    return result.stderr


@pytest.fixture(scope="module")
def whole(signs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two epochs that nobody interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    finish((str(signs_folder), "--out", str(out), *OPTIONS))
    return out


def test_a_killed_training_and_one_repeated_by_its_configuration_end_as_the_first_did(
    whole: Path, signs_folder: Path, tmp_path: Path
) -> None:
    out, again = tmp_path / "run", tmp_path / "again"
    process = start((str(signs_folder), "--out", str(out), *OPTIONS))
    within = out / "checkpoints" / "epoch-00001-step-0000003" / "state.json"
    while not within.is_file():
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    # What a process can leave that is killed a moment earlier or later.
    (out / ".model.weights.h5.0x1y2z.h5").touch()
    (out / "checkpoints" / "best-00002.h5").touch()
    (out / "history.csv").unlink()
    (out / "photos.csv").unlink()
    told = finish(("--out", str(out), "--resume"), ("--config", str(whole / "config.yaml"), "--out", str(again)))
    assert "continuing after epoch 1 of 2 and " in told
    assert {path.name for path in out.iterdir()} == {path.name for path in whole.iterdir()}
    assert not list(out.glob("checkpoints/best-*"))
    assert history(out) == history(again) == history(whole)
    assert (out / "metrics.json").read_text() == (whole / "metrics.json").read_text()
    assert (out / "predictions.csv").read_text() == (whole / "predictions.csv").read_text()
    assert (again / "config.yaml").read_text() == (whole / "config.yaml").read_text()


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


def test_a_run_that_has_not_come_to_its_end_is_not_begun_again_unasked(whole: Path, tmp_path: Path) -> None:
    shutil.copy(whole / "config.yaml", tmp_path)  # a killed process may leave no more
    error = CliRunner().invoke(app, ["train", "photos", "--out", str(tmp_path)]).exception
    assert isinstance(error, OutputError)
    assert error.got == f"{tmp_path} holds a run that has not come to its end"
    assert error.do == "continue it with --resume, replace it with --overwrite, or choose another --out"


def test_photos_from_a_csv_file_train_and_resume_once_there_is_room(
    signs_folder: Path, tmp_path: Path, full_disk: Callable[[int], AbstractContextManager[None]]
) -> None:
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
    with full_disk(10_000_000):
        error = CliRunner().invoke(app, ["train", str(tmp_path / "photos.csv"), "--out", str(out), *few]).exception
    assert isinstance(error, OutputError)
    assert error.got == f"cannot write {out}/checkpoints/epoch-00000/model.weights.h5: File too large"
    assert error.do.endswith("; then continue with --resume")
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    told = edgewise("--out", str(out), "--resume")
    assert "photos.csv: 10 classes, 60 train, 20 validation, 20 test" in told
    (tmp_path / "lists").mkdir()  # a list may be a link; its paths start from where the link is
    (tmp_path / "photos.csv").rename(tmp_path / "lists" / "photos.csv")
    (tmp_path / "photos.csv").symlink_to(tmp_path / "lists" / "photos.csv")
    assert Run.open(out).labels == tuple(labels)
    assert len(Run.open(out).photos("test")) == 20
    (out / "history.csv").write_text("")  # killed after the last checkpoint, before anything else was written
    (out / "metrics.json").unlink()
    assert not Run.open(out).finished
    assert "continuing after epoch 1 of 1" in edgewise("--out", str(out), "--resume")
    assert [row["epoch"] for row in history(out)] == ["1"]
    assert Run.open(out).finished
