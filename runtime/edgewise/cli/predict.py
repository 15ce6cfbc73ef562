"""``edgewise predict``: answers for photos."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TextIO

import typer

from edgewise.cli.console import reporter
from edgewise.cli.model_options import Model, opens_model
from edgewise.spec import InputError, OutputError, PhotoError
from edgewise.spec.opening import Opening
from edgewise.spec.progress import Silent

if TYPE_CHECKING:
    from edgewise.runtime.classifier import Classifier
    from edgewise.runtime.sinks import Layout, Row, Sink
    from edgewise.spec.progress import Step


@opens_model
def predict(
    model: Model,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...", help="Photos, folders (with all subfolders) or patterns ('photos/**/*.jpg')."
        ),
    ],
    top_k: Annotated[int, typer.Option("--top-k", min=1, help="How many classes to list per photo.")] = 5,
    layout: Annotated[
        Literal["table", "jsonl", "csv"] | None,
        typer.Option("--format", help="Form of the output. Default: by the suffix of --out, else a table."),
    ] = None,
    json_lines: Annotated[bool, typer.Option("--json", help="Short for --format jsonl.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write to this file instead of standard output.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file of --out if it exists.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 if any photo could not be read.")] = False,
    *,
    opening: Opening,
) -> None:
    """Say what photos show.

    A photo that cannot be read is a row with its error, and the others go on.
    """
    from edgewise.runtime.classifier import Classifier
    from edgewise.runtime.sinks import open_sink
    from edgewise.runtime.sources import find_photos
    from edgewise.spec.files import refuse_overwrite

    form = _layout(layout, json_lines, out)
    if out is not None:
        if out.is_dir():
            raise OutputError(f"--out {out} is a folder", "the name of a file")
        refuse_overwrite(out, overwrite=overwrite)
    found = find_photos(sources)
    if found.ignored:
        typer.echo(f"files ignored, because they are no photos by their suffix: {found.ignored}", err=True)
    classifier = Classifier.open(model, opening)
    try:
        with _stream(out) as stream:
            sink = open_sink(form, stream, labels=classifier.labels, paths=found.photos, top_k=top_k)
            failed = _write_all(classifier, found.photos, top_k, sink, show_progress=_shows_progress(out))
    except BrokenPipeError:
        _leave_pipe()
        return
    if failed:
        typer.echo(f"photos that could not be read: {failed} of {len(found.photos)}", err=True)
    if failed == len(found.photos) or (failed and strict):
        raise typer.Exit(1)


def _layout(layout: str | None, json_lines: bool, out: Path | None) -> Layout:
    from edgewise.runtime.sinks import Layout

    if json_lines and layout not in (None, "jsonl"):
        raise InputError(f"--json together with --format {layout}", "one of them")
    by_suffix = {".csv": "csv", ".json": "jsonl", ".jsonl": "jsonl"}.get(out.suffix.lower() if out else "", "table")
    return Layout("jsonl" if json_lines else layout or by_suffix)


def _write_all(classifier: Classifier, photos: Sequence[Path], top_k: int, sink: Sink, *, show_progress: bool) -> int:
    """Write a row per photo; return how many are errors."""
    failed = 0
    with _progress(len(photos), show_progress) as advance:
        for row in _rows(classifier, photos, top_k):
            sink.write(row)
            failed += row.error is not None
            advance()
    return failed


def _rows(classifier: Classifier, photos: Sequence[Path], top_k: int) -> Iterator[Row]:
    import numpy as np

    from edgewise.runtime.sinks import Row
    from edgewise.runtime.sources import load_ahead

    for loaded in load_ahead(photos, classifier.prepare):
        if loaded.content is None:
            yield Row(loaded.path, None, loaded.error or PhotoError(str(loaded.path)), None)
            continue
        start = time.perf_counter()
        probabilities = classifier.probabilities(loaded.content[np.newaxis])[0]
        milliseconds = (time.perf_counter() - start) * 1000
        yield Row(loaded.path, classifier.prediction(probabilities, top_k), None, milliseconds)


@contextmanager
def _stream(out: Path | None) -> Iterator[TextIO]:
    """Yield where rows go: standard output as UTF-8, or a file that appears when it is whole."""
    from edgewise.spec.files import replacing

    if out is None:
        sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="")  # type: ignore[union-attr]
        yield sys.stdout
        return
    with (
        replacing(out) as temporary,
        temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        yield file


def _shows_progress(out: Path | None) -> bool:
    """Progress is shown on a terminal, except where the rows themselves run over it."""
    return sys.stderr.isatty() and not (out is None and sys.stdout.isatty())


def _progress(total: int, shown: bool) -> AbstractContextManager[Step]:
    return (reporter() if shown else Silent()).task("photos", total)


def _leave_pipe() -> None:
    """Whoever read the output has seen enough (``| head``): stay quiet when Python flushes it at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
