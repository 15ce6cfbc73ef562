"""Class names from text files, and how they fit a network's output."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgewise.runtime.labels import class_names, fit_labels, read_labels
from edgewise.spec import InputError, ModelError


def stored(folder: Path, content: bytes) -> Path:
    (folder / "labels.txt").write_bytes(content)
    return folder / "labels.txt"


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (b"cat\ndog\n", ("cat", "dog")),
        (b"\xef\xbb\xbfcat\r\ndog\r\n\r\n\n", ("cat", "dog")),
        ("Käse, alt\n  猫 ".encode(), ("Käse, alt", "猫")),
        (b"crane\ndog\ncrane", ("crane (0)", "dog", "crane (2)")),
    ],
)
def test_a_name_a_line(tmp_path: Path, content: bytes, names: tuple[str, ...]) -> None:
    assert read_labels(stored(tmp_path, content)) == names


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", " has 0 lines"),
        (b"cat\n\n\n", " has 1 lines"),
        (b"cat\n\ndog", ": line 2 is ''"),
        (b"cat\nd\x1bog", ": line 2 is 'd\\x1bog'"),
        (b"cat\n\xff\xfe", " is not UTF-8"),
    ],
)
def test_what_is_no_list_of_names(tmp_path: Path, content: bytes, problem: str) -> None:
    path = stored(tmp_path, content)
    with pytest.raises(InputError) as caught:
        read_labels(path)
    assert caught.value.got == f"--labels {path}{problem}"
    assert "class name" in caught.value.expected


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_labels(tmp_path / "none.txt")
    assert str(caught.value) == (
        f"--labels {tmp_path / 'none.txt'} cannot be read: No such file or directory\n"
        "Expected: a text file (UTF-8) with one class name a line, in the order of the network's output"
    )


def test_a_thousand_names_for_1001_classes_leave_the_background_out() -> None:
    names = class_names([f"class {number}" for number in range(1000)], "it")
    assert fit_labels(names, 1000, "it") == (names, False)
    assert fit_labels(names, 1001, "it") == (names, True)
    assert fit_labels(("background", *names), 1001, "it") == (("background", *names), False)
    assert fit_labels(("background", *names), 1000, "it") == (names, False)


@pytest.mark.parametrize("classes", [2, 4])
def test_any_other_difference_is_an_error(classes: int) -> None:
    with pytest.raises(ModelError) as caught:
        fit_labels(("a", "b", "c"), classes, "--labels l.txt")
    assert str(caught.value) == (
        f"--labels l.txt has 3 names, and the network gives {classes} numbers\nExpected: {classes} names, one a line\n"
        "Do: give the list of labels that the network was trained with"
    )
