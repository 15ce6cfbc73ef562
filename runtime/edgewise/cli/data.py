"""``edgewise data check``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.cli.console import load, reporter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console
    from rich.text import Text

    from edgewise.train.audit import Audit, Group

data_app = typer.Typer(help="Look at photos before training on them.", no_args_is_help=True)

FINDINGS, UNFINISHED, SHEETS = "findings.json", "unfinished", "contact-sheets"
MOST_LINES = 10
"""Bad files, and groups of equal photos, that are printed; --json and --out have all of them."""


@data_app.callback()
def _group() -> None:
    """Look at photos before training on them."""


@data_app.command("check")
def check(
    data: Annotated[
        Path, typer.Argument(help="Labelled photos, as for train: folders, or a CSV file.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(help=f"Folder for {FINDINGS} and a contact sheet of each class.", show_default=False),
    ] = None,
    class_names: Annotated[
        Path | None, typer.Option(help="Text file that fixes the order of the classes.", show_default="by name")
    ] = None,
    distance: Annotated[
        int, typer.Option(help="Bits of 64 that near duplicates differ in at most; more finds more.", min=0, max=16)
    ] = 4,
    seed: Annotated[int, typer.Option(help="Decides which photos are on a contact sheet.", min=0)] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything that was found as JSON.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what an earlier check left in --out.")
    ] = False,
) -> None:
    """Count classes and sizes; find bad files, photos that stand there twice, and classes that are too small."""
    auditing = load("edgewise.train.audit", "train")
    sheets = load("edgewise.train.contact_sheets", "train")
    names = load("edgewise.train.dataset", "train").read_class_names(class_names) if class_names else None
    if out is not None:
        _refuse(data, out, overwrite=overwrite)
    audit: Audit = auditing.audit(data, reporter(), class_names=names, distance=distance)
    if out is not None:
        from edgewise.spec.files import write_text

        # A folder that has findings is complete; one that has nothing but their mark is ours, too.
        (out / FINDINGS).unlink(missing_ok=True)
        write_text(out / UNFINISHED, "An unfinished `edgewise data check`.\n")
        sheets.save_contact_sheets(audit, out / SHEETS, seed, reporter())
        write_text(out / FINDINGS, json.dumps(audit.to_data(), indent=2))
        (out / UNFINISHED).unlink()
        typer.echo(f"contact sheets: {out / SHEETS}", err=True)
    if as_json:
        typer.echo(json.dumps(audit.to_data()))
    else:
        _print(audit)


def _is_check(folder: Path) -> bool:
    return any((folder / mark).is_file() for mark in (FINDINGS, UNFINISHED))


def _refuse(data: Path, out: Path, *, overwrite: bool) -> None:
    """Raise OutputError where ``out`` is in use, or would put pictures among the photos."""
    from edgewise.spec.errors import OutputError
    from edgewise.spec.files import refuse_overwrite

    refuse_overwrite(out, overwrite=overwrite, is_ours=_is_check)
    if data.is_dir() and data.resolve() in (out.resolve(), *out.resolve().parents):
        raise OutputError(
            f"{out} is inside of the photos in {data}",
            "another folder, because contact sheets would be taken for photos",
            "choose another place with --out",
        )


def _print(audit: Audit) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    splits = list(audit.folder.splits)
    ratio = f"; the largest has {audit.imbalance:.1f} times the photos of the smallest" if audit.imbalance else ""
    console.print(_text(f"{len(audit.photos)} photos in {len(audit.labels)} classes{ratio}"), style="bold")
    table = Table("class", box=None, header_style="bold")
    for name in ("photos",) if splits == ["all"] else (*splits, "together"):
        table.add_column(name, justify="right")
    for label, row in audit.counts.items():
        numbers = list(row.values()) if splits == ["all"] else [*row.values(), sum(row.values())]
        table.add_row(_text(label), *map(str, numbers))
    console.print(table)
    console.print()
    sizes = Table("", "least", "median", "greatest", box=None, header_style="bold")
    for name, spread in audit.spreads().items():
        figures = (spread.min, spread.median, spread.max)
        sizes.add_row(name, *(f"{value:.2f}" if name == "aspect" else f"{value:.0f} px" for value in figures))
    console.print(sizes)
    bad = [f"{audit.name(photo.path)}: {photo.reason}" for photo in audit.unreadable]
    _print_list(console, "cannot be read", bad)
    _print_list(console, "equal photos", _lines(audit, audit.equal))
    _print_list(console, "nearly equal photos", _lines(audit, audit.near))
    console.print()
    for remark in audit.remarks() or ("nothing else to remark",):
        console.print(_text(f"• {remark}"))


def _lines(audit: Audit, groups: Iterable[Group]) -> list[str]:
    """A line for each group; what is wrong with one comes first."""
    lines = []
    for group in groups:
        wrong = [f"in {', '.join(names)}" for names in (group.splits, group.labels) if len(names) > 1]
        few = [audit.name(photo.path) for photo in group.photos[:4]]
        rest = f" and {len(group.photos) - 4} more" if len(group.photos) > 4 else ""
        lines.append((f"[{'; '.join(wrong)}] " if wrong else "") + " = ".join(few) + rest)
    return lines


def _print_list(console: Console, title: str, lines: list[str]) -> None:
    if not lines:
        return
    console.print()
    console.print(_text(f"{title} ({len(lines)})"), style="bold")
    for line in lines[:MOST_LINES]:
        console.print(_text(f"  {line}"), soft_wrap=True)
    if len(lines) > MOST_LINES:
        console.print(_text(f"  and {len(lines) - MOST_LINES} more: see --json or --out"))


def _text(value: str) -> Text:
    """Text from outside that neither rich nor the terminal takes for anything else."""
    from rich.text import Text

    return Text("".join(letter if letter.isprintable() else "?" for letter in value))
