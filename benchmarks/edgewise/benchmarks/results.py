"""What was measured, as it is kept in ``results.json``.

This module, `edgewise.benchmarks.figures` and `edgewise.benchmarks.entry` are the description of that file: it has
the fields of `Results` under their names, dataclasses as objects and tuples as lists, with one exception: rows that
differ in threads only share their accuracy, so that ``accuracies`` lists each once and a row's ``accuracy`` is a place
in that list, or null.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgewise.benchmarks.entry import BACKEND_NAMES, Entry, Kind
from edgewise.benchmarks.environment import Machine
from edgewise.benchmarks.figures import (
    Accuracy,
    Ceiling,
    Contention,
    Difference,
    Disagreement,
    Energy,
    OutOfClass,
    Reason,
    Stages,
    Sustained,
    Throughput,
)
from edgewise.benchmarks.statistics import Interval, Latency, Share
from edgewise.benchmarks.task import Measurement, Rate
from edgewise.benchmarks.typed import from_data
from edgewise.spec import InputError
from edgewise.spec.files import path_text

SCHEMA = 2
"""Version of ``results.json``. Fields may be added within a version; readers pass over what they do not know."""

MAX_BYTES = 1 << 28
"""Longest ``results.json`` that is read, in bytes."""


@dataclass(frozen=True)
class Row:
    """One entry with its figures."""

    entry: Entry
    threads: int  # as the backend reports, >= 1
    provider: str  # as the backend reports
    precision: str  # what floats are computed in: "fp32" or "bf16"
    latency: Latency  # single queries with one prepared photo, as MLPerf's SingleStream
    contention: Contention
    accuracy: Accuracy | None = None  # None for plain loops
    offline: Throughput | None = None  # None where it was not measured
    stages: Stages | None = None  # None for plain loops
    start_ms: Interval | None = None  # from starting a fresh Python to the first label
    start_disturbed: tuple[str, ...] = ()  # what else used the machine once Python ran, in plain words
    memory_bytes: int = 0  # peak PSS while loading and running, over that of a bare Python; 0: not measured
    energy: Energy | None = None  # None where the machine counts none
    sustained: Sustained | None = None  # None without --sustain
    ceiling_share: float | None = None  # of the machine's measured peak, > 0; None: the network's work is not known
    reasons: tuple[Reason, ...] = ()
    rounds: tuple[Measurement, ...] = ()  # raw samples
    macs: int = 0  # multiply-accumulates for one photo; 0: not known
    rates: tuple[Rate, ...] = ()  # raw samples of many photos at once, by pass

    @property
    def title(self) -> str:
        """How the row is called: its file and its backend."""
        return self.entry.title

    @property
    def key(self) -> tuple[str, str, str, int, str]:
        """What identifies the row."""
        return self.entry.key

    @property
    def disturbed(self) -> Mapping[str, tuple[str, ...]]:
        """What else used the machine while a figure was measured, in plain words; only figures that were disturbed."""
        found = {
            "one photo": self.contention.reasons,
            "many photos at once": self.offline.disturbed if self.offline else (),
            "start": self.start_disturbed,
            "stages": self.stages.disturbed if self.stages else (),
            "long run": self.sustained.disturbed if self.sustained else (),
        }
        return {name: reasons for name, reasons in found.items() if reasons}

    @property
    def samples_ns(self) -> list[tuple[int, ...]]:
        """Times of single queries in nanoseconds, of each round that has any."""
        return [done.samples_ns for done in self.rounds if done.samples_ns]


@dataclass(frozen=True)
class Failure:
    """One entry that could not be measured, and why."""

    entry: Entry
    error: str


@dataclass(frozen=True)
class Data:
    """The photos it was measured with."""

    path: str
    split: str  # "all" where the folder has no splits
    photos: int
    available: int  # photos in the split, before a limit
    classes: int  # of these photos
    sha256: str
    unreadable: int = 0  # of the photos; left out of every figure
    unreadable_shown: tuple[str, ...] = ()  # why, of the first few
    available_classes: int = 0  # of the photos in the split, before a limit; 0: not told
    truth: str = ""  # class index of each photo, in order: see edgewise.benchmarks.packing


@dataclass(frozen=True)
class Settings:
    """How it was measured."""

    threads: tuple[int, ...]  # numbers of threads, ascending
    seconds: float  # for the latency of each row, all rounds together
    rounds: int
    seed: int  # of the choice of photos and of the order of the rounds
    limit: int | None
    mode: str = ""  # "quick", "thorough", "in turns" (beside a comparison), or empty
    sustain_minutes: float = 0.0  # of each row with the most threads; 0: not measured
    ood: str = ""  # folder of photos that are of no class; empty: none
    offline_rounds: int = 1  # of many photos at once


@dataclass(frozen=True)
class Recommendation:
    """The fastest row that keeps to the limits."""

    file: str
    backend: str
    threads: int
    provider: str
    reason: str  # one sentence
    certainty: str  # such as "certain (the intervals do not overlap)"
    limits: Mapping[str, float]  # max_drop in points, max_latency in ms, max_size in bytes, as given
    met: bool = True  # False: nothing keeps to the limits, and ``reason`` tells what this row, the nearest, misses
    sha256: str = ""  # of the file


@dataclass(frozen=True)
class Results:
    """Everything a benchmark found out."""

    name: str  # of the release
    release: str  # its path as given
    started: str  # ISO 8601, UTC
    took_seconds: float
    command: tuple[str, ...]
    edgewise: str  # version
    machine: Machine
    versions: Mapping[str, str]
    settings: Settings
    data: Data
    labels: tuple[str, ...]  # class names in index order
    rows: tuple[Row, ...]  # by p50, fastest first
    failures: tuple[Failure, ...]
    remarks: tuple[str, ...]
    ceilings: tuple[Ceiling, ...] = ()  # one per number of threads
    recommendation: Recommendation | None = None
    schema: int = SCHEMA

    def to_json(self) -> str:
        """The results as JSON, raw samples in nanoseconds included."""
        distinct = list({id(row.accuracy): row.accuracy for row in self.rows if row.accuracy is not None}.values())
        places = {id(accuracy): place for place, accuracy in enumerate(distinct)}
        data = asdict(replace(self, rows=tuple(replace(row, accuracy=None) for row in self.rows)))
        for row, written in zip(self.rows, data["rows"], strict=True):
            written["accuracy"] = places.get(id(row.accuracy))
        return json.dumps({**data, "accuracies": [asdict(accuracy) for accuracy in distinct]})

    @staticmethod
    def from_json(text: str | bytes, name: str = "results.json") -> Results:
        """Read what `to_json` wrote, or anything that claims to be it.

        Args:
            text: JSON.
            name: how the file is called in messages.

        Raises:
            InputError: not JSON, another schema, or a value that is missing, of another type, or out of range.
        """
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{name} is not JSON: {error}", "a results.json that `edgewise benchmark` wrote"
            ) from error
        _check_schema(data, name)
        results: Results = from_data(Results, {**data, "rows": _with_accuracies(data, name)}, name)
        _check(results, name)
        return results


def read_results(path: Path) -> Results:
    """Read a ``results.json``. Errors as `Results.from_json`, and InputError where there is no such file."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"{path_text(path)} cannot be read: {error.strerror}", "a results.json that `edgewise benchmark` wrote"
        ) from error
    if len(content) > MAX_BYTES:
        raise InputError(f"{path_text(path)} is longer than {MAX_BYTES:,} bytes", "a results.json")
    return Results.from_json(content, path_text(path))


