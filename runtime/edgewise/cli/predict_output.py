"""Where the rows of ``edgewise predict`` go: a stream as they come, or a file that is whole at the end."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import typer

from edgewise.cli.console import interrupted, load, reporter
from edgewise.cli.outputs import refuse_input
from edgewise.runtime.annotate import save_annotated
from edgewise.runtime.backends import ran
from edgewise.runtime.bulk import open_bulk
from edgewise.runtime.classifier import Classifier
from edgewise.runtime.early import FEW
from edgewise.runtime.early import Found as Early
from edgewise.runtime.few import open_few
from edgewise.runtime.images import PREPROCESSING_VERSION
from edgewise.runtime.items import Item
from edgewise.runtime.journal import Journal, part_of
from edgewise.runtime.placing import Sorter, Way
from edgewise.runtime.rows import Row
from edgewise.runtime.sinks import Layout, open_sink
from edgewise.runtime.sources import Found
from edgewise.runtime.stream import Engine, Result, Wish, indices, results
from edgewise.spec import InputError, OutputError
from edgewise.spec.files import path_text, refuse_overwrite, replacing, sha256
from edgewise.spec.opening import Opening
from edgewise.spec.progress import Silent

_PROGRESS_SECONDS = 0.1


@dataclass(frozen=True)
class Output:
    """Where rows go, and how."""

    path: Path | None  # None: standard output
    layout: Layout
    top_k: int
    overwrite: bool
    resume: bool

    @property
    def is_parquet(self) -> bool:
        """Whether it needs the optional part that writes Parquet."""
        return self.layout is Layout.PARQUET

    def check(self) -> None:
        """Raise where it cannot be or must not be written, before any work is done."""
        if self.path is None:
            given = {"--resume": self.resume, "--overwrite": self.overwrite, "--format parquet": self.is_parquet}
            if option := next((option for option, is_given in given.items() if is_given), None):
                raise InputError(f"{option} without --out", "a file with --out")
            return
        if self.path.is_dir():
            raise OutputError(f"--out {path_text(self.path)} is a folder", "the name of a file")
        refuse_input("--out", self.path)
        refuse_overwrite(self.path, overwrite=self.overwrite)
        part = part_of(self.path)
        if part.exists() and not self.resume and not self.overwrite:
            raise OutputError(
                f"{path_text(part)} is left of an interrupted run",
                do="go on with it by --resume, or start again with --overwrite",
            )


@dataclass(frozen=True)
class Shelves:
    """What is done with the photos themselves."""

    sort_into: Path | None
    way: Way
    annotated: Path | None

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where photos are put: not to be taken for sources."""
        return tuple(folder for folder in (self.sort_into, self.annotated) if folder)

    def described(self) -> dict[str, str | None]:
        """The options, wherever they are typed."""
        folders = (self.sort_into, self.annotated)
        sort_into, annotated = (path_text(folder.absolute()) if folder else None for folder in folders)
        way = self.way.value if self.sort_into else None
        return {"--sort-into": sort_into, "--sort-with": way, "--save-annotated": annotated}

    def placer(self, classifier: Classifier) -> Callable[[Result, bool], None]:
        """What places a photo; it is told whether the photo may have been placed already."""
        sorter = Sorter(self.sort_into, classifier.labels, self.way) if self.sort_into else None

        def place(result: Result, again: bool) -> None:
            if sorter:
                sorter.place(result, again=again)
            if self.annotated:
                save_annotated(result, self.annotated, again=again)

        return place


