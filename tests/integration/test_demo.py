"""``edgewise demo --quick`` from outside: everything it promises is there, and what it says to type next works."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = (sys.executable, "-c", "import sys; from edgewise.cli.main import main; sys.exit(main())")
# As after activating the environment: the program is found by its name.
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
SIGNS = {"arrow-down", "arrow-left", "arrow-right", "arrow-up", "heart", "moon", "plus", "spiral", "star", "tick"}


def edgewise(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *words], cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=500, check=False
    )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder with the demo in ``demo``, and what was said."""
    folder = tmp_path_factory.mktemp("home")
    return folder, edgewise("demo", "--quick", "--out", "demo", cwd=folder)


def test_it_ends_well_and_says_what_it_does(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, result = demo
    assert result.returncode == 0, result.stderr
    assert re.findall(r"^\[(./4)\]", result.stderr, re.MULTILINE) == ["1/4", "2/4", "3/4", "4/4"]
    assert "They are drawn by this program, not photographed." in result.stderr
    assert "Traceback" not in result.stderr
    assert [path.name for path in folder.iterdir()] == ["demo"]


def test_everything_is_there(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    out = demo[0] / "demo"
    assert {path.name for path in (out / "signs" / "test").iterdir()} == SIGNS
    assert len(list((out / "signs" / "test").rglob("*.jpg"))) == 200
    assert (out / "run" / "model.weights.h5").is_file()
    assert (out / "run" / "learning_curves.png").is_file()
    files = {row["file"] for row in json.loads((out / "release" / "index.json").read_text())["variants"]}
    assert files == {f"signs-{scheme}.{suffix}" for scheme in ("fp32", "int8") for suffix in ("tflite", "onnx")}
    assert all((out / "release" / name).is_file() for name in files)
    assert "<html" in (out / "report" / "report.html").read_text(encoding="utf-8")


def test_the_report_measures_every_file_and_the_network(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    text = (demo[0] / "demo" / "report" / "results.json").read_text()
    assert {"signs-int8.tflite", "signs-fp32.onnx"} <= set(re.findall(r"signs-\w+\.\w+", text))
    assert "keras" in text


def test_what_it_says_to_type_next_works(demo: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, result = demo
    hint = re.compile(r"^  (report|some drawings|your webcam|your photos): +(.*)$", re.MULTILINE)
    commands = dict(hint.findall(result.stderr))
    assert set(commands) == {"report", "some drawings", "your webcam", "your photos"}
    assert (folder / commands["report"]).is_file()
    program, *words = shlex.split(commands["some drawings"])
    assert (program, words[0]) == ("edgewise", "predict")
    assert shlex.split(commands["your photos"])[:2] == ["edgewise", "train"]
    predicted = edgewise(*words, "--json", cwd=folder)
    assert predicted.returncode == 0, predicted.stderr
    rows = [json.loads(line) for line in predicted.stdout.splitlines()]
    assert len(rows) == 20
    assert {row["label"] for row in rows} <= SIGNS | {"unknown"}
    assert commands["your webcam"].startswith("edgewise live demo/release/signs-int8.tflite ")


@pytest.mark.parametrize("words", [(), ("--overwrite",)])
def test_a_folder_of_something_else_is_never_touched(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("mine")
    result = edgewise("demo", "--quick", "--out", "thesis", *words, cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr == (
        "error: thesis exists and was not made by this command\n"
        "Do: choose another place with --out; nothing was changed\n"
    )
    assert [path.name for path in (tmp_path / "thesis").iterdir()] == ["chapter.tex"]


def test_an_earlier_demo_is_replaced_only_when_asked_for(tmp_path: Path) -> None:
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / ".edgewise-demo").touch()
    result = edgewise("demo", "--quick", "--out", "demo", cwd=tmp_path)
    assert result.returncode == 1
    assert "demo exists already\nDo: add --overwrite to replace it" in result.stderr
    assert [path.name for path in (tmp_path / "demo").iterdir()] == [".edgewise-demo"]
