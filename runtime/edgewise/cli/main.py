"""The composition root: every command, and what happens to their errors."""

from __future__ import annotations

import sys
import threading
import traceback
from importlib import import_module
from typing import Annotated

import typer

from edgewise.cli.console import interrupted, make_streams_usable, report_error
from edgewise.spec.errors import EdgewiseError

COMMANDS = ("demo", "train", "evaluate", "predict", "live", "benchmark", "compare", "inspect", "package")
"""In the order of the help. Each is a function in the module of its name."""

GROUPS = ("data", "export")
"""The same, of commands that have commands: ``data_app`` in the module ``data``."""


def make_app(wanted: str | None = None) -> typer.Typer:
    """All commands; or, because the others take as long to import as many a command to run, only the one wanted."""
    app = typer.Typer(
        name="edgewise",
        help="Take an image classifier to the edge: train, export, prove, run, benchmark.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    every = wanted not in (*COMMANDS, *GROUPS)
    for name in COMMANDS:
        if every or name == wanted:
            command = getattr(import_module(f"edgewise.cli.{name}"), name)
            app.command(cls=_class_of(name))(command)
    for name in GROUPS:
        if every or name == wanted:
            app.add_typer(getattr(import_module(f"edgewise.cli.{name}"), f"{name}_app"), name=name)
    return app


def _class_of(name: str) -> type[typer.core.TyperCommand] | None:
    if name != "live":
        return None
    from edgewise.cli.live_options import LiveCommand

    return LiveCommand


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # takes as long to import as all commands together

        typer.echo(f"edgewise {version('edgewise')}")
        raise typer.Exit


def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take an image classifier to the edge: train, export, prove, run, benchmark."""


def __getattr__(name: str) -> typer.Typer:
    """``app``, with all commands."""
    if name == "app":
        return make_app()
    raise AttributeError(name)


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 the user can mend it, 2 usage, 130 stopped by Ctrl-C."""
    make_streams_usable()
    try:
        _run()
    except BaseException as error:
        if threading.active_count() > 1:
            from edgewise.runtime.aside import leave

            if not isinstance(error, SystemExit):
                traceback.print_exc()
            leave(error.code if isinstance(error, SystemExit) and isinstance(error.code, int) else 1)
        raise


def _run() -> None:
    """Run the command and raise SystemExit, whatever comes of it."""
    try:
        make_app(*sys.argv[1:2])()
    except EdgewiseError as error:
        report_error(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(interrupted())
    except OSError as error:
        # A full disk behind standard output, a folder that vanished: the machine's trouble, not the program's.
        report_error(EdgewiseError(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")))
        sys.exit(1)
