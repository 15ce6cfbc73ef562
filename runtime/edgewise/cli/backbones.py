"""The table of ``edgewise train --list-backbones``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

from edgewise.cli.console import load

if TYPE_CHECKING:
    from edgewise.train.backbones import Backbone

NOTE = (
    "Without classifier, at the default size; GMAC falls with the square of --image-size. File sizes are estimates: "
    "4 bytes per parameter in fp32, 1 in int8."
)


def list_backbones(*, as_json: bool = False) -> None:
    """Print what can be typed after ``--backbone`` and what each costs; the first is the default.

    Args:
        as_json: one JSON object per line instead of a table.
    """
    backbones = load("edgewise.train.backbones", "train").BACKBONES.values()
    if as_json:
        for backbone in backbones:
            typer.echo(json.dumps(_row(backbone)))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("backbone", box=None)
    for title in ("size", "smallest", "parameters", "GMAC", "fp32", "int8"):
        table.add_column(title, justify="right", no_wrap=True)
    for backbone in backbones:
        table.add_row(
            backbone.name,
            f"{backbone.image_size} px",
            f"{backbone.min_image_size} px",
            f"{backbone.parameters / 1e6:.1f} M",
            f"{backbone.macs / 1e9:.2f}",
            f"{backbone.fp32_bytes / 1e6:.1f} MB",
            f"{backbone.int8_bytes / 1e6:.1f} MB",
        )
    Console(soft_wrap=True).print(table)
    typer.echo(NOTE)


def _row(backbone: Backbone) -> dict[str, str | int]:
    return {
        "backbone": backbone.name,
        "image_size": backbone.image_size,
        "min_image_size": backbone.min_image_size,
        "parameters": backbone.parameters,
        "macs": backbone.macs,
        "fp32_bytes_estimate": backbone.fp32_bytes,
        "int8_bytes_estimate": backbone.int8_bytes,
    }
