"""What every command shares: errors, missing parts, progress."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from edgewise.cli.console import EXTRA_OF_MODULE, command_line, interrupted, load, report_error, reporter
from edgewise.spec import EdgewiseError, ExtraMissingError, ModelError
from edgewise.spec.progress import Silent


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the import path."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_an_error_goes_to_standard_error_whole(capsys: pytest.CaptureFixture[str]) -> None:
    report_error(ModelError("clothes.onnx is empty", "a model", "export it again"))
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "error: clothes.onnx is empty\nExpected: a model\nDo: export it again\n"


def test_an_error_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    report_error(ModelError("[red]x[/red] {0} %s"))
    assert capsys.readouterr().err == "error: [red]x[/red] {0} %s\n"


def test_a_name_that_is_not_utf8_can_be_told() -> None:
    code = "import sys; from edgewise.cli.main import main; sys.exit(main())"
    photo = Path(__file__).parent.parent / "data" / "red.png"
    command = [sys.executable, "-c", code, "predict", b"\xff.onnx", str(photo)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("error: ")
    assert "ff.onnx does not exist\n" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_name_of_a_file_does_not_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    report_error(ModelError("x\x1b[2J\x07.onnx does not exist\nand more"))
    reporter().say("\x9b31mred")
    assert capsys.readouterr().err == "error: x\\x1b[2J\\x07.onnx does not exist\nand more\n\\x9b31mred\n"


@pytest.mark.parametrize("closing", ["", ">&-", "2>&-", "<&-", ">&- 2>&-"])
def test_standard_streams_may_be_closed_or_know_few_letters(tmp_path: Path, closing: str) -> None:
    data = Path(__file__).parent.parent / "data"
    code = "import sys; from edgewise.cli.main import main; sys.exit(main())"
    words = ["predict", str(data / "tiny.tflite"), str(data / "red.png")]
    command = (
        f"{shlex.join([sys.executable, '-c', code, *words])} {closing}; echo $? >{shlex.quote(str(tmp_path / 'rc'))}"
    )
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, timeout=120, check=True, env=environment
    )
    assert (tmp_path / "rc").read_text() == "0\n"
    assert "Traceback" not in result.stderr
    assert ("red" in result.stdout) is (">&-" not in closing.split()[:1])


def test_help_is_written_where_few_letters_are_known() -> None:
    code = "import sys; from edgewise.cli.main import main; sys.exit(main())"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(
        [sys.executable, "-c", code, "predict", "--help"],
        capture_output=True,
        timeout=120,
        check=False,
        env=environment,
    )
    assert result.returncode == 0, result.stderr
    assert b"--top-k" in result.stdout


# Parts that are not installed


def test_a_part_that_is_there_is_imported() -> None:
    assert load("edgewise.spec.digest", "train").__name__ == "edgewise.spec.digest"


@pytest.mark.parametrize("module", sorted(EXTRA_OF_MODULE))
def test_a_missing_module_names_the_extra_that_the_command_needs(
    modules: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    (modules / "part_of_it.py").write_text(f"import {module}.inner\n")
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "part_of_it", raising=False)
    with pytest.raises(ExtraMissingError) as caught:
        load("part_of_it", "all")
    assert (caught.value.extra, caught.value.module) == ("all", module)
    assert "Do: pip install 'edgewise[all]'" in str(caught.value)


def test_a_part_that_says_itself_what_is_missing(modules: Path) -> None:
    (modules / "says_it.py").write_text(
        "from edgewise.spec import ExtraMissingError\nraise ExtraMissingError('train', 'tensorflow')\n"
    )
    with pytest.raises(ExtraMissingError) as caught:
        load("says_it", "export")
    assert (caught.value.extra, caught.value.module) == ("export", "tensorflow")


def test_a_part_that_is_there_and_broken_is_not_called_missing(modules: Path) -> None:
    (modules / "broken.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')\n")
    with pytest.raises(EdgewiseError) as caught:
        load("broken", "train")
    assert not isinstance(caught.value, ExtraMissingError)
    assert str(caught.value) == (
        "the part 'train' is installed and cannot be loaded: libGL.so.1: cannot open shared object file\n"
        "Do: install it again"
    )


def test_a_mistake_of_ours_is_not_blamed_on_an_extra(modules: Path) -> None:
    (modules / "mistaken.py").write_text("import no_such_module_of_ours\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_module_of_ours") as caught:
        load("mistaken", "train")
    assert not isinstance(caught.value, ExtraMissingError)


# Progress


def test_where_nobody_watches_a_terminal_lines_are_said_and_no_bars_are_drawn(
    capsys: pytest.CaptureFixture[str],
) -> None:
    listener = reporter()
    listener.say("reading [all] of it")
    with listener.task("drawing [bold]", 3) as step:
        for _ in range(3):
            step()
            step(0, note="[loss] 0.5")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("reading [all] of it\n")
    assert "\x1b[" not in captured.err


@pytest.mark.parametrize("total", [0, 1])
def test_a_task_may_be_empty_and_may_fail(total: int) -> None:
    for listener in (reporter(), Silent()):
        with listener.task("nothing", total):
            pass
        with pytest.raises(ValueError, match="inside"), listener.task("fails", total) as step:  # noqa: PT012
            step(1, "note")
            raise ValueError("inside")


def test_a_command_can_be_typed_as_it_is_printed() -> None:
    words = shlex.split(command_line("predict", Path("my models") / "m.onnx", "--top-k", 1))
    assert words[1:] == ["predict", "my models/m.onnx", "--top-k", "1"]


def test_ctrl_c_is_told_with_what_to_do_next(capsys: pytest.CaptureFixture[str]) -> None:
    assert interrupted("run it again") == interrupted() == 130
    captured = capsys.readouterr()
    assert captured.err == "\nstopped: run it again\n\nstopped\n"
    assert captured.out == ""


def test_the_exit_code_is_one_and_there_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from edgewise.cli.main import main

    (tmp_path / "x.jpg").touch()
    monkeypatch.setattr(sys, "argv", ["edgewise", "predict", str(tmp_path / "no.tflite"), str(tmp_path / "x.jpg")])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {tmp_path / 'no.tflite'} does not exist\nExpected: ")
    assert "Traceback" not in captured.err


def test_ctrl_c_anywhere_gives_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from edgewise.cli import main as module

    app = typer.Typer()

    @app.command()
    def work() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "make_app", lambda *_: app)
    monkeypatch.setattr(sys, "argv", ["edgewise"])
    with pytest.raises(SystemExit) as stopped:
        module.main()
    assert stopped.value.code == 130
    assert "Traceback" not in capsys.readouterr().err
