"""What every command shares: where text goes, how progress looks, how errors and missing parts are told."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

import typer

from edgewise.spec.errors import EdgewiseError, ExtraMissingError
from edgewise.spec.printable import printable
from edgewise.spec.progress import Reporter, Step

EXTRA_OF_MODULE = {
    "h5py": "train",
    "keras": "train",
    "matplotlib": "train",
    "sklearn": "train",
    "tensorflow": "train",
    "tf_keras": "train",
    "yaml": "train",
    "flatbuffers": "export",
    "onnx": "export",
    "tensorflow_model_optimization": "export",
    "tf2onnx": "export",
    "jinja2": "bench",
    "pyarrow": "parquet",
    "segno": "web",
    "starlette": "web",
    "uvicorn": "web",
    "websockets": "web",
}
"""Which extra brings a module. Where one is missing, the extra that the command asks for is named."""


def load(module: str, extra: str) -> ModuleType:
    """Import the part of Edgewise that a command needs.

    Args:
        module: for example ``"edgewise.train.trainer"``.
        extra: the extra that brings what it needs.

    Raises:
        ExtraMissingError: something it needs is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in EXTRA_OF_MODULE:
            raise
        raise ExtraMissingError(extra, missing) from error
    except ExtraMissingError as error:
        raise ExtraMissingError(extra, error.module) from error
    except ImportError as error:
        raise EdgewiseError(
            f"the part '{extra}' is installed and cannot be loaded: {error}", do="install it again"
        ) from error


def command_line(*words: object) -> str:
    """A command that can be typed as it is: with the program as it was called now, and quoted."""
    program = "edgewise" if shutil.which("edgewise") else sys.argv[0]
    return shlex.join([program, *map(str, words)])


def visible(text: object) -> str:
    """Text that may have several lines, without anything that steers a terminal."""
    return printable(str(text), keep="\n\t")


def report_error(error: EdgewiseError) -> None:
    """Print an error for a person, on standard error, without a traceback."""
    typer.echo(f"{typer.style('error:', fg='red', bold=True)} {visible(error)}", err=True)


class ConsoleReporter:
    """Shows progress on standard error: bars on a terminal, and otherwise a line now and then."""

    def say(self, message: str) -> None:
        """Print one line."""
        typer.echo(visible(message), err=True)

    @contextmanager
    def task(self, name: str, total: int | None) -> Iterator[Step]:
        """Show a bar with rate and remaining time, where standard error is a terminal."""
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            Task,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.text import Text

        class Rate(ProgressColumn):
            """How many a second, as far as that is known when it is drawn."""

            def render(self, task: Task) -> Text:
                speed = task.finished_speed or task.speed
                return Text(f"{speed:.{0 if speed >= 10 else 1}f}/s" if speed else "")

        console = Console(stderr=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            Rate(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(escape(name), total=total, note="")

            def step(done: int = 1, note: str = "") -> None:
                progress.update(task, advance=done, note=escape(note))

            yield step


def make_streams_usable() -> None:
    """Let nothing fail because a standard stream is closed (``>&-``), or cannot write every letter (Latin-1)."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:  # noqa: PERF203 - three times
            # The lowest that is free is taken, which is this one.
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
        elif stream.encoding.lower().replace("-", "") != "utf8":
            stream.reconfigure(errors="backslashreplace")


def reporter() -> Reporter:
    """The reporter of the command line."""
    return ConsoleReporter()


def interrupted(hint: str = "") -> int:
    """Tell that Ctrl-C was heard; returns the exit code for it."""
    typer.echo(f"\nstopped{': ' + hint if hint else ''}", err=True)
    sys.stderr.flush()
    return 130
