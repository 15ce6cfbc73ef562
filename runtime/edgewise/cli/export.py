"""``edgewise export tflite|onnx|release``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.console import command_line, interrupted, load, reporter
from edgewise.spec.manifest import Format, Scheme
from edgewise.spec.opening import MOST_THREADS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

export_app = typer.Typer(help="Convert a run to model files, and prove each on held-out photos.", no_args_is_help=True)

RunFolder = Annotated[Path, typer.Argument(help="A run folder that `edgewise train` made.", show_default=False)]
Out = Annotated[Path | None, typer.Option(help="Folder for the files.", show_default="RUN/release")]
Quantize = Annotated[
    list[Scheme] | None,
    typer.Option(help="Scheme to make; may be given more than once.", show_default="fp32, fp16, dynamic, int8"),
]
Data = Annotated[Path | None, typer.Option(help="Where the run's photos are now.", show_default="where they were")]
MaxDrop = Annotated[float, typer.Option(help="Points of top-1 that a quantized file may lose.", min=0, max=100)]
Name = Annotated[str | None, typer.Option(help="First part of the file names.", show_default="the run folder's name")]
Prune = Annotated[
    float | None, typer.Option(help="Share of the weights that become zero, by fine-tuning.", show_default="none")
]
Pattern = Annotated[
    str | None, typer.Option(help="2:4: two zeros among each four weights, for hardware that skips them.")
]
Cluster = Annotated[
    int | None, typer.Option(help="Different weights in each layer, by fine-tuning.", show_default="any")
]
HeldOut = Annotated[int | None, typer.Option(help="Held-out photos at most for the proof.", min=1, show_default="all")]
Threads = Annotated[int | None, typer.Option(help="CPU threads.", min=1, max=MOST_THREADS, show_default="all cores")]
Json = Annotated[bool, typer.Option("--json", help="Print what was made as JSON.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Make and replace files that are there.")]


def _command(formats: Sequence[Format]) -> Callable[..., None]:
    """The command that makes files of some formats; all of them have the same options."""

    def command(
        run: RunFolder, out: Out = None, quantize: Quantize = None, prune: Prune = None, pattern: Pattern = None,
        cluster: Cluster = None, data: Data = None, max_drop: MaxDrop = 1.0, held_out: HeldOut = None,
        name: Name = None, threads: Threads = None, as_json: Json = False, overwrite: Overwrite = False,
    ) -> None:  # fmt: skip
        _export(
            formats, run, out, quantize, prune, pattern, cluster, as_json, data=data, max_drop=max_drop,
            held_out=held_out, name=name, threads=threads, overwrite=overwrite,
        )  # fmt: skip

    return command


for _name, _formats, _help in (
    ("tflite", [Format.TFLITE], "Make TFLite files."),
    ("onnx", [Format.ONNX], "Make ONNX files."),
    ("release", list(Format), "Make files of both formats, with an index, a table and checksums; what is there stays."),
):
    export_app.command(_name, help=_help)(_command(_formats))


def _export(
    formats: Sequence[Format], run: Path, out: Path | None, quantize: list[Scheme] | None, prune: float | None,
    pattern: str | None, cluster: int | None, as_json: bool, **options: Any,
) -> None:  # fmt: skip
    release, choice = load("edgewise.export.release", "export"), load("edgewise.export.variants", "export")
    compression = None
    if prune is not None or pattern is not None or cluster is not None:
        compression = load("edgewise.export.compression", "export").Compression(prune, pattern, cluster)
    request = release.Request(
        run=run, out=out or run / "release", compression=compression,
        variants=choice.variants(formats, quantize or choice.USUAL, compression),
        **{**options, "name": options["name"] or run.resolve().name},
    )  # fmt: skip
    try:
        rows = release.export(request, reporter())
    except KeyboardInterrupt:
        raise typer.Exit(interrupted("what was finished stays; run it again to go on")) from None
    table = load("edgewise.export.rows", "export")
    if as_json:
        typer.echo(table.as_json(rows))
    else:
        _print(rows, table.FEW_COLUMNS)
        typer.echo("next: " + command_line("benchmark", request.out, "--data", "DATA", "--out", "REPORT"), err=True)


def _print(rows: Any, columns: Sequence[str]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Column, Table

    first, *others = columns
    table = Table(Column(first, overflow="fold"), box=None, header_style="bold")
    for column in others:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row.cells(columns)))
    console = Console()
    console.print(table)
    for row in rows:
        if row.remark:
            console.print(f"{row.file}: {row.remark}", markup=False, highlight=False, soft_wrap=True)
