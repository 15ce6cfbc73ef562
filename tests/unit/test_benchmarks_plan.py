from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edgewise.benchmarks.entry import Kind
from edgewise.benchmarks.plan import Plan, make_plan
from edgewise.benchmarks.ways import Ways, parse_threads
from edgewise.spec import BackendError, InputError, ModelError
from edgewise.spec.files import sha256_file

TINY = Path(__file__).parents[1] / "data"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "release"
    folder.mkdir()
    for name in ("tiny.tflite", "tiny.onnx"):
        shutil.copy(TINY / name, folder)
    return folder


BASE = Ways((1,), backends=("litert", "onnxruntime"), plain=False)
"""The backends that are installed everywhere."""


def planned(release: Path, reference: str | None = None, ways: Ways = BASE) -> Plan:
    return make_plan(release, reference, ways)


def write_index(release: Path, run: str | None = None, **digests: str) -> None:
    files = ("tiny.onnx", "tiny.tflite")
    variants = [{"file": f, "sha256": digests.get(f[5:], sha256_file(release / f))} for f in files]
    (release / "index.json").write_text(json.dumps({"schema": 1, "name": "colours", "run": run, "variants": variants}))


def test_a_folder_without_an_index_is_searched(release: Path) -> None:
    (release / "README.md").write_text("not a model")
    plan = planned(release)
    assert [(entry.name, entry.backend) for entry in plan.entries] == [
        ("tiny.onnx", "onnxruntime"),
        ("tiny.tflite", "litert"),
    ]
    assert plan.name == "release"
    assert plan.entries[0].sha256 == sha256_file(release / "tiny.onnx")
    assert plan.entries[0].bytes == (release / "tiny.onnx").stat().st_size
    assert plan.labels == ("blue", "green", "red")
    assert plan.models[str(release / "tiny.onnx")].height == 32
    assert plan.models[str(release / "tiny.onnx")].macs > 0
    assert 0 < plan.entries[0].gzip_bytes < plan.entries[0].bytes
    assert plan.remarks == (
        "The Keras reference was not measured: nothing here names its run folder (give --reference RUN).",
    )


def test_one_file_is_a_release(release: Path) -> None:
    plan = planned(release / "tiny.onnx", "none")
    assert [entry.title for entry in plan.entries] == ["tiny.onnx on ONNX Runtime"]
    assert plan.remarks == ()


def test_the_index_names_the_files_and_the_run(release: Path) -> None:
    run = release.parent / "run"
    run.mkdir()
    (run / "model.weights.h5").write_bytes(b"12345")
    write_index(release, run="../run")
    plan = planned(release)
    assert plan.name == "colours"
    assert [entry.name for entry in plan.entries] == ["tiny.onnx", "tiny.tflite", "run"]
    assert plan.entries[2].is_reference
    assert plan.entries[2].bytes == 5
    assert len(planned(release, "none").entries) == 2


def test_a_run_that_is_not_here_is_remarked(release: Path) -> None:
    write_index(release, run="/nowhere/run")
    assert planned(release).remarks == (
        "The Keras reference was not measured: its run folder /nowhere/run is not here (give --reference RUN).",
    )


def test_a_reference_that_was_asked_for_must_be_there(release: Path) -> None:
    with pytest.raises(InputError, match="--reference /nowhere is not a folder\nExpected: a run folder, or: none"):
        make_plan(release, "/nowhere")


def test_a_file_that_differs_from_its_index_is_not_measured(release: Path) -> None:
    write_index(release, onnx="0" * 64)
    bad, good = planned(release).entries
    assert "tiny.onnx is not the file that index.json describes: its SHA-256 differs" in bad.error
    assert good.error == ""


