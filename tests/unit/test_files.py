"""Files that are whole or absent, and what is never overwritten."""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path

import pytest

from edgewise.spec import OutputError
from edgewise.spec.files import path_text, refuse_overwrite, replacing, sha256, sha256_file, write_bytes, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_with_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.txt"
    write_text(path, "grün\n")
    assert path.read_bytes() == "grün\n".encode()
    assert names(path.parent) == ["file.txt"]


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    write_bytes(path, b"old")
    with replacing(path) as temporary:
        assert temporary.parent == path.parent
        assert temporary.suffix == ".tflite"
        temporary.write_bytes(b"half of the n")
        assert path.read_bytes() == b"old"
        temporary.write_bytes(b"new")
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["model.tflite"]


@pytest.mark.parametrize("failure", [ValueError("bad"), KeyboardInterrupt()])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path, failure: BaseException) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with pytest.raises(type(failure)), replacing(path) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        raise failure
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_full_disk_is_an_output_error_and_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    full = OSError(28, os.strerror(28))
    with pytest.raises(OutputError) as caught, replacing(path) as temporary:  # noqa: PT012
        temporary.write_bytes(b"half")
        raise full
    assert str(caught.value) == (
        f"cannot write {path}: No space left on device\nDo: free some space or choose another place with --out"
    )
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(OutputError, match=r"cannot write .*notes/out\.json"):
        write_text(tmp_path / "notes" / "out.json", "{}")
    assert (tmp_path / "notes").read_text() == "mine"


def test_a_folder_in_the_way_of_a_file_is_named_and_leaves_no_litter(tmp_path: Path) -> None:
    (tmp_path / "out.json").mkdir()
    with pytest.raises(OutputError, match=r"cannot write .*out\.json"):
        write_text(tmp_path / "out.json", "{}")
    assert names(tmp_path) == ["out.json"]


def test_a_written_file_has_the_permissions_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "usual").touch()
    write_bytes(tmp_path / "ours", b"")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "ours")]
    assert modes[0] == modes[1]


def test_digests_are_those_of_hashlib_whatever_the_length(tmp_path: Path) -> None:
    for content in (b"", b"x", os.urandom((1 << 20) + 1)):
        (tmp_path / "file").write_bytes(content)
        expected = hashlib.sha256(content).hexdigest()
        assert sha256(content) == sha256_file(tmp_path / "file") == expected


def test_any_path_can_be_printed() -> None:
    assert path_text("grün/a.jpg") == path_text(Path("grün/a.jpg")) == "grün/a.jpg"
    assert path_text(os.fsdecode(b"\xff/a.jpg")) == r"\xff/a.jpg"


# What is never overwritten


def test_what_is_not_there_may_be_written(tmp_path: Path) -> None:
    asked: list[Path] = []
    refuse_overwrite(tmp_path / "no", overwrite=False)
    refuse_overwrite(tmp_path, overwrite=False, is_ours=lambda folder: bool(asked.append(folder)))
    assert asked == []  # an empty folder is nobody's


def test_what_exists_needs_overwrite(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as caught:
        refuse_overwrite(tmp_path / "file", overwrite=False)
    assert str(caught.value) == (
        f"{tmp_path / 'file'} exists already\nDo: add --overwrite to replace it, or choose another --out"
    )
    refuse_overwrite(tmp_path / "file", overwrite=True)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_ours_is_refused_even_with_overwrite(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputError) as caught:
        refuse_overwrite(tmp_path, overwrite=overwrite, is_ours=lambda folder: (folder / "mark").exists())
    assert str(caught.value) == (
        f"{tmp_path} exists and was not made by this command\nDo: choose another place with --out; nothing was changed"
    )
