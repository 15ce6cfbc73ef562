"""Exporting as a user does: what is overwritten, what an interruption leaves, what is said where something is wrong."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgewise.export import release
from edgewise.export.gate import Verdict
from edgewise.export.release import Request, export
from edgewise.export.variants import Variant
from edgewise.runtime.modelfile import read_model
from edgewise.spec import DataError, Format, InputError, ModelError, OutputError, Scheme
from edgewise.spec.progress import Silent

NAMES = ["small-fp32.onnx", "small-fp32.tflite", "small-int8.onnx", "small-int8.tflite"]
TFLITE = (Variant(Format.TFLITE, Scheme.FP32), Variant(Format.TFLITE, Scheme.INT8))
ONNX = (Variant(Format.ONNX, Scheme.FP32), Variant(Format.ONNX, Scheme.INT8))
Command = Callable[..., int]
Check = Callable[[Path], None]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def index(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((folder / "index.json").read_text())["variants"]
    return rows


def test_files_of_both_formats_come_together(
    sums_fit: Check,
    edgewise: Command,
    converted: Any,
    small_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    schemes = ("--quantize", "fp32", "--quantize", "int8", "--max-drop", 100)
    assert edgewise("export", "tflite", small_run, "--out", out, *schemes) == 0
    printed = capsys.readouterr()
    lines = [line.split() for line in printed.out.splitlines()]
    assert [words[0] for words in lines[:3]] == ["file", "small-fp32.tflite", "small-int8.tflite"]
    assert lines[2][1] == "13.8"
    assert len(lines[2]) == len(lines[1]) == 10
    assert re.search(r"^small-int8\.tflite: 3\.\d times smaller", printed.out, re.MULTILINE)
    assert re.search(r"^small-int8\.tflite: top-1 [\d.]+%, .* points below Keras ", printed.err, re.MULTILINE)
    assert f"next: edgewise benchmark {out}" in printed.err
    assert edgewise("export", "onnx", small_run, "--out", out, *schemes, "--json") == 0
    printed = capsys.readouterr()
    rows = json.loads(printed.out)
    assert [row["file"] for row in rows] == ["small-fp32.onnx", "small-int8.onnx"]
    assert names(out) == ["SHA256SUMS", "index.json", "release.md", *NAMES]
    assert [row["file"] for row in index(out)] == NAMES
    assert [line.split(" | ")[0].strip("| ") for line in (out / "release.md").read_text().splitlines()[4:]] == NAMES
    assert [row for row in index(out) if row["format"] == "onnx"] == rows
    sums_fit(out)


def test_one_scheme_under_another_name_where_the_run_is(
    edgewise: Command, converted: Any, run_copy: Path, tmp_path: Path
) -> None:
    words = ("--quantize", "int8", "--name", "signs", "--max-drop", 100)
    assert edgewise("export", "release", run_copy, *words) == 0
    assert names(run_copy / "release") == [
        "SHA256SUMS", "index.json", "release.md", "signs-int8.onnx", "signs-int8.tflite"
    ]  # fmt: skip
    assert read_model(run_copy / "release" / "signs-int8.onnx").manifest.name == "signs-int8"


def test_nothing_is_overwritten_unless_asked_for(
    sums_fit: Check, edgewise: Command, converted: Any, small_run: Path, small_release: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = shutil.copytree(small_release, tmp_path / "out")
    (out / "small-int8.onnx").write_bytes(b"mine")
    before = {path: path.read_bytes() for path in out.iterdir()}
    words = ("export", "onnx", small_run, "--out", out, "--max-drop", 100, "--quantize", "int8")
    assert edgewise(*words) == 1
    assert f"{out / 'small-int8.onnx'} exists already\nDo: add --overwrite to replace it" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    assert edgewise(*words, "--overwrite") == 0
    assert (out / "small-int8.onnx").read_bytes() == (small_release / "small-int8.onnx").read_bytes()
    assert [row["file"] for row in index(out)] == NAMES
    sums_fit(out)


def test_an_export_that_fails_early_leaves_an_old_release_alone(
    small_run: Path, small_release: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(small_release, tmp_path / "out")
    before = {path: path.read_bytes() for path in out.iterdir()}
    request = Request(small_run, out, "small", ONNX, data=tmp_path / "nowhere", overwrite=True)
    with pytest.raises(DataError) as caught:
        export(request, Silent())
    assert str(caught.value) == (
        f"the photos of this run are not at {tmp_path / 'nowhere'}\nDo: say where they are with --data"
    )
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_ctrl_c_in_the_middle_leaves_only_what_fits(
    sums_fit: Check, edgewise: Command, converted: pytest.MonkeyPatch, small_run: Path, small_release: Path,
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = shutil.copytree(small_release, tmp_path / "out")
    judged: list[str] = []

    def interrupted(*arguments: Any, **more: Any) -> Verdict:
        judged.append(arguments[-1])
        if len(judged) == 2:
            raise KeyboardInterrupt
        return judge(*arguments, **more)

    judge = release.judge
    converted.setattr(release, "judge", interrupted)
    words = ("export", "tflite", small_run, "--out", out, "--max-drop", 100, "--quantize", "fp32", "--quantize", "int8")
    assert edgewise(*words, "--overwrite") == 130
    assert "stopped: what was finished stays; run it again to go on" in capsys.readouterr().err
    assert judged == ["small-fp32.tflite", "small-int8.tflite"]
    assert names(out) == ["SHA256SUMS", "index.json", "release.md", *NAMES]
    assert [row["file"] for row in index(out)] == NAMES
    sums_fit(out)
    converted.setattr(release, "judge", judge)
    assert edgewise(*words) == 0
    assert "small-fp32.tflite is there already" in capsys.readouterr().err
    assert [row["file"] for row in index(out)] == NAMES
    sums_fit(out)


# What can be wrong


def test_what_is_no_run_folder(edgewise: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert edgewise("export", "release", tmp_path) == 1
    message = capsys.readouterr().err
    assert message.startswith(f"error: {tmp_path} is not a run folder: it has no config.yaml")
    assert message.endswith("\nExpected: a folder that `edgewise train` made\n")
    assert names(tmp_path) == []


def test_a_run_without_weights(run_copy: Path, tmp_path: Path) -> None:
    (run_copy / "model.weights.h5").unlink()
    with pytest.raises(ModelError, match=r"has no model\.weights\.h5 yet: no epoch was finished\nDo: continue with"):
        export(Request(run_copy, tmp_path / "out", "m", ONNX), Silent())
    assert not (tmp_path / "out").exists()


def test_photos_that_moved_are_found_with_data(
    converted: Any, small_run: Path, signs_folder: Path, tmp_path: Path
) -> None:
    moved = shutil.copytree(signs_folder, tmp_path / "moved")
    request = Request(small_run, tmp_path / "out", "m", ONNX[:1], data=moved)
    assert [row.file for row in export(request, Silent())] == ["m-fp32.onnx"]
    photo = min((moved / "test").rglob("*.jpg"))
    photo.write_bytes(photo.read_bytes() + b"\0")
    with pytest.raises(DataError) as changed:
        export(Request(small_run, tmp_path / "new", "m", ONNX[:1], data=moved), Silent())
    assert str(changed.value) == (
        f"{photo} has changed since training\nExpected: the photos of this run\nDo: train again"
    )
    photo.unlink()
    with pytest.raises(DataError) as missing:
        export(Request(small_run, tmp_path / "new", "m", ONNX[:1], data=moved), Silent())
    assert str(missing.value) == (
        f"{photo} is not there any more\nExpected: the photos of this run\nDo: say where they are with --data"
    )
    assert not (tmp_path / "new").exists()


def test_an_index_of_something_else_is_not_touched(small_run: Path, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text("[1, 2]")
    with pytest.raises(ModelError, match=r"index\.json cannot be read: .*\nExpected: an index that Edgewise wrote"):
        export(Request(small_run, tmp_path, "m", ONNX), Silent())
    assert names(tmp_path) == ["index.json"]


def test_a_place_that_cannot_be_written(small_run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot write into .*file/out: "):
        export(Request(small_run, tmp_path / "file" / "out", "m", TFLITE[:1]), Silent())


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a\nb"])
def test_a_name_that_is_none_for_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        Request(tmp_path, tmp_path, name, ONNX)
    assert str(caught.value) == f"--name {name!r}\nExpected: the first part of a file name, without folders"


@pytest.mark.parametrize(
    "words", [("--max-drop", "-1"), ("--max-drop", "101"), ("--quantize", "int3"), ("--threads", "0")]
)
def test_options_out_of_range_are_wrong_usage(
    edgewise: Command, tmp_path: Path, words: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert edgewise("export", "release", tmp_path, *words) == 2
    assert words[0] in capsys.readouterr().err
