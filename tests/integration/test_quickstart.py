"""The quickstart notebook: from top to bottom on a small network, and its first half on a folder of one's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from ipykernel.kernelspec import write_kernel_spec
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).resolve().parents[2] / "train" / "quickstart.ipynb"
VARIANTS = ("fp32.tflite", "int8.tflite", "fp32.onnx", "int8.onnx")


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a kernel that is this interpreter, found without anything of the user's or the system's."""
    write_kernel_spec(tmp_path / "jupyter" / "kernels" / "edgewise-test")
    for name in ("JUPYTER_PATH", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))
    monkeypatch.setenv("EDGEWISE_QUICKSTART", "small")
    return "edgewise-test"


def execute(notebook: Any, kernel: str, folder: Path) -> dict[str, list[Any]]:
    """Run the cells in order in ``folder``; gives the outputs of each code cell by its id."""
    folder.mkdir()
    client = NotebookClient(notebook, timeout=500, kernel_name=kernel, resources={"metadata": {"path": str(folder)}})
    client.execute()
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def read_notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def texts(outputs: list[Any]) -> str:
    """Everything that a cell shows as text."""
    shown = [output.data.get("text/markdown", "") for output in outputs if "data" in output]
    return "\n".join([*shown, *(output.text for output in outputs if output.output_type == "stream")])


def pictures(outputs: list[Any]) -> int:
    return sum("image/png" in output.data for output in outputs if "data" in output)


def test_it_runs_from_top_to_bottom(tmp_path: Path, kernel: str) -> None:
    outputs = execute(read_notebook(), kernel, tmp_path / "work")
    # Nothing is red: neither a traceback nor a line on standard error.
    assert [output for shown in outputs.values() for output in shown if output.get("name") == "stderr"] == []
    assert outputs["install"] == []
    assert "| star | 10 |" in texts(outputs["look"])
    assert "epoch 1/1: loss" in texts(outputs["train"])
    assert re.search(r"\*\*Accuracy: \d+\.\d%\*\* of 20 test photos", texts(outputs["evaluate"]))
    assert re.search(r"\d+ of 20 answers are wrong", texts(outputs["mistakes"]))
    assert "report.html" in str(outputs["mistakes"])
    assert all(f"quickstart-{variant} |" in texts(outputs["export"]) for variant in VARIANTS)
    shown = {name: pictures(some) for name, some in outputs.items() if pictures(some)}
    assert shown == {"look-photos": 1, "sheets": 1, "evaluate": 2, "mistakes": 1, "predict": 1}

    made = tmp_path / "work" / "edgewise-quickstart"
    assert sorted(path.name for path in made.iterdir()) == ["contact-sheets", "release", "run", "signs"]
    assert (made / "run" / "report.html").is_file()
    assert {f"quickstart-{variant}" for variant in VARIANTS} <= {path.name for path in (made / "release").iterdir()}


def test_own_photos_are_taken_where_they_are(signs_folder: Path, tmp_path: Path, kernel: str) -> None:
    notebook = read_notebook()
    before = [cell.id for cell in notebook.cells].index("train")
    notebook.cells = notebook.cells[:before]
    settings = next(cell for cell in notebook.cells if cell.id == "settings")
    assert settings.source.count("DATA = None") == 1
    settings.source = settings.source.replace("DATA = None", f"DATA = {str(signs_folder)!r}")
    outputs = execute(notebook, kernel, tmp_path / "work")
    assert str(signs_folder) in texts(outputs["load"])
    assert "| star | 10 |" in texts(outputs["look"])
    assert not (tmp_path / "work" / "edgewise-quickstart" / "signs").exists()
    assert len(list((tmp_path / "work" / "edgewise-quickstart" / "contact-sheets").iterdir())) == 10


def test_it_is_kept_without_outputs() -> None:
    cells = [cell for cell in read_notebook().cells if cell.cell_type == "code"]
    assert [cell.id for cell in cells if cell.outputs or cell.execution_count is not None] == []


def test_its_commands_exist(edgewise: Any, capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"^\$ edgewise (\w+) ([^#\n]*)", read_notebook().cells[-1].source, flags=re.MULTILINE)
    assert [command for command, _ in commands] == ["benchmark", "live", "predict", "train"]
    for command, rest in commands:
        assert edgewise(command, "--help") == 0
        known = capsys.readouterr().out
        assert [option for option in re.findall(r"--[a-z-]+", rest) if option not in known] == [], command