def test_a_damaged_file_is_an_entry_with_an_error(release: Path) -> None:
    content = bytearray((release / "tiny.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (release / "tiny.onnx").write_bytes(content)
    bad, good = planned(release).entries
    assert "damaged" in bad.error
    assert good.error == ""
    (release / "tiny.tflite").unlink()
    with pytest.raises(ModelError, match=r"no model file of .* can be read; the first: .*damaged"):
        planned(release)


def test_a_backend_that_runs_none_of_the_files_is_an_error(release: Path) -> None:
    with pytest.raises(BackendError) as caught:
        make_plan(release / "tiny.onnx", "none", Ways((1,), ("litert",)))
    assert str(caught.value) == (
        f"--backend litert runs no file of {release / 'tiny.onnx'}\nExpected: a backend for .onnx files\n"
        "Do: leave --backend out for all of them"
    )


def test_an_index_does_not_reach_outside_of_its_folder(release: Path) -> None:
    shutil.move(release / "tiny.onnx", release.parent / "tiny.onnx")
    variants = [{"file": "../tiny.onnx"}, {"file": "tiny.tflite"}]
    (release / "index.json").write_text(json.dumps({"schema": 1, "variants": variants}))
    outside, inside = planned(release).entries
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
        planned(release)


def test_a_folder_without_models_says_how_to_make_them(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"has no model file\nExpected: .*\nDo: make one with: edgewise export release RUN"
    ):
        make_plan(tmp_path, None)
    with pytest.raises(InputError, match="nothing does not exist\nExpected: a release folder or a model file"):
        make_plan(tmp_path / "nothing", None)


def test_a_file_is_measured_in_every_way(release: Path) -> None:
    ways = Ways((1, 2), backends=("onnxruntime",))
    titles = [entry.title for entry in planned(release / "tiny.onnx", "none", ways).entries]
    assert titles == [
        "tiny.onnx on ONNX Runtime, 1 thread",
        "tiny.onnx on ONNX Runtime, 2 threads",
        "plain loop of ONNX Runtime on tiny.onnx, 1 thread",
        "plain loop of ONNX Runtime on tiny.onnx, 2 threads",
    ]


def test_no_two_rows_have_the_same_key(release: Path) -> None:
    run = release.parent / "run"
    run.mkdir()
    entries = make_plan(release, str(run), Ways((1, 2))).entries
    assert len({entry.key for entry in entries}) == len(entries)
    assert {entry.kind for entry in entries} == set(Kind)
    assert [entry.threads for entry in entries if entry.is_reference] == [1, 2]


def test_openvino_takes_part_where_it_is_installed(release: Path) -> None:
    pytest.importorskip("openvino", reason="needs the extra 'openvino'")
    rows = make_plan(release, "none", Ways((1,), plain=False)).entries
    assert ("tiny.tflite", "openvino") in {(entry.name, entry.backend) for entry in rows}


@pytest.mark.parametrize(
    ("ways", "message"),
    [
        (Ways((1,), backends=("torch",)), "--backend torch\nExpected: one of litert, onnxruntime, openvino"),
        (Ways((1,), providers=("tpu",)), "--provider tpu is not there on this machine\nExpected: one of cpu"),
    ],
)
def test_what_is_not_there_is_refused(release: Path, ways: Ways, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        make_plan(release, "none", ways)


def test_threads_are_numbers_with_commas() -> None:
    assert parse_threads("2,1,all", cores=4) == (1, 2, 4)
    assert parse_threads("all", cores=2) == (2,)


@pytest.mark.parametrize("text", ["", "0", "1,,2", "many", "-1", "2000", "1.5"])
def test_other_threads_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="Expected: numbers from 1 to 1024 or 'all', such as 1,2,all"):
        parse_threads(text)


@pytest.mark.parametrize(("told", "kept"), [(123, 123), (-5, None), (True, None), ("9", None)])
def test_a_compressed_size_is_taken_from_the_index_where_it_is_one(
    release: Path, told: object, kept: int | None
) -> None:
    file = release / "tiny.onnx"
    variants = [{"file": file.name, "sha256": sha256_file(file), "gzip_bytes": told}]
    (release / "index.json").write_text(json.dumps({"schema": 1, "variants": variants}))
    (entry,) = planned(release, "none").entries
    assert entry.gzip_bytes == kept if kept else entry.gzip_bytes > 123
