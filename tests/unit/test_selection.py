from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgewise.cli.main import make_app
from edgewise.runtime.cpu import usable_cores
from edgewise.runtime.selection import SELECTED, Selection, resolve, selected, write_selection
from edgewise.spec import ModelError
from edgewise.spec.files import sha256_file
from edgewise.spec.opening import Opening

DATA = Path(__file__).parents[1] / "data"
CHOOSE = "Do: choose again with `edgewise benchmark RELEASE --data DATA --out OUT --select`, or remove selected.json"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder of two files, of which the ONNX file is chosen, with one thread."""
    folder = tmp_path / "release"
    folder.mkdir()
    for name in ("tiny.tflite", "tiny.onnx"):
        shutil.copy(DATA / name, folder)
    write_selection(folder, Selection("tiny.onnx", sha256_file(folder / "tiny.onnx"), "onnxruntime", "cpu", 1))
    return folder


def test_predict_takes_the_chosen_file(release: Path) -> None:
    done = CliRunner().invoke(make_app("predict"), ["predict", str(release), str(DATA / "red.png"), "--json"])
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    assert row["label"] == "red"
    assert row["backend"] == "onnxruntime"
    assert "chosen by the benchmark: tiny.onnx" in done.stderr


def test_live_inspect_and_evaluate_take_the_chosen_file_too(release: Path, tmp_path: Path) -> None:
    film, photos = tmp_path / "film.avi", tmp_path / "photos"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 50, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), (0, 0, 255), np.uint8))
    writer.release()
    for name in ("red", "green", "blue"):
        (photos / name).mkdir(parents=True)
        shutil.copy(DATA / f"{name}.png", photos / name)
    for words, expected in (
        (["live", str(release), "--source", str(film), "--json", "--every-frame"], '"label": "red"'),
        (["inspect", str(release)], "tiny.onnx, onnx"),
        (["evaluate", str(release), str(photos)], "top-1 100.00%"),
    ):
        done = CliRunner().invoke(make_app(words[0]), words)
        assert done.exit_code == 0, done.output
        assert expected in done.stdout
        assert "chosen by the benchmark: tiny.onnx" in done.stderr


def test_package_packs_the_chosen_file(release: Path, tmp_path: Path) -> None:
    target = ["--target", "linux-x86", "--out", str(tmp_path / "p.zip")]
    write_selection(release, Selection("tiny.tflite", sha256_file(release / "tiny.tflite"), "openvino", "cpu", 2))
    done = CliRunner().invoke(make_app("package"), ["package", str(release), *target])
    assert done.exit_code == 0, done.output
    assert "it was measured on openvino; the package runs it on litert" in done.stderr
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        assert any(name.endswith("/tiny.tflite") for name in archive.namelist())


def test_what_the_user_says_goes_first(release: Path) -> None:
    path, opening, _ = resolve(release, Opening())
    assert path == release / "tiny.onnx"
    assert (opening.backend, opening.provider, opening.threads) == ("onnxruntime", "cpu", 1)
    _, opening, _ = resolve(release, Opening(threads=3))
    assert (opening.backend, opening.threads) == ("onnxruntime", 3)
    _, opening, _ = resolve(release, Opening(backend="openvino"))
    assert (opening.backend, opening.threads) == ("openvino", None)
    file = release / "tiny.tflite"
    assert resolve(file, Opening()) == (file, Opening(), None)


def test_no_more_threads_than_this_machine_has(release: Path) -> None:
    write_selection(release, Selection("tiny.onnx", sha256_file(release / "tiny.onnx"), "onnxruntime", "cpu", 4000))
    assert resolve(release, Opening())[1].threads == usable_cores()


def test_a_folder_without_a_choice_says_how_to_choose(release: Path) -> None:
    (release / SELECTED).unlink()
    with pytest.raises(ModelError, match=r"release is a folder, and selected\.json in it") as caught:
        resolve(release, Opening())
    assert "name one file in it, or choose one: `edgewise benchmark RELEASE" in str(caught.value)


def test_a_file_that_was_exported_again_is_refused(release: Path) -> None:
    shutil.copy(DATA / "tiny.tflite", release / "tiny.onnx")
    with pytest.raises(ModelError, match=r"tiny\.onnx is not the file that was measured: its SHA-256 is") as caught:
        selected(release)
    assert CHOOSE in str(caught.value)
    (release / "tiny.onnx").unlink()
    with pytest.raises(ModelError, match=r"names tiny\.onnx, which is not there"):
        selected(release)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("file", "../tiny.onnx"),
        ("file", "/etc/passwd"),
        ("file", "notes.txt"),
        ("file", "a\0.onnx"),
        ("file", "\x1b[2J.onnx"),
        ("file", ["tiny.onnx"]),
        ("sha256", "cd" * 31),
        ("backend", "x; rm"),
        ("backend", None),
        ("provider", "a b"),
        ("threads", True),
        ("threads", 0),
        ("threads", 10**9),
        ("schema", 2),
        ("schema", None),
    ],
)
def test_a_hostile_choice_is_an_error(release: Path, field: str, value: Any) -> None:
    data = json.loads((release / SELECTED).read_text())
    (release / SELECTED).write_text(json.dumps({**data, field: value}))
    with pytest.raises(ModelError, match=rf"selected\.json: '{field}' is ") as caught:
        selected(release)
    assert "Expected: a file that `edgewise benchmark --select` wrote" in str(caught.value)
    assert CHOOSE in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b"[" * 60_000, b'{"a": "' + b"a" * 70_000 + b'"}'])
def test_what_is_no_choice_is_an_error(release: Path, content: bytes) -> None:
    (release / SELECTED).write_bytes(content)
    with pytest.raises(ModelError, match=r"selected\.json is not a JSON object of at most 65536 bytes"):
        selected(release)


def test_a_pipe_is_not_waited_for(release: Path) -> None:
    (release / SELECTED).unlink()
    os.mkfifo(release / SELECTED)
    with pytest.raises(ModelError, match=r"selected\.json is not a file"):
        selected(release)