def _check_schema(data: Any, name: str) -> None:
    schema = data.get("schema") if isinstance(data, dict) else None
    if isinstance(schema, bool) or not isinstance(schema, int):
        raise InputError(f"{name} names no schema", "a results.json that `edgewise benchmark` wrote")
    if schema != SCHEMA:
        do = "measure again" if schema < SCHEMA else "update edgewise"
        raise InputError(f"{name} has schema {schema}", f"schema {SCHEMA}", do)


def _with_accuracies(data: Mapping[str, Any], name: str) -> list[Any]:
    """The rows with their accuracies in place of their numbers."""
    rows, accuracies = data.get("rows"), data.get("accuracies")
    if not isinstance(rows, list) or not isinstance(accuracies, list):
        raise InputError(
            f"{name} has no lists of rows and accuracies", "a results.json that `edgewise benchmark` wrote"
        )
    known = [from_data(Accuracy, each, f"{name}.accuracies[{n}]") for n, each in enumerate(accuracies)]
    return [_with_accuracy(row, known, f"{name}.rows[{n}]") for n, row in enumerate(rows)]


def _with_accuracy(row: Any, known: list[Accuracy], place: str) -> Any:
    number = row.get("accuracy") if isinstance(row, dict) else None
    if number is None:
        return row
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(known):
        raise InputError(f"{place}.accuracy is {ascii(number)[:60]}", f"a number below {len(known)}, or null")
    return {**row, "accuracy": known[number]}


def _check(results: Results, name: str) -> None:
    """Raise InputError for what no benchmark can have found, and what readers rely on."""
    size = len(results.labels)
    for number, row in enumerate(results.rows):
        place = f"{name}.rows[{number}]"
        times = row.latency
        if times.queries < 1 or not 0 < times.fastest <= times.p50:
            raise InputError(f"{place}.latency has {times.queries} queries and p50 {times.p50:g}", "numbers above 0")
        if any(sample < 1 for done in row.rounds for sample in done.samples_ns):
            raise InputError(f"{place}.rounds has a time of 0 or less", "nanoseconds")
        matrix = row.accuracy.confusion if row.accuracy else ()
        if row.accuracy and (len(matrix) != size or any(len(line) != size for line in matrix)):
            raise InputError(f"{place}.accuracy.confusion is not {size} x {size}", "a line and a column for each label")
        for share in _shares(row):
            if share.total < 1 or not 0 <= share.low <= share.share <= share.high <= 1:
                raise InputError(f"{place} has a share of {share.share:g}", "0 to 1, within its interval")


def _shares(row: Row) -> Iterator[Share]:
    """Every share of a row's accuracy that is there."""
    if row.accuracy:
        yield row.accuracy.top1
        yield from (share for share in (row.accuracy.top5, row.accuracy.agreement) if share)
        if row.accuracy.ood and row.accuracy.ood.false_accepts:
            yield row.accuracy.ood.false_accepts


__all__ = [
    "BACKEND_NAMES",
    "SCHEMA",
    "Accuracy",
    "Ceiling",
    "Contention",
    "Data",
    "Difference",
    "Disagreement",
    "Energy",
    "Entry",
    "Failure",
    "Interval",
    "Kind",
    "OutOfClass",
    "Reason",
    "Recommendation",
    "Results",
    "Row",
    "Settings",
    "Stages",
    "Sustained",
    "Throughput",
    "read_results",
]
