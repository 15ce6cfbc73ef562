"""``edgewise predict``: answers for photos."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from edgewise.cli import predict_options as options
from edgewise.cli.console import load
from edgewise.cli.model_options import Model, chosen_of, opens_model
from edgewise.spec import InputError
from edgewise.spec.opening import Opening

if TYPE_CHECKING:
    from edgewise.runtime.sinks import Layout
    from edgewise.runtime.sources import Rules


@opens_model
def predict(
    model: Model,
    sources: options.Sources,
    top_k: options.TopK = 5,
    classes: options.Classes = None,
    layout: options.Form = None,
    json_lines: options.Json = False,
    out: options.Out = None,
    overwrite: options.Overwrite = False,
    resume: options.Resume = False,
    strict: options.Strict = False,
    every: options.Every = None,
    null: options.Null = False,
    allow_url: options.AllowUrl = False,
    allow_private: options.AllowPrivate = False,
    sort_into: options.SortInto = None,
    sort_with: options.SortWith = None,
    save_annotated: options.SaveAnnotated = None,
    *,
    opening: Opening,
) -> None:
    """Say what photos show.

    A photo that cannot be read is a row with its error, and the others go on. Rows come in the order of the sources.
    """
    from edgewise.runtime.early import begin_for

    reading = begin_for(model, sources)  # before anything that needs numpy is imported

    from edgewise.cli.predict_output import Job, Output, Shelves
    from edgewise.runtime.placing import Way
    from edgewise.runtime.sources import find

    file, opening = chosen_of(model, opening)
    if file != model:
        reading = begin_for(file, sources)
    output = Output(out, _layout(layout, json_lines, out), top_k, overwrite=overwrite, resume=resume)
    output.check()
    if output.is_parquet:
        load("edgewise.runtime.parquet", "parquet")  # a missing part is told before hours of work
    if sort_with and not sort_into:
        raise InputError(f"--sort-with {sort_with} without --sort-into", "a folder with --sort-into")
    shelves = Shelves(sort_into, Way(sort_with or Way.COPY), save_annotated)
    found = find(sources, _rules(every, shelves.folders, null=null, url=allow_url, private=allow_private))
    if found.ignored:
        typer.echo(f"files ignored, because they are no photos by their suffix: {found.ignored}", err=True)
    tally = Job(file, opening, reading, found, output, shelves, _names(classes)).run()
    if tally.failed:
        typer.echo(f"photos that could not be read: {tally.failed} of {tally.rows}", err=True)
    if tally.failed and (strict or tally.failed == tally.rows):
        raise typer.Exit(1)


def _layout(layout: str | None, json_lines: bool, out: Path | None) -> Layout:
    from edgewise.runtime.sinks import Layout

    if json_lines and layout not in (None, "jsonl"):
        raise InputError(f"--json together with --format {layout}", "one of them")
    by_suffix = {".csv": "csv", ".json": "jsonl", ".jsonl": "jsonl", ".parquet": "parquet"}
    suffix = by_suffix.get(out.suffix.lower() if out else "", "table")
    return Layout("jsonl" if json_lines else layout or suffix)


def _rules(every: int | None, without: tuple[Path, ...], *, null: bool, url: bool, private: bool) -> Rules:
    from edgewise.runtime.limits import Limits
    from edgewise.runtime.sources import Rules

    if private and not url:
        raise InputError("--allow-private without --allow-url", "both of them, or none")
    return Rules(every=every, limits=Limits(private=private) if url else None, null=null, without=without)


def _names(classes: list[str] | None) -> tuple[str, ...] | None:
    if classes is None:
        return None
    return tuple(name.strip() for entry in classes for name in entry.split(",") if name.strip())
