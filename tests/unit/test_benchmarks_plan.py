from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edgewise.benchmarks.plan import make_plan
from edgewise.spec import InputError, ModelError
from edgewise.spec.files import sha256_file

TINY = Path(__file__).parents[1] / "data"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    for name in ("tiny.tflite", "tiny.onnx"):
        shutil.copy(TINY / name, folder)
    return folder


def write_index(release: Path, run: str | None = None, **digests: str) -> None:
    files = ("tiny.onnx", "tiny.tflite")
    variants = [{"file": f, "sha256": digests.get(f[5:], sha256_file(release / f))} for f in files]
    (release / "index.json").write_text(json.dumps({"schema": 1, "name": "colours", "run": run, "variants": variants}))


def test_a_folder_without_an_index_is_searched(release: Path) -> None:
    (release / "README.md").write_text("not a model")
    plan = make_plan(release, None)
    assert [(entry.name, entry.backend) for entry in plan.entries] == [
        ("tiny.onnx", "onnxruntime"),
        ("tiny.tflite", "litert"),
    ]
    assert plan.name == "release"
    assert plan.entries[0].sha256 == sha256_file(release / "tiny.onnx")
    assert plan.entries[0].bytes == (release / "tiny.onnx").stat().st_size
    assert set(plan.labels.values()) == {("blue", "green", "red")}
    assert plan.remarks == (
        "The Keras reference was not measured: nothing here names its run folder (give --reference RUN).",
    )


def test_one_file_is_a_release(release: Path) -> None:
    plan = make_plan(release / "tiny.onnx", "none")
    assert [entry.title for entry in plan.entries] == ["tiny.onnx on ONNX Runtime"]
    assert plan.remarks == ()


def test_the_index_names_the_files_and_the_run(release: Path) -> None:
    run = release.parent / "run"
    run.mkdir()
    (run / "model.weights.h5").write_bytes(b"12345")
    write_index(release, run="../run")
    plan = make_plan(release, None)
    assert plan.name == "colours"
    assert [entry.name for entry in plan.entries] == ["tiny.onnx", "tiny.tflite", "run"]
    assert plan.entries[2].is_reference
    assert plan.entries[2].bytes == 5
    assert len(make_plan(release, "none").entries) == 2


def test_a_run_that_is_not_here_is_remarked(release: Path) -> None:
    write_index(release, run="/nowhere/run")
    assert make_plan(release, None).remarks == (
        "The Keras reference was not measured: its run folder /nowhere/run is not here (give --reference RUN).",
    )


def test_a_reference_that_was_asked_for_must_be_there(release: Path) -> None:
    with pytest.raises(InputError, match="--reference /nowhere is not a folder\nExpected: a run folder, or: none"):
        make_plan(release, "/nowhere")


def test_a_file_that_differs_from_its_index_is_not_measured(release: Path) -> None:
    write_index(release, onnx="0" * 64)
    bad, good = make_plan(release, None).entries
    assert "tiny.onnx is not the file that index.json describes: its SHA-256 differs" in bad.error
    assert good.error == ""


def test_a_damaged_file_is_an_entry_with_an_error(release: Path) -> None:
    content = bytearray((release / "tiny.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (release / "tiny.onnx").write_bytes(content)
    bad, good = make_plan(release, None).entries
    assert "damaged" in bad.error
    assert good.error == ""
    (release / "tiny.tflite").unlink()
    with pytest.raises(ModelError, match=r"no model file of .* can be read; the first: .*damaged"):
        make_plan(release, None)


def test_an_index_does_not_reach_outside_of_its_folder(release: Path) -> None:
    shutil.move(release / "tiny.onnx", release.parent / "tiny.onnx")
    variants = [{"file": "../tiny.onnx"}, {"file": "tiny.tflite"}]
    (release / "index.json").write_text(json.dumps({"schema": 1, "variants": variants}))
    outside, inside = make_plan(release, None).entries
    assert "does not exist" in outside.error
    assert inside.error == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "has no list of variants"),
        ('{"variants": [1]}', "has no list of variants"),
        ('{"variants": []}', "lists no variant"),
    ],
)
def test_a_broken_index_is_an_error(release: Path, content: str, message: str) -> None:
    (release / "index.json").write_text(content)
    with pytest.raises(ModelError, match=f"index.json {message}"):
        make_plan(release, None)


def test_a_folder_without_models_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"has no model file\nExpected: .*\nDo: make one with: edgewise export release RUN"
    ):
        make_plan(tmp_path, None)
    with pytest.raises(InputError, match="nothing does not exist\nExpected: a release folder or a model file"):
        make_plan(tmp_path / "nothing", None)
