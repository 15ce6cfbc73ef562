"""The composition root: every command, and what happens to their errors."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from edgewise.cli.benchmark import benchmark
from edgewise.cli.console import interrupted, report_error
from edgewise.cli.data import data_app
from edgewise.cli.demo import demo
from edgewise.cli.evaluate import evaluate
from edgewise.cli.export import export_app
from edgewise.cli.inspect import inspect
from edgewise.cli.live import live
from edgewise.cli.live_options import LiveCommand
from edgewise.cli.package import package
from edgewise.cli.predict import predict
from edgewise.cli.train import train
from edgewise.spec.errors import EdgewiseError

app = typer.Typer(
    name="edgewise",
    help="Take an image classifier to the edge: train, export, prove, run, benchmark.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (demo, train, evaluate, predict, live, benchmark, inspect, package):
    app.command(cls=LiveCommand if command is live else None)(command)
app.add_typer(data_app, name="data")
app.add_typer(export_app, name="export")


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # takes as long to import as all commands together

        typer.echo(f"edgewise {version('edgewise')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Take an image classifier to the edge: train, export, prove, run, benchmark."""


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 the user can mend it, 2 usage, 130 stopped by Ctrl-C."""
    try:
        app()
    except EdgewiseError as error:
        report_error(error)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(interrupted())
    except OSError as error:
        # A full disk behind standard output, a folder that vanished: the machine's trouble, not the program's.
        report_error(EdgewiseError(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")))
        sys.exit(1)
