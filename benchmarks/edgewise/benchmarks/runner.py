"""Running a benchmark: reading the release and the photos, measuring each in fresh processes, then the reports."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edgewise.benchmarks.asking import Step
from edgewise.benchmarks.campaign import Campaign
from edgewise.benchmarks.chosen_photos import Chosen, photos_for, read_data
from edgewise.benchmarks.contention import SystemMeter, look_around
from edgewise.benchmarks.environment import Machine, describe_machine, installed_versions
from edgewise.benchmarks.first_look import FirstLook
from edgewise.benchmarks.journal import FOLDER, Journal
from edgewise.benchmarks.latency import MonotonicClock
from edgewise.benchmarks.memory import bare_bytes
from edgewise.benchmarks.plan import Plan, make_plan
from edgewise.benchmarks.processes import FreshProcesses, Processes
from edgewise.benchmarks.reasons import with_reasons
from edgewise.benchmarks.recommendation import recommend
from edgewise.benchmarks.remarks import make_remarks
from edgewise.benchmarks.report import RESULTS, require_extra, write_reports
from edgewise.benchmarks.request import Request
from edgewise.benchmarks.results import Failure, Results, Row, Settings
from edgewise.benchmarks.rows import make_row
from edgewise.benchmarks.ways import Ways, parse_threads
from edgewise.spec.child import safe_python
from edgewise.spec.files import refuse_overwrite

Progress = Callable[[Step], None]


def run_benchmark(request: Request, progress: Progress = lambda _: None) -> Results:
    """Measure every variant of a release and write the reports.

    Args:
        request: what is asked for.
        progress: called before each measurement, and once at the end.

    Raises:
        ExtraMissingError: the report cannot be drawn; raised before anything is measured.
        OutputError: ``out`` exists, or cannot be written.
        InputError, ModelError, BackendError: the release, the photos or an option cannot be used.
    """
    require_extra()
    effort = request.effort()
    _refuse_overwrite(request)
    threads = parse_threads(request.threads or effort.threads)
    ways = Ways(threads, request.backends, request.providers, plain=not effort.first_look)
    plan = make_plan(request.release, request.reference, ways)
    limit = effort.photos(plan.most_macs) if request.limit is None else request.limit
    request = replace(request, limit=limit)
    chosen = read_data(request, plan)
    journal = Journal(request.out, resume=request.resume, overwrite=request.overwrite)
    results = measure_plan(plan, chosen, request, journal, progress=progress)
    write_reports(results, request.out)
    journal.close()
    return results


def _refuse_overwrite(request: Request) -> None:
    """An unfinished benchmark is the journal's matter, unless there are reports as well."""
    if (request.out / FOLDER).is_dir() and not (request.out / RESULTS).exists():
        return
    refuse_overwrite(request.out, overwrite=request.overwrite, is_ours=lambda folder: (folder / RESULTS).is_file())


@dataclass(frozen=True)
class _Setting:
    """Where and when it is measured."""

    machine: Machine
    versions: Mapping[str, str]
    started: datetime
    begin: float  # seconds on the monotonic clock


def measure_plan(
    plan: Plan,
    chosen: Chosen,
    request: Request,
    journal: Journal,
    *,
    processes: Processes | None = None,
    progress: Progress = lambda _: None,
) -> Results:
    """Measure a plan, which may be of more than one release, row by row in turns.

    Args:
        plan: the rows.
        chosen: the photos.
        request: effort, seed, limits and the rest; its release and data were read already.
        journal: keeps what is measured.
        processes: does the jobs; None: fresh processes.
        progress: called before each measurement, and once at the end.
    """
    machine = replace(describe_machine(), busy=look_around(SystemMeter(), MonotonicClock()))
    setting = _Setting(machine, installed_versions(), datetime.now(timezone.utc), time.monotonic())
    with tempfile.TemporaryDirectory(prefix="edgewise-benchmark-") as folder:
        effort = request.effort()
        campaign = (FirstLook if effort.first_look else Campaign)(
            plan,
            photos_for(plan, chosen, Path(folder)),
            effort,
            seed=request.seed,
            sustain_minutes=request.sustain_minutes,
            identity=_identity(plan, chosen, setting),
            processes=processes or FreshProcesses(),
            journal=journal,
            bare_bytes=bare_bytes(safe_python()),
            progress=progress,
        )
        campaign.run()
    return _results(plan, chosen, request, campaign, setting, journal.resumed)


_MACHINE = ("cpu", "cores", "architecture", "system", "cpu_limit", "governor")
"""What has to be the same when a benchmark is gone on with."""


def _identity(plan: Plan, chosen: Chosen, setting: _Setting) -> dict[str, Any]:
    """What an answer depends on beside its task and its file."""
    machine = asdict(setting.machine)
    return {
        "machine": {name: machine[name] for name in _MACHINE},
        "versions": dict(setting.versions),
        "photos": chosen.data.sha256,
        "ood": chosen.ood_sha256,
        "labels": list(plan.labels),
    }


def _results(
    plan: Plan, chosen: Chosen, request: Request, campaign: Campaign, setting: _Setting, resumed: int
) -> Results:
    made = [
        make_row(entry, found, campaign.ceilings, campaign.best_hz(entry.threads))
        for entry, found in zip(plan.entries, campaign.gathered, strict=True)
    ]
    rows = tuple(sorted((row for row in made if isinstance(row, Row)), key=lambda row: row.latency.p50))
    rows = with_reasons(rows, setting.machine, campaign.ceilings, campaign.evidence)
    campaign.say("done")
    data, effort = chosen.data, request.effort()
    if campaign.answered:
        told = campaign.answered
        data = replace(data, unreadable=told.unreadable, unreadable_shown=told.unreadable_shown)
    again = (f"Continued after an interruption: {resumed:,} measurements are of the earlier run.",) if resumed else ()
    return Results(
        name=plan.name,
        release=str(request.release),
        started=setting.started.isoformat(timespec="seconds"),
        took_seconds=round(time.monotonic() - setting.begin, 1),
        command=request.command,
        edgewise=setting.versions.get("edgewise", ""),
        machine=setting.machine,
        versions=setting.versions,
        settings=Settings(
            threads=plan.threads,
            seconds=effort.seconds * campaign.rounds / effort.rounds,
            rounds=campaign.rounds,
            seed=request.seed,
            limit=request.limit,
            mode=request.mode,
            sustain_minutes=request.sustain_minutes,
            ood=str(request.ood or ""),
            offline_rounds=campaign.offline_rounds,
        ),
        data=data,
        labels=plan.labels,
        rows=rows,
        failures=tuple(failure for failure in made if isinstance(failure, Failure)),
        remarks=(*again, *plan.remarks, *make_remarks(rows, data, setting.machine, campaign.left_out)),
        ceilings=campaign.ceilings,
        recommendation=recommend(rows, request.limits),
    )


__all__ = ["Step", "measure_plan", "run_benchmark"]
