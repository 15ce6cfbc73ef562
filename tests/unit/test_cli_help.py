"""The command line from outside: what it imports, its exit codes, and what it says when an extra is missing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

HEAVY = ("numpy", "cv2", "onnxruntime", "ai_edge_litert", "tensorflow", "tf_keras", "keras", "onnx", "matplotlib")
FRAMEWORKS = ("tensorflow", "tf_keras", "keras", "onnx", "tf2onnx", "tensorflow_model_optimization")

# Runs the command line in an interpreter of its own. The first argument names modules that cannot be imported there;
# the last line of stderr says which of the heavy modules were.
PROBE = f"""
import sys

blocked = sys.argv[1].split(",")

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Blocker())
sys.argv = ["edgewise", *sys.argv[2:]]
from edgewise.cli.main import main
try:
    code = main()
except SystemExit as stop:
    code = stop.code
print("imported:", *sorted({set(HEAVY)!r} & set(sys.modules)), file=sys.stderr)
sys.exit(code)
"""


def edgewise(*words: str, without: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROBE, ",".join(without), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def commands(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """Yields the words of every command of the application, groups included."""
    yield path
    for name, child in getattr(command, "commands", {}).items():
        yield from commands(child, *path, name)


def test_no_help_page_imports_anything_heavy() -> None:
    from edgewise.cli.main import app

    pages = list(commands(typer.main.get_command(app)))
    assert ("export", "release") in pages
    for page in pages:
        result = edgewise(*page, "--help")
        assert result.returncode == 0, (page, result.stderr)
        assert "Usage" in result.stdout, page
        assert result.stderr.splitlines() == ["imported:"], page


@pytest.mark.parametrize("words", [("paint",), ("export", "paint"), ("predict", "--paint"), ("train",)])
def test_wrong_usage_exits_with_2(words: tuple[str, ...]) -> None:
    result = edgewise(*words)
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Usage" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("train", "x"), "train"),
        (("train", "x", "--out", "run"), "train"),
        (("export", "tflite", "x"), "export"),
        (("export", "onnx", "x"), "export"),
        (("export", "release", "x"), "export"),
    ],
)
def test_a_missing_extra_is_named_with_its_install_line(words: tuple[str, ...], extra: str) -> None:
    result = edgewise(*words, without=FRAMEWORKS)
    assert result.returncode == 1
    assert result.stdout == ""
    assert f"pip install 'edgewise[{extra}]'" in result.stderr
    assert "Traceback" not in result.stderr
