"""Running a benchmark: each measurement in a fresh child process, rounds in ABBA order, then the reports."""

from __future__ import annotations

import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from edgewise.benchmarks.environment import describe_machine, installed_versions
from edgewise.benchmarks.photos import check_labels, choose, digest, held_out
from edgewise.benchmarks.plan import Plan, make_plan
from edgewise.benchmarks.remarks import make_remarks
from edgewise.benchmarks.report import RESULTS, require_extra, write_reports
from edgewise.benchmarks.results import Data, Entry, Failure, Results, Row, Settings
from edgewise.benchmarks.rows import make_row
from edgewise.benchmarks.task import Measurement, Task
from edgewise.runtime.backends import usable_cores
from edgewise.spec import DataError, InputError
from edgewise.spec.child import safe_python
from edgewise.spec.files import refuse_overwrite

ROUNDS = 2
"""Each row is measured once on the way down the list and once on the way up (ABBA), so that a drift of the machine,
such as its warming up, hits all rows alike."""

PATIENCE_SECONDS = 600
"""A child process is given up after this time plus PATIENCE_PER_PHOTO for each photo and ten times its budget."""

PATIENCE_PER_PHOTO = 10


@dataclass(frozen=True)
class Step:
    """Where the benchmark is."""

    done: int  # measurements behind us
    total: int
    title: str  # what is measured now


def run_benchmark(
    release: Path,
    data: Path,
    out: Path,
    *,
    reference: str | None = None,
    threads: int | None = None,
    split: str = "test",
    limit: int | None = None,
    seed: int = 0,
    seconds: float = 10.0,
    overwrite: bool = False,
    command: tuple[str, ...] = (),
    progress: Callable[[Step], None] = lambda _: None,
) -> Results:
    """Measure every variant of a release and write ``results.json``, ``report.md`` and ``report.html``.

    Args:
        release: release folder, folder of model files, or one model file.
        data: folder of class folders, or of split folders of class folders.
        out: folder for the reports.
        reference: run folder to compare with; ``"none"``; None for the one that the release names.
        threads: for every backend; None for all cores that may be used.
        split: which split of ``data``, where it has splits.
        limit: number of photos, the same of each class; None for all.
        seed: of that choice.
        seconds: for the latency of each row, all rounds together, > 0.
        overwrite: replace an earlier report in ``out``.
        command: the command line, for the record.
        progress: called before each measurement, and once at the end.

    Raises:
        ExtraMissingError: the report cannot be drawn; raised before anything is measured.
        OutputError: ``out`` exists, or cannot be written.
        InputError, ModelError: ``release``, ``data`` or an option cannot be used.
    """
    require_extra()
    refuse_overwrite(out, overwrite=overwrite, is_ours=lambda folder: (folder / RESULTS).is_file())
    threads = usable_cores() if threads is None else threads
    if threads < 1 or not seconds > 0:
        raise InputError(f"--threads is {threads} and --seconds is {seconds:g}", "both above 0")
    plan = make_plan(release, reference)
    results = _measure_plan(plan, data, split, Settings((threads,), seconds, ROUNDS, seed, limit), progress)
    results = replace(results, release=str(release), command=command)
    write_reports(results, out)
    return results


def _measure_plan(plan: Plan, data: Path, split: str, settings: Settings, progress: Callable[[Step], None]) -> Results:
    started, begin = datetime.now(timezone.utc), time.monotonic()
    machine = describe_machine()
    photos, described = _read_data(data, split, settings.limit, settings.seed, plan)
    measurements = _measure_all(plan.entries, photos, settings, progress)
    made = [make_row(entry, done) for entry, done in zip(plan.entries, measurements, strict=True)]
    rows = tuple(sorted((row for row in made if isinstance(row, Row)), key=lambda row: row.latency.p50))
    versions = installed_versions()
    return Results(
        name=plan.name,
        release="",
        started=started.isoformat(timespec="seconds"),
        took_seconds=round(time.monotonic() - begin, 1),
        command=(),
        edgewise=versions.get("edgewise", ""),
        machine=machine,
        versions=versions,
        settings=settings,
        data=described,
        labels=next(iter(plan.labels.values())),
        rows=rows,
        failures=tuple(failure for failure in made if isinstance(failure, Failure)),
        remarks=(*plan.remarks, *make_remarks(rows, described, machine, settings.threads[-1])),
    )


