"""Measuring two releases, or two model files, in one run.

Accuracy, size and memory are measured as `edgewise benchmark` does it; how the latencies of two rows compare is found
in duels (`edgewise.benchmarks.duel`), because the two have to be told apart by a few per cent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgewise.benchmarks.asking import Step
from edgewise.benchmarks.chosen_photos import first_readable, read_data
from edgewise.benchmarks.compare import PairKey, pair_rows
from edgewise.benchmarks.cores import pin
from edgewise.benchmarks.duel import duel
from edgewise.benchmarks.entry import Entry
from edgewise.benchmarks.journal import Journal
from edgewise.benchmarks.plan import Plan, make_plan
from edgewise.benchmarks.request import Request
from edgewise.benchmarks.results import Results
from edgewise.benchmarks.runner import measure_plan
from edgewise.benchmarks.task import Job, Task
from edgewise.benchmarks.verdict import Change
from edgewise.benchmarks.ways import ALL, Ways, parse_threads
from edgewise.spec import EdgewiseError, InputError

ROUNDS, QUICK_ROUNDS = (10, 100), (5, 10)
"""Fresh pairs of processes for each pair of rows, at least and at most: until the interval is narrow. On a shared
virtual machine two processes with equal code differed by 5.7% (standard deviation), which takes about 80 of them."""

SECONDS = 0.5
"""Of queries, each round."""


@dataclass(frozen=True)
class Measured:
    """Two releases that were measured in one run."""

    before: Results
    after: Results
    changes: Mapping[PairKey, Change]  # by the keys of two rows: how their latencies compare


def measure_in_turns(
    before: Path,
    after: Path,
    data: Path,
    *,
    threads: int | None = None,
    limit: int | None = None,
    quick: bool = False,
    progress: Callable[[Step], None] = lambda _: None,
) -> Measured:
    """Measure two releases.

    Args:
        before: release folder, folder of model files, or one model file.
        after: another.
        data: folder of labelled photos.
        threads: for every row; None: every core that may be used.
        limit: number of photos, the same of each class; None: all.
        quick: duel for a shorter time.
        progress: is told before each measurement.

    Raises:
        InputError, ModelError: a release or the photos cannot be used, or a file is in both.
    """
    ways = Ways(parse_threads(ALL if threads is None else str(threads)), plain=False)
    plans = [make_plan(path, "none", ways) for path in (before, after)]
    if common := set(plans[0].models) & set(plans[1].models):
        raise InputError(f"{sorted(common)[0]} is in both", "two releases or files that differ")
    plan = _joined(*plans)
    with tempfile.TemporaryDirectory(prefix="edgewise-compare-") as folder:
        out = Path(folder) / "out"
        request = Request(before, data, out, reference="none", limit=limit, mode="in turns")
        chosen, journal = read_data(request, plan), Journal(out, resume=False, overwrite=False)
        results = measure_plan(plan, chosen, request, journal, progress=progress)
        journal.close()
        parts = [_part(results, one, path) for one, path in zip(plans, (before, after), strict=True)]
        photo = str(first_readable(chosen.photos))
        changes = _duels(parts[0], parts[1], photo, quick=quick, progress=progress)
    return Measured(parts[0], parts[1], changes)


def _duels(
    before: Results, after: Results, photo: str, *, quick: bool, progress: Callable[[Step], None]
) -> dict[PairKey, Change]:
    pairs, _, _ = pair_rows(before.rows, after.rows)
    rounds = QUICK_ROUNDS if quick else ROUNDS
    found = {}
    for number, (old, new) in enumerate(pairs):
        progress(Step(number, len(pairs), f"in turns: {new.title}"))
        tasks = (_task(old.entry, photo), _task(new.entry, photo))
        try:
            found[old.key, new.key] = duel(*tasks, rounds, SECONDS).change
        except EdgewiseError as error:  # both networks are in memory there, which may be too much
            why = f"the two could not take turns: {error.got}"
            found[old.key, new.key] = Change.impossible(new.latency.p50 / old.latency.p50, why)
    progress(Step(len(pairs), len(pairs), "done"))
    return found


def _task(entry: Entry, photo: str) -> Task:
    return Task(
        Job.LATENCY,
        path=entry.path,
        backend=entry.backend,
        provider=entry.provider,
        threads=entry.threads,
        cores=pin(entry.threads),
        photos=(photo,),
    )


def _joined(first: Plan, second: Plan) -> Plan:
    return Plan(
        name=f"{first.name} and {second.name}",
        entries=(*first.entries, *second.entries),
        models={**first.models, **second.models},
        remarks=(*first.remarks, *second.remarks),
    )


def _part(results: Results, plan: Plan, release: Path) -> Results:
    """The rows of one of the releases."""
    paths = {entry.path for entry in plan.entries}
    rows = tuple(row for row in results.rows if row.entry.path in paths)
    failures = tuple(failure for failure in results.failures if failure.entry.path in paths)
    if not rows:
        why = f": {failures[0].error}" if failures else ""
        raise InputError(f"nothing of {release} could be measured{why}", "files that run here")
    return replace(results, name=plan.name, release=str(release), rows=rows, failures=failures, recommendation=None)
