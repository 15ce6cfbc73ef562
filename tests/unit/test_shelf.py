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
from edgewise.spec.files import sha256

NAMES = ["m-fp32.tflite", "m-int8.tflite"]


def row(name: str, content: bytes) -> dict[str, Any]:
    return {"file": name, "sha256": sha256(content), "bytes": len(content)}


def filled(folder: Path, content: bytes = b"old") -> Shelf:
    """A shelf with both files."""
    shelf = Shelf(folder)
    for name in NAMES:
        shelf.place(name, content, rejected=False)
    shelf.publish("m", "run", [row(name, content) for name in NAMES])
    return shelf


def index(folder: Path) -> list[str]:
    return [entry["file"] for entry in json.loads((folder / INDEX).read_text())["variants"]]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def sums_fit(folder: Path) -> bool:
    """Asks the tool that users have."""
    if not (folder / SUMS).read_bytes():
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


def test_files_of_another_format_are_added(tmp_path: Path) -> None:
    shelf = filled(tmp_path)
    shelf.place("m-fp32.onnx", b"onnx", rejected=False)
    shelf.publish("m", "run", [row("m-fp32.onnx", b"onnx")])
    assert index(tmp_path) == ["m-fp32.onnx", *NAMES]
    assert sums_fit(tmp_path)


def test_a_replaced_file_is_unlisted_until_the_end(tmp_path: Path) -> None:
    shelf = filled(tmp_path)
    shelf.place(NAMES[0], b"new", rejected=False)
    # An export that is killed here leaves this.
    assert index(tmp_path) == [NAMES[1]]
    assert sums_fit(tmp_path)
    shelf.place("m-fp32.onnx", b"onnx", rejected=False)
    shelf.publish("m", "run", [row("m-fp32.onnx", b"onnx")])
    assert sums_fit(tmp_path)
    assert index(tmp_path) == ["m-fp32.onnx", NAMES[1]]


def test_sums_that_a_killed_export_left_behind_are_mended(tmp_path: Path) -> None:
    shelf = filled(tmp_path)
    data = json.loads((tmp_path / INDEX).read_text())
    (tmp_path / INDEX).write_text(json.dumps({**data, "variants": data["variants"][1:]}))
    shelf.place(NAMES[0], b"new", rejected=False)
    assert sums_fit(tmp_path)


def test_a_rejected_file_stands_apart_and_takes_the_old_one_away(tmp_path: Path) -> None:
    shelf = filled(tmp_path)
    path = shelf.place("m-int8.tflite", b"bad", rejected=True)
    assert path == tmp_path / "m-int8.rejected.tflite"
    shelf.publish("m", "run", [])
    assert names(tmp_path) == [SUMS, INDEX, "m-fp32.tflite", "m-int8.rejected.tflite"]
    assert index(tmp_path) == ["m-fp32.tflite"]
    assert sums_fit(tmp_path)


def test_a_good_file_takes_the_rejected_one_away(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.place("m-int8.tflite", b"bad", rejected=True)
    shelf.place("m-int8.tflite", b"good", rejected=False)
    assert names(tmp_path) == ["m-int8.tflite"]


def test_a_file_that_was_deleted_is_forgotten(tmp_path: Path) -> None:
    shelf = filled(tmp_path)
    (tmp_path / NAMES[0]).unlink()
    shelf.publish("m", "run", [])
    assert index(tmp_path) == [NAMES[1]]
    assert sums_fit(tmp_path)


def test_a_draft_goes_away_with_its_folder(tmp_path: Path) -> None:
    with Shelf(tmp_path / "r").draft("m-int8.onnx") as draft:
        draft.write_bytes(b"x")
        assert draft.name == "m-int8.onnx"
        assert draft.parent.parent == tmp_path / "r"
    assert names(tmp_path / "r") == []
    with pytest.raises(KeyboardInterrupt), Shelf(tmp_path / "r").draft("m-int8.onnx") as draft:  # noqa: PT012
        draft.write_bytes(b"x")
        raise KeyboardInterrupt
    assert names(tmp_path / "r") == []


def test_a_file_in_the_way_is_noticed_before_the_work_begins(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "a" / "b"):
        with pytest.raises(OutputError) as caught:
            Shelf(folder).check_free(NAMES, overwrite=True)
        assert str(caught.value) == (
            f"cannot write into {folder}: {tmp_path / 'file'} is not a folder where files may be made\n"
            "Do: choose another place with --out"
        )
    Shelf(tmp_path / "new" / "folder").check_free(NAMES, overwrite=False)
    assert names(tmp_path) == ["file"]


def test_a_disk_that_fills_up_is_no_traceback(tmp_path: Path) -> None:
    full = OSError(28, "No space left on device")
    with pytest.raises(OutputError) as caught, Shelf(tmp_path).draft("m.onnx"):
        raise full
    assert str(caught.value).startswith(f"cannot write into {tmp_path}: No space left on device\nDo: ")
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"variants": 3}', '{"variants": [{}]}', '{"variants": ["x"]}', "\xff"]
)
def test_an_index_that_is_not_ours_is_named_and_kept(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX).write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError) as caught:
        Shelf(tmp_path).check_free(NAMES, overwrite=True)
    assert str(caught.value).startswith(f"{tmp_path / INDEX} cannot be read: ")
    assert "Expected: an index that Edgewise wrote\nDo: choose another --out" in str(caught.value)
    assert (tmp_path / INDEX).read_bytes() == text.encode("latin-1")


def test_rows_that_point_out_of_the_folder_are_dropped(tmp_path: Path) -> None:
    shelf = filled(tmp_path / "release")
    (tmp_path / "outside").write_text("x")
    data = json.loads((tmp_path / "release" / INDEX).read_text())
    data["variants"].append(row("../outside", b"x"))
    (tmp_path / "release" / INDEX).write_text(json.dumps(data))
    shelf.publish("m", "run", [])
    assert index(tmp_path / "release") == NAMES


def test_a_sum_guards_the_file_when_it_is_opened(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.place("m-fp32.onnx", b"one", rejected=False)
    shelf.publish("m", "run", [row("m-fp32.onnx", b"one")])
    (tmp_path / "m-fp32.onnx").write_bytes(b"two")
    with pytest.raises(ModelError, match="is damaged: its SHA-256 is"):
        read_model(tmp_path / "m-fp32.onnx")