def _read_data(
    root: Path, split: str, limit: int | None, seed: int, plan: Plan
) -> tuple[tuple[tuple[str, str], ...], Data]:
    """The chosen photos as path and label, and what the report says of them."""
    from edgewise.runtime.photo_list import read_photos

    folder = read_photos(root)
    everything, split = folder.photos(split), "all" if "all" in folder.splits else split
    if split == "all" and plan.run is not None:
        everything, split = held_out(everything, plan.run)
    if not everything:
        raise DataError(f"{root} has no photos", "a folder with one folder of photos per class")
    chosen = choose(everything, limit, seed)
    for path, labels in plan.labels.items():
        check_labels((photo.label for photo in chosen), labels, path)
    described = Data(
        path=str(root),
        split=split,
        photos=len(chosen),
        available=len(everything),
        classes=len({photo.label for photo in chosen}),
        sha256=digest(chosen),
    )
    return tuple((str(photo.path), photo.label) for photo in chosen), described


def _measure_all(
    entries: tuple[Entry, ...],
    photos: tuple[tuple[str, str], ...],
    settings: Settings,
    progress: Callable[[Step], None],
) -> list[tuple[Measurement, ...]]:
    """The rounds of each entry, in the order of the entries."""
    rounds: list[list[Measurement]] = [[] for _ in entries]
    able = [index for index, entry in enumerate(entries) if not entry.error]
    order = [(part, index) for part in range(ROUNDS) for index in (able if part % 2 == 0 else able[::-1])]
    for done, (part, index) in enumerate(order):
        entry = entries[index]
        progress(Step(done, len(order), f"{entry.title}, round {part + 1} of {ROUNDS}"))
        if any(before.error for before in rounds[index]):
            continue
        task = Task(
            path=entry.path,
            backend=None if entry.is_reference else entry.backend,
            threads=settings.threads[-1],
            photos=photos,
            part=part,
            parts=ROUNDS,
            seconds=settings.seconds / ROUNDS,
            result="",
        )
        rounds[index].append(_checked(measure_in_child(task), entry))
    progress(Step(len(order), len(order), "done"))
    return [tuple(measured) for measured in rounds]


def _checked(measured: Measurement, entry: Entry) -> Measurement:
    if measured.error or measured.sha256 == entry.sha256:
        return measured
    return Measurement(error=f"{entry.path} was changed while it was being measured")


def measure_in_child(task: Task, command: tuple[str, ...] = ("-m", "edgewise.benchmarks.worker")) -> Measurement:
    """Run one task in a fresh Python process; its death, too, is a measurement, with an error.

    Args:
        task: what to measure; its ``result`` is chosen here.
        command: what the process runs, after the interpreter.
    """
    patience = PATIENCE_SECONDS + PATIENCE_PER_PHOTO * len(task.photos) + 10 * task.seconds
    with tempfile.TemporaryDirectory(prefix="edgewise-benchmark-") as folder:
        answer = Path(folder) / "answer.json"
        try:
            done = subprocess.run(
                [*safe_python(), *command],
                input=replace(task, result=str(answer)).to_json(),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                timeout=patience,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Measurement(error=f"the measuring process was ended after {patience:.0f} s without an answer")
        if done.returncode == 0 and answer.is_file():
            return Measurement.from_json(answer.read_text(encoding="utf-8"))
    return Measurement(error=_obituary(done.returncode, done.stdout))


def _obituary(code: int, output: str) -> str:
    """Why a child process ended without an answer."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    last = f"; its last words: {lines[-1][:300]}" if lines else ""
    if code < 0:
        name = signal.Signals(-code).name if -code in {item.value for item in signal.Signals} else f"signal {-code}"
        hint = " (often: not enough memory)" if name == "SIGKILL" else ""
        return f"the measuring process was killed by {name}{hint}{last}"
    return f"the measuring process ended with code {code}{last}"
