"""``edgewise package``: one zip that takes a model file to a board."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edgewise.cli.console import load, visible
from edgewise.cli.model_options import chosen_of
from edgewise.export.targets import Target
from edgewise.spec.opening import Opening


def package(
    model: Annotated[
        Path,
        typer.Argument(
            help="A .tflite or .onnx file that Edgewise exported, or a release of which `benchmark --select` has "
            "chosen one.",
            show_default=False,
        ),
    ],
    target: Annotated[Target, typer.Option(help="Kind of board.", show_default=False)],
    out: Annotated[Path, typer.Option(help="The zip to write.", show_default=False)],
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file that is there.")] = False,
) -> None:
    """Pack a model for a board: model, Edgewise, pinned requirements, installer, camera service, README. No network."""
    from edgewise.spec.files import path_text

    packaging = load("edgewise.export.packaging", "export")
    model = _chosen(model)
    made = packaging.package(model, target, out, overwrite=overwrite)
    typer.echo(f"{visible(path_text(made.path))}  {made.bytes / 1e6:.1f} MB  SHA-256 {made.sha256}")
    if made.model != model.name:
        typer.echo(f"the model is called {made.model} in it", err=True)
    typer.echo(f"next, on the board: unzip it, cd {visible(made.folder)}, sh install.sh", err=True)


def _chosen(model: Path) -> Path:
    """The file itself; of a release the one that was chosen, and what the choice cannot say about a board."""
    from edgewise.runtime.backends import backends_for
    from edgewise.spec import Format

    path, opening = chosen_of(model, Opening())
    if opening.backend is not None:
        usual = backends_for(Format(path.suffix[1:].lower()))[0]
        if opening.backend != usual:
            typer.echo(f"it was measured on {opening.backend}; the package runs it on {usual}", err=True)
    return path
