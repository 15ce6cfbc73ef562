"""A release folder on disk: its index and its sums fit its files at every moment."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from edgewise.export.shelf import INDEX, SUMS, Shelf
from edgewise.runtime.modelfile import read_model
from edgewise.spec import ModelError, OutputError
from edgewise.spec.files import sha256, write_bytes

NAMES = ["m-fp32.tflite", "m-int8.tflite"]


def row(name: str, content: bytes) -> dict[str, Any]:
    return {"file": name, "sha256": sha256(content), "bytes": len(content)}


def shelf_in(folder: Path) -> Shelf:
    return Shelf(folder, "m", "run")


def filled(folder: Path, content: bytes = b"old") -> Shelf:
    """A shelf with both files."""
    shelf = shelf_in(folder)
    for name in NAMES:
        shelf.place(row(name, content), content)
    return shelf


def index(folder: Path) -> list[str]:
    return [entry["file"] for entry in json.loads((folder / INDEX).read_text())["variants"]]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sums_fit(folder: Path) -> bool:
    """Asks the tool that users have."""
    if not (folder / SUMS).is_file() or not (folder / SUMS).read_bytes():
        return True
    tool = shutil.which("sha256sum")
    if tool is None:
        pytest.skip("sha256sum is not installed")
    result = subprocess.run([tool, "-c", SUMS], cwd=folder, capture_output=True, text=True, check=False)
    return result.returncode == 0 and "WARNING" not in result.stderr


def test_files_are_listed_with_their_sums(tmp_path: Path) -> None:
    filled(tmp_path / "release")
    assert names(tmp_path / "release") == [SUMS, INDEX, *NAMES]
    data = json.loads((tmp_path / "release" / INDEX).read_text())
    assert (data["schema"], data["name"], data["run"]) == (1, "m", "run")
    assert index(tmp_path / "release") == NAMES
    assert sums_fit(tmp_path / "release")
    assert (tmp_path / "release" / SUMS).read_text().splitlines()[0] == f"{sha256(b'old')}  m-fp32.tflite"


def test_checking_changes_nothing_and_names_the_file(tmp_path: Path) -> None:
    shelf = filled(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OutputError, match=r"m-int8\.tflite exists already\nDo: add --overwrite"):
        shelf.check_free(["m-int8.onnx", "m-int8.tflite"], overwrite=False)
    shelf.check_free(["m-int8.onnx"], overwrite=False)
    shelf.check_free(NAMES, overwrite=True)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("name", ["SHA256SUMS", "release.md"])
def test_lists_of_somebody_else_are_not_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine\n")
    with pytest.raises(OutputError, match=f"{name} exists already"):
        shelf_in(tmp_path).check_free(["a.tflite"], overwrite=False)
    assert (tmp_path / name).read_text() == "mine\n"
    shelf_in(tmp_path).check_free(["a.tflite"], overwrite=True)


def test_files_of_another_format_are_added(tmp_path: Path) -> None:
    shelf = filled(tmp_path)
    shelf.place(row("m-fp32.onnx", b"onnx"), b"onnx")
    assert index(tmp_path) == ["m-fp32.onnx", *NAMES]
    assert sums_fit(tmp_path)


class Killed(BaseException):
    """Ends an export where it stands."""


def killed_before(patch: pytest.MonkeyPatch, count: int) -> None:
    """The next writer is killed before it writes its ``count``th file."""
    written: list[Path] = []

    def counted(path: Path, content: bytes) -> None:
        written.append(path)
        if len(written) == count:
            raise Killed
        write_bytes(path, content)

    patch.setattr("edgewise.export.shelf.write_bytes", counted)
    patch.setattr("edgewise.export.shelf.write_text", lambda path, text: counted(path, text.encode()))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("old", [False, True])
def test_whoever_is_killed_leaves_sums_that_fit_and_every_whole_file_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, old: bool
) -> None:
    shelf = filled(tmp_path) if old else shelf_in(tmp_path)
    killed_before(monkeypatch, count)
    with pytest.raises(Killed):
        shelf.place(row(NAMES[0], b"new"), b"new")
    monkeypatch.undo()
    assert sums_fit(tmp_path)
    arrived = count > 3  # after the index and the sums without it, before both with it
    found = {entry["file"]: entry["sha256"] for entry in shelf.rows()}
    assert (found.get(NAMES[0]) == sha256(b"new")) is arrived
    shelf.publish([])
    assert (NAMES[0] in index(tmp_path)) is (arrived or (old and count == 1))
    assert sums_fit(tmp_path)


def test_sums_that_a_killed_export_left_behind_are_mended(tmp_path: Path) -> None:
    shelf = filled(tmp_path)
    data = json.loads((tmp_path / INDEX).read_text())
    (tmp_path / INDEX).write_text(json.dumps({**data, "variants": data["variants"][1:]}))
    shelf.place(row(NAMES[0], b"new"), b"new")
    assert sums_fit(tmp_path)


def test_halves_that_a_killed_export_left_behind_are_cleared_away(tmp_path: Path) -> None:
    shelf = filled(tmp_path)
    (tmp_path / ".draft-abc").mkdir()
    for half in (".m-int8.tflite.x1.tflite", f".{INDEX}.x1.json", ".m-int8.rejected.tflite.x1.tflite", ".mine"):
        (tmp_path / half).write_bytes(b"half")
    shelf.check_free(NAMES, overwrite=True)
    assert names(tmp_path) == [".mine", SUMS, INDEX, *NAMES]


def test_a_rejected_file_stands_apart_and_takes_the_old_one_away(tmp_path: Path) -> None:
    shelf = filled(tmp_path)
    path = shelf.reject("m-int8.tflite", b"bad")
    assert path == tmp_path / "m-int8.rejected.tflite"
    assert names(tmp_path) == [SUMS, INDEX, "m-fp32.tflite", "m-int8.rejected.tflite"]
    assert index(tmp_path) == ["m-fp32.tflite"]
    assert sums_fit(tmp_path)


def test_a_good_file_takes_the_rejected_one_away(tmp_path: Path) -> None:
    shelf = shelf_in(tmp_path)
    shelf.reject("m-int8.tflite", b"bad")
    shelf.place(row("m-int8.tflite", b"good"), b"good")
    assert names(tmp_path) == [SUMS, INDEX, "m-int8.tflite"]


def test_a_file_that_was_deleted_is_forgotten(tmp_path: Path) -> None:
    shelf = filled(tmp_path)
    (tmp_path / NAMES[0]).unlink()
    shelf.publish([])
    assert index(tmp_path) == [NAMES[1]]
    assert sums_fit(tmp_path)


def test_a_draft_goes_away_with_its_folder(tmp_path: Path) -> None:
    with shelf_in(tmp_path / "r").draft("m-int8.onnx") as draft:
        draft.write_bytes(b"x")
        assert draft.name == "m-int8.onnx"
        assert draft.parent.parent == tmp_path / "r"
    assert names(tmp_path / "r") == []
    with pytest.raises(KeyboardInterrupt), shelf_in(tmp_path / "r").draft("m-int8.onnx") as draft:  # noqa: PT012
        draft.write_bytes(b"x")
        raise KeyboardInterrupt
    assert names(tmp_path / "r") == []


def test_a_file_in_the_way_is_noticed_before_the_work_begins(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "a" / "b"):
        with pytest.raises(OutputError) as caught:
            shelf_in(folder).check_free(NAMES, overwrite=True)
        assert str(caught.value) == (
            f"cannot write into {folder}: {tmp_path / 'file'} is not a folder where files may be made\n"
            "Do: choose another place with --out"
        )
    shelf_in(tmp_path / "new" / "folder").check_free(NAMES, overwrite=False)
    assert names(tmp_path) == ["file"]


def test_a_disk_that_fills_up_is_no_traceback(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device")
    with pytest.raises(OutputError) as caught, shelf_in(tmp_path).draft("m.onnx"):
        raise full
    assert str(caught.value) == (
        f"cannot write into {tmp_path}: No space left on device\nDo: free some space or choose another place with --out"
    )
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"variants": 3}', '{"variants": [{}]}', '{"variants": ["x"]}', "\xff"]
)
def test_an_index_that_is_not_ours_is_named_and_kept(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX).write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError) as caught:
        shelf_in(tmp_path).check_free(NAMES, overwrite=True)
    assert str(caught.value).startswith(f"{tmp_path / INDEX} cannot be read: ")
    assert "Expected: an index that Edgewise wrote\nDo: choose another --out" in str(caught.value)
    assert (tmp_path / INDEX).read_bytes() == text.encode("latin-1")


def test_rows_that_point_out_of_the_folder_are_dropped(tmp_path: Path) -> None:
    shelf = filled(tmp_path / "release")
    (tmp_path / "outside").write_text("x")
    data = json.loads((tmp_path / "release" / INDEX).read_text())
    data["variants"].append(row("../outside", b"x"))
    (tmp_path / "release" / INDEX).write_text(json.dumps(data))
    shelf.publish([])
    assert index(tmp_path / "release") == NAMES


def test_a_sum_guards_the_file_when_it_is_opened(tmp_path: Path) -> None:
    shelf_in(tmp_path).place(row("m-fp32.onnx", b"one"), b"one")
    (tmp_path / "m-fp32.onnx").write_bytes(b"two")
    with pytest.raises(ModelError, match="is damaged: its SHA-256 is"):
        read_model(tmp_path / "m-fp32.onnx")
