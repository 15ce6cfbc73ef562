"""``edgewise export tflite|onnx|release``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.console import command_line, interrupted, load, reporter
from edgewise.spec.manifest import Format, Scheme

if TYPE_CHECKING:
    from collections.abc import Sequence

export_app = typer.Typer(help="Convert a run to model files, and prove each on held-out photos.", no_args_is_help=True)

RunFolder = Annotated[Path, typer.Argument(help="A run folder that `edgewise train` made.", show_default=False)]
Out = Annotated[Path | None, typer.Option(help="Folder for the files.", show_default="RUN/release")]
Quantize = Annotated[
    list[Scheme] | None, typer.Option(help="Scheme to make; may be given more than once.", show_default="all")
]
Data = Annotated[Path | None, typer.Option(help="Where the run's photos are now.", show_default="where they were")]
MaxDrop = Annotated[float, typer.Option(help="Points of top-1 that a quantized file may lose.", min=0, max=100)]
Name = Annotated[str | None, typer.Option(help="First part of the file names.", show_default="the run folder's name")]
Threads = Annotated[int | None, typer.Option(help="CPU threads.", min=1, show_default="all cores")]
Jobs = Annotated[
    int, typer.Option(help="Formats to make at the same time; 2 is faster and takes twice the memory.", min=1, max=2)
]
Json = Annotated[bool, typer.Option("--json", help="Print what was made as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that are there.")]


@export_app.command("tflite")
def export_tflite(
    run: RunFolder, out: Out = None, quantize: Quantize = None, data: Data = None, max_drop: MaxDrop = 1.0,
    name: Name = None, threads: Threads = None, as_json: Json = False, overwrite: Overwrite = False,
) -> None:  # fmt: skip
    """Make TFLite files."""
    _export([Format.TFLITE], run, out, quantize, data, max_drop, name, threads, as_json, overwrite)


@export_app.command("onnx")
def export_onnx(
    run: RunFolder, out: Out = None, quantize: Quantize = None, data: Data = None, max_drop: MaxDrop = 1.0,
    name: Name = None, threads: Threads = None, as_json: Json = False, overwrite: Overwrite = False,
) -> None:  # fmt: skip
    """Make ONNX files."""
    _export([Format.ONNX], run, out, quantize, data, max_drop, name, threads, as_json, overwrite)


@export_app.command("release")
def export_release(
    run: RunFolder, out: Out = None, quantize: Quantize = None, data: Data = None, max_drop: MaxDrop = 1.0,
    name: Name = None, threads: Threads = None, jobs: Jobs = 1, as_json: Json = False, overwrite: Overwrite = False,
) -> None:  # fmt: skip
    """Make files of both formats, with an index and checksums."""
    _export(list(Format), run, out, quantize, data, max_drop, name, threads, as_json, overwrite, jobs)


def _export(
    formats: Sequence[Format], run: Path, out: Path | None, quantize: list[Scheme] | None, data: Path | None,
    max_drop: float, name: str | None, threads: int | None, as_json: bool, overwrite: bool, jobs: int = 1,
) -> None:  # fmt: skip
    release = load("edgewise.export.release", "export")
    request = release.Request(
        run=run, out=out or run / "release", name=name or run.resolve().name,
        variants=release.variants(formats, quantize or list(Scheme)), data=data, max_drop=max_drop,
        overwrite=overwrite, threads=threads, jobs=jobs,
    )  # fmt: skip
    try:
        exported = release.export(request, reporter())
    except KeyboardInterrupt:
        raise typer.Exit(interrupted("no half-written file was left; run it again with --overwrite")) from None
    if as_json:
        typer.echo(release.as_json(exported))
    else:
        _print(exported)
        typer.echo("next: " + command_line("benchmark", request.out, "--data", "DATA", "--out", "REPORT"), err=True)


def _print(exported: Any) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    table = Table(Column("file", overflow="fold"), box=None, header_style="bold")
    for column in ("MB", "top-1", "drop", "agreement", "max. difference"):
        table.add_column(column, justify="right")
    for item in exported:
        accuracy, parity = item.verdict.accuracy, item.verdict.parity
        table.add_row(
            escape(item.path.name), f"{item.bytes / 1e6:.1f}", f"{accuracy.top1:.2%}", f"{item.verdict.drop:+.2f}",
            f"{parity.agreement:.2%}", f"{parity.max_difference:.4f}",
        )  # fmt: skip
    Console().print(table)
