"""``edgewise package``: one zip that takes a model file to a board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgewise.cli.console import load
from edgewise.export.targets import Target


def package(
    model: Annotated[Path, typer.Argument(help="A .tflite or .onnx file that Edgewise exported.", show_default=False)],
    target: Annotated[Target, typer.Option(help="Kind of board.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The zip to write.", show_default=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file that is there.")] = False,
) -> None:
    """Pack a model for a board: model, Edgewise, pinned requirements, installer, camera service, README. No network."""
    from edgewise.spec.files import path_text

    packaging = load("edgewise.export.packaging", "export")
    made = packaging.package(model, target, out, overwrite=overwrite)
    typer.echo(f"{path_text(made.path)}  {made.bytes / 1e6:.1f} MB  SHA-256 {made.sha256}")
    if made.model != model.name:
        typer.echo(f"the model is called {made.model} in it", err=True)
    typer.echo(f"next, on the board: unzip it, cd {made.folder}, sh install.sh", err=True)