class Tally:
    """How many rows there are, and how many of them are errors."""

    def __init__(self) -> None:
        self.rows = self.failed = 0

    def counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Pass rows on, and count them."""
        for row in rows:
            self.rows += 1
            self.failed += row.error is not None
            yield row


@dataclass(frozen=True)
class Job:
    """Everything that one call of the command is to do."""

    model: Path
    opening: Opening
    reading: Future[Early] | None  # of the model file, begun while this module was being imported
    found: Found
    output: Output
    shelves: Shelves
    classes: tuple[str, ...] | None  # the only ones that may be answers; None: all

    def run(self) -> Tally:
        """Open the model, classify everything, write every row, and tell progress and rate.

        Raises:
            EdgewiseError: the model cannot be opened, or something cannot be written.
        """
        tally = Tally()
        with _opened(self) as (classifier, engine):
            work, start = _Work(self, classifier, engine), time.monotonic()
            made = work.to_stdout(tally) if self.output.path is None else work.to_file(self.output.path, tally)
            seconds = time.monotonic() - start
        if not tally.rows:
            raise InputError("there was nothing to classify", "at least one photo", "look at what the sources hold")
        if made > 1:
            on = " ".join(ran(classifier.backend).values())
            typer.echo(f"{made} photos in {seconds:.1f} s: {made / seconds:.1f} images/s on {on}", err=True)
        return tally


class _Work:
    """A job with its model at hand."""

    def __init__(self, job: Job, classifier: Classifier, engine: Engine) -> None:
        self._job, self._classifier, self._engine = job, classifier, engine
        self._ran = ran(classifier.backend)
        self._wish = Wish(job.output.top_k, indices(classifier, job.classes), keep=bool(job.shelves.folders))

    def to_stdout(self, tally: Tally) -> int:
        """Write every row to standard output as it comes; return how many photos were classified."""
        with closing(self._results(self._job.found.items())) as answers:
            rows = (answer.row for answer in answers)
            try:
                sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace", newline="")  # type: ignore[union-attr]
                self._write(tally.counted(rows), sys.stdout)
                sys.stdout.flush()
            except BrokenPipeError:
                # Whoever read the output has seen enough (| head): stay quiet when Python flushes it at the end.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit from None
        return tally.rows

    def to_file(self, path: Path, tally: Tally) -> int:
        """Keep every row in a journal, then write the file; return how many photos were classified."""
        with self._journal(path) as journal:
            if journal.resumed:
                typer.echo(f"going on after {journal.resumed} rows", err=True)
            items = journal.skip(self._job.found.items())
            try:
                with closing(self._results(items, journal.resumed, journal.again)) as answers:
                    for answer in answers:
                        journal.write(answer.row, answer.item)
            except KeyboardInterrupt:
                hint = f"rows that are kept: {journal.done}; the same command with --resume goes on"
                raise typer.Exit(interrupted(hint)) from None
            self._finish(tally.counted(journal.rows()), path)
            journal.remove()
            return journal.done - journal.resumed

    def _journal(self, path: Path) -> Journal:
        head = {
            "model": self._classifier.model.sha256,
            **self._ran,
            "preprocessing": PREPROCESSING_VERSION,
            "--unknown-threshold": self._classifier.unknown_threshold,
            "--top-k": self._wish.top_k,
            "--classes": self._wish.among and list(self._wish.among),
            "--every": self._job.found.rules.every,
            **self._job.opening.described(),
            "labels": sha256(json.dumps(self._classifier.labels).encode()),
            **self._job.shelves.described(),
        }
        labels, prompt = self._classifier.labels, self._wish.keep
        return Journal(
            part_of(path), head, labels, resume=self._job.output.resume, least=self._engine.batch, prompt=prompt
        )

    def _results(self, items: Iterable[Item], done: int = 0, again: int = 0) -> Generator[Result, None, None]:
        """Classify and place; the first ``again`` of the photos may have been placed before."""
        shown = _shows_progress(self._job.output.path)
        place = self._job.shelves.placer(self._classifier)
        with (
            closing(results(self._classifier, items, self._wish, self._engine)) as answers,
            _progress(self._job.found.total() if shown else None, done, shown=shown) as step,
        ):
            for number, result in enumerate(answers):
                place(result, number < again)
                yield result
                step()

    def _finish(self, rows: Iterable[Row], path: Path) -> None:
        if self._job.output.layout is Layout.PARQUET:
            load("edgewise.runtime.parquet", "parquet").write_parquet(rows, path, self._ran)
            return
        with (
            replacing(path) as temporary,
            temporary.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file,
        ):
            self._write(rows, file)

    def _write(self, rows: Iterable[Row], stream: TextIO) -> None:
        output, names = self._job.output, self._job.found.names()
        sink = open_sink(
            output.layout, stream, labels=self._classifier.labels, names=names, top_k=output.top_k,
            ran=self._ran,
        )  # fmt: skip
        for row in rows:
            sink.write(row)


@contextmanager
def _opened(job: Job) -> Iterator[tuple[Classifier, Engine]]:
    """Open the model once for a few photos, and in copies that compute side by side for many."""
    found = job.found
    if len(found.entries) <= FEW and not found.waits and not found.has_videos:
        classifier = open_few(job.model, job.opening, job.reading)
        yield classifier, Engine(classifier.probabilities)
        return
    most = None if found.waits or found.has_videos else len(found.entries)
    with open_bulk(job.model, job.opening, most) as bulk:
        yield bulk.classifier, Engine(bulk.probabilities, bulk.streams, 1 if found.waits else bulk.batch)


def _shows_progress(out: Path | None) -> bool:
    """Progress is shown on a terminal, except where the rows themselves run over it."""
    return sys.stderr.isatty() and not (out is None and sys.stdout.isatty())


@contextmanager
def _progress(total: int | None, done: int, *, shown: bool) -> Iterator[Callable[[], None]]:
    """Yield what counts one photo; the terminal is bothered ten times a second at most."""
    with (reporter() if shown else Silent()).task("photos", total) as step:
        waiting, last = done, 0.0

        def count() -> None:
            nonlocal waiting, last
            waiting += 1
            if (now := time.monotonic()) - last > _PROGRESS_SECONDS:
                step(waiting)
                waiting, last = 0, now

        yield count
