"""``edgewise data check``: what a user sees, and what is written."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from edgewise.cli.data import data_app
from edgewise.spec import DataError, InputError, OutputError


def check(*words: object) -> Result:
    return CliRunner().invoke(data_app, ["check", *map(str, words)])


@pytest.fixture
def photos(signs_folder: Path, tmp_path: Path) -> Path:
    """Drawn signs, of which one stands in two splits, and one file is empty."""
    root = shutil.copytree(signs_folder, tmp_path / "photos")
    drawing = next((root / "train" / "tick").glob("*.jpg"))
    shutil.copy(drawing, root / "test" / "tick" / "copy.jpg")
    (root / "train" / "tick" / "empty.jpg").touch()
    return root


def test_a_table_for_people(photos: Path) -> None:
    result = check(photos)
    assert result.exit_code == 0, result.output
    assert "101 photos in 10 classes; the largest has 1.1 times the photos of the smallest" in result.stdout
    assert ["tick", "6", "2", "3", "11"] in [line.split() for line in result.stdout.splitlines()]
    assert ["width", "80", "px", "80", "px", "80", "px"] in [line.split() for line in result.stdout.splitlines()]
    assert "train/tick/empty.jpg: is empty (0 bytes)" in result.stdout
    assert "[in test, train] train/tick/" in result.stdout
    assert "• photos that cannot be read and would be left out: 1" in result.stdout
    assert "• equal photos in several splits make figures too good: 2 photos in 1 group" in result.stdout


def test_json_for_machines(photos: Path) -> None:
    result = check(photos, "--json")
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    data = json.loads(line)
    assert (data["photos"], data["splits"]) == (101, ["train", "validation", "test"])
    assert {"label": "tick", "photos": {"train": 6, "validation": 2, "test": 3}} in data["classes"]
    assert data["sizes"]["aspect"] == {"min": 1, "median": 1, "max": 1}
    assert [bad["path"] for bad in data["unreadable"]] == ["train/tick/empty.jpg"]
    (group,) = data["exact_duplicates"]
    assert (group["straddles_splits"], group["straddles_classes"]) == (True, False)
    assert data["imbalance"] == pytest.approx(1.1)


def test_what_an_interrupted_check_left_is_replaced(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "look"

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("edgewise.train.contact_sheets.save_contact_sheets", stopped)
        assert check(photos, "--out", out).exit_code != 0
    assert isinstance(check(photos, "--out", out).exception, OutputError)
    assert check(photos, "--out", out, "--overwrite").exit_code == 0
    assert sorted(os.listdir(out)) == ["contact-sheets", "findings.json"]


def test_findings_and_sheets_are_written_once(photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "look"
    assert check(photos, "--out", out).exit_code == 0
    assert len(list((out / "contact-sheets").glob("*.png"))) == 10
    assert json.loads((out / "findings.json").read_text())["photos"] == 101
    again = check(photos, "--out", out)
    assert isinstance(again.exception, OutputError)
    assert again.exception.do == "add --overwrite to replace it, or choose another --out"
    assert check(photos, "--out", out, "--overwrite").exit_code == 0


def test_sheets_do_not_go_among_the_photos(photos: Path) -> None:
    result = check(photos, "--out", photos / "look")
    assert isinstance(result.exception, OutputError)
    assert result.exception.got == f"{photos / 'look'} is inside of the photos in {photos}"
    assert not (photos / "look").exists()


def test_a_csv_file_and_class_names(photos: Path, tmp_path: Path) -> None:
    rows = [f"{path.relative_to(photos)},{path.parent.name}\n" for path in sorted(photos.glob("test/*/*.jpg"))]
    (photos / "some.csv").write_text("path,label\n" + "".join(rows))
    labels = sorted({row.strip().split(",")[1] for row in rows}, reverse=True)
    (tmp_path / "names.txt").write_text("\n".join(labels))
    result = check(photos / "some.csv", "--class-names", tmp_path / "names.txt", "--json")
    assert result.exit_code == 0, result.output
    data = json.loads(result.stdout)
    assert [row["label"] for row in data["classes"]] == labels
    assert data["splits"] == ["all"]


def test_data_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert isinstance(check(tmp_path / "photos").exception, DataError)
    assert isinstance(check(tmp_path / "nowhere").exception, DataError)
    assert isinstance(check(tmp_path / "photos", "--class-names", tmp_path / "no.txt").exception, InputError)
    assert check(tmp_path, "--distance", "64").exit_code == 2


def test_hostile_names_do_not_reach_the_terminal(photos: Path) -> None:
    for name in (b"\x1b[2J\x1b[31m.jpg", b"[bold]x.jpg", b"\xff\n.jpg"):
        (photos / "train" / "tick" / os.fsdecode(name)).touch()
    result = check(photos)
    assert result.exit_code == 0, result.output
    assert "\x1b" not in result.stdout
    assert "train/tick/[bold]x.jpg: is empty (0 bytes)" in result.stdout
    assert r"train/tick/\xff?.jpg: is empty (0 bytes)" in result.stdout
