"""`edgewise inspect` as a command: what it prints of run folders, its JSON, what it needs, and what it refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from math import prod
from pathlib import Path

import pytest

from edgewise.runtime.inspection import Inspection

DATA = Path(__file__).parent.parent / "data"


@pytest.fixture
def edgewise(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a command line in this process; gives its exit code."""
    from edgewise.cli.main import main

    def run(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["edgewise", *map(str, words)])
        try:
            main()
        except SystemExit as stopped:
            return int(stopped.code or 0)
        return 0

    return run


def test_json_has_the_documented_keys(edgewise: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    documented = Inspection.to_data.__doc__ or ""
    for name in ("tiny.tflite", "tiny.onnx"):
        assert edgewise("inspect", DATA / name, "--json", "--graph") == 0
        data = json.loads(capsys.readouterr().out)
        assert [key for key in data if f"``{key}``" not in documented] == []
        assert data["inputs"][0]["shape"] == [1 if name == "tiny.tflite" else None, 32, 32, 3]
        assert prod(data["outputs"][0]["shape"][1:]) == 3
        assert [node["index"] for node in data["graph"]] == list(range(6))


def test_a_board_without_the_training_parts_can_inspect() -> None:
    code = f"""
import sys
from pathlib import Path
from edgewise.runtime.inspection import inspect_file
for name in ("tiny.tflite", "tiny.onnx"):
    inspect_file(Path({str(DATA)!r}) / name).to_data(graph=True)
print(sorted({{"tensorflow", "tf_keras", "keras", "onnx", "h5py"}} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.stdout == "[]\n", result.stderr


def test_a_run_folder(tmp_path: Path, edgewise: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    from edgewise.train.architecture import Architecture
    from edgewise.train.backbones import BACKBONES
    from edgewise.train.recipe import Recipe
    from edgewise.train.run import Config

    known = BACKBONES["mobilenet_v3_small"]
    architecture = Architecture(3, known.image_size, {}, backbone=known.name)
    config = Config(architecture, Recipe(weights="none"), Path("photos"), "0" * 64, None)
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    (tmp_path / "labels.txt").write_text("a\nb\nc\x1b[2J\n")
    (tmp_path / "photos.csv").write_text("path,label,split,sha256\n")
    assert edgewise("inspect", tmp_path) == 0
    text = capsys.readouterr().out
    assert f"run           {tmp_path}, not finished\n" in text
    assert "labels        3: a, b, c\\x1b[2J\n" in text
    assert "weights file  none yet\n" in text
    figures = {"split": "test", "photos": 20, "top1": 0.75, "top5": 1, "macro_f1": 0.7}
    (tmp_path / "metrics.json").write_text(json.dumps(figures))
    assert edgewise("inspect", tmp_path, "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert data["metrics"] == figures
    assert data["macs"] == known.macs + 3 * known.features
    assert data["parameters"] == known.parameters + 3 * known.features + 3
    (tmp_path / "metrics.json").write_text('{"top1": "much"}')
    assert edgewise("inspect", tmp_path) == 1
    assert "metrics.json lacks figures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "message"), [("no.onnx", "does not exist"), ("", "is a folder"), ("m.h5", "is a Keras file")]
)
def test_what_is_no_model_is_refused(
    tmp_path: Path, name: str, message: str, edgewise: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.h5").write_bytes(b"x")
    assert edgewise("inspect", tmp_path / name) == 1
    out, err = capsys.readouterr()
    assert message in err
    assert out == ""
