"""What a release says about each of its files: the rows of ``index.json`` and of the table for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.benchmarks.latency import MonotonicClock, measure, warm_up
from edgewise.export.gate import HAIR, Verdict
from edgewise.export.variants import FLOAT_SCHEMES, Variant, describe
from edgewise.runtime.backends import Backend, open_backend
from edgewise.runtime.modelfile import ModelFile
from edgewise.spec import Manifest, Scheme

MEASURED_NS = 600_000_000
"""How long a file's latency is measured for each number of threads, warm-up aside."""

FASTER = 1.2
"""Times as fast as float32 from which on a scheme is said to help: on a busy machine equal files differ by a tenth."""

COLUMNS = ("file", "MB", "gzip", "top-1", "95%", "drop", "agreement", "1 thread", "all", "remark")
"""Of the table in Markdown."""

FEW_COLUMNS = ("file", "MB", "gzip", "top-1", "drop", "agreement", "1 thread", "all")
"""Of the table in a terminal; the remarks stand below it."""


@dataclass(frozen=True)
class Row:
    """One file of a release."""

    file: str
    format: str
    scheme: str
    compression: str  # for example "pruned50-clustered32"; empty: none
    bytes: int
    gzip_bytes: int  # compressed by gzip; 0: not found out yet
    sha256: str
    made_from: str  # digest of everything that decides what the file is
    top1: float  # share, 0-1
    top1_interval: tuple[float, float]  # exact, 95%
    drop: float  # points of top-1 below the network
    drop_interval: tuple[float, float]  # paired, 95%
    photos: int
    split: str
    parity: Mapping[str, Any]
    worst: Sequence[Mapping[str, Any]]  # the photos on which it differs most from the network
    unknown_threshold: float | None
    numerics: str  # how the file computes, in words
    float_steps: Sequence[str]  # steps of an integer network that compute in float
    latency_ms: Mapping[str, float]  # median for one photo, by number of threads
    attempts: Sequence[Mapping[str, Any]]  # what was tried, in order; the last one is the file
    seconds: float
    stands_for: Sequence[str] = ()  # digests of files that lost too much, in whose place this one was made
    remark: str = ""

    def to_data(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @staticmethod
    def from_data(data: Any) -> Row | None:
        """Read what `to_data` wrote; None for anything else."""
        try:
            row = Row(**data)
            tuples = {key: tuple(map(float, getattr(row, key))) for key in ("top1_interval", "drop_interval")}
            return replace(row, drop=float(row.drop), **tuples)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return None

    def passes(self, max_drop: float) -> bool:
        """Whether a file, which passed when it was made, does so with this many points of top-1 that may be lost."""
        is_float = self.scheme in {scheme.value for scheme in FLOAT_SCHEMES} and not self.compression
        return is_float or self.drop <= max_drop + HAIR

    def is_any_of(self, made_from: set[str]) -> bool:
        """Whether it was made from one of these digests, or stands for a file that was."""
        return not made_from.isdisjoint((self.made_from, *self.stands_for))

    def cells(self, columns: Sequence[str] = COLUMNS) -> tuple[str, ...]:
        """What stands in the named columns."""
        low, high = self.top1_interval
        times = [f"{value:.1f} ms" for _, value in sorted(self.latency_ms.items(), key=lambda item: int(item[0]))]
        texts = {
            "file": self.file,
            "MB": f"{self.bytes / 1e6:.1f}",
            "gzip": f"{self.gzip_bytes / 1e6:.1f}",
            "top-1": f"{self.top1:.2%}",
            "95%": f"{low:.1%} to {high:.1%}",
            "drop": f"{self.drop:+.2f}",
            "agreement": f"{self.parity['agreement']:.2%}",
            "1 thread": times[0],
            "all": times[-1],
            "remark": self.remark,
        }
        return tuple(texts[column] for column in columns)


@dataclass(frozen=True)
class Proof:
    """What the gate found out about a file."""

    manifest: Manifest  # with it
    verdict: Verdict
    known_ms: Mapping[int, float]  # median latency of one photo by the number of threads


def new_row(
    variant: Variant, model: ModelFile, proof: Proof, photo: NDArray[np.uint8], threads: int, **facts: Any
) -> Row:
    """Measure what there is to measure about a file, and put it together.

    Args:
        variant: what it is.
        model: the file.
        proof: by the gate.
        photo: ``(rows, columns, 3)`` uint8, for the latency.
        threads: as many as there are cores to use.
        facts: further fields of `Row`.
    """
    labels, verdict = model.manifest.labels, proof.verdict
    return Row(
        file=model.path.name,
        format=variant.format.value,
        scheme=variant.scheme.value,
        compression="-".join(describe(variant.compression)),
        bytes=len(model.content),
        gzip_bytes=0,
        sha256=model.sha256,
        top1=verdict.accuracy.top1,
        top1_interval=verdict.accuracy_interval,
        drop=verdict.drop,
        drop_interval=verdict.drop_interval,
        photos=verdict.accuracy.photos,
        split=verdict.accuracy.split,
        parity=asdict(verdict.parity),
        worst=[
            {**asdict(each), "answer": labels[each.answer], "expected": labels[each.expected]} for each in verdict.worst
        ],
        unknown_threshold=model.manifest.unknown_threshold,
        latency_ms={
            str(count): proof.known_ms.get(count) or latency(open_backend(model, threads=count), photo)
            for count in dict.fromkeys((1, threads))
        },
        **facts,
    )


def remarked(rows: Sequence[Row]) -> tuple[Row, ...]:
    """The rows with a word on what each scheme buys on this machine, against float32 of the same format."""
    networks: dict[str, list[Row]] = {}
    for row in rows:
        networks.setdefault(_network(row), []).append(row)
    return tuple(replace(row, remark=_remarked(row, networks[_network(row)])) for row in rows)


def _network(row: Row) -> str:
    """The first part of a file's name: files of several networks may lie in one folder."""
    parts = (row.compression, row.scheme)
    return row.file.removesuffix("".join(f"-{part}" for part in parts if part) + f".{row.format}")


def _remarked(row: Row, rows: Sequence[Row]) -> str:
    plain = {each.format: each for each in rows if each.scheme == Scheme.FP32.value and not each.compression}
    twins = {(each.format, each.scheme): each for each in rows if not each.compression}
    return _remark(row, plain.get(row.format), twins)


def markdown(rows: Iterable[Row], title: str) -> str:
    """The table as Markdown."""
    lines = [f"# {title}", "", f"| {' | '.join(COLUMNS)} |", "|---" + "|--:" * (len(COLUMNS) - 2) + "|---|"]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row.cells()) + " |" for row in rows]
    return "\n".join([*lines, ""])


def as_json(rows: Sequence[Row]) -> str:
    """Rows as JSON."""
    return json.dumps([row.to_data() for row in rows], indent=2)


def _remark(row: Row, plain: Row | None, twins: Mapping[tuple[str, str], Row]) -> str:
    if row.compression:
        twin = twins.get((row.format, row.scheme))
        if twin is None:
            return f"gzip saves {1 - row.gzip_bytes / row.bytes:.0%}"
        saved = 1 - row.gzip_bytes / twin.gzip_bytes
        return f"{saved:.0%} smaller compressed, {_speed(row, twin)}"
    if plain is None or plain is row:
        return ""
    smaller = f"{plain.bytes / row.bytes:.1f} times smaller"
    speed = _speed(row, plain)
    helps = speed.endswith("times as fast")
    text = f"{smaller}, {speed}" if helps else f"{smaller}; {speed} on this CPU: for size only"
    kept = len(row.float_steps) - 2  # the classifier and its softmax always are
    return f"{text}; {kept} layers in float" if kept > 0 else text


def _speed(row: Row, other: Row) -> str:
    ratio = min(other.latency_ms.values()) / min(row.latency_ms.values())
    return f"{ratio:.1f} times as fast" if ratio >= FASTER else "not faster"


def latency(backend: Backend, photo: NDArray[np.uint8], *, warm: bool = False) -> float:
    """Median for one photo ``(rows, columns, 3)``, ms; a backend that has just answered many is ``warm``."""
    clock, batch = MonotonicClock(), photo[np.newaxis]

    def once() -> object:
        return backend.run(batch)

    if not warm:
        warm_up(once, clock, MEASURED_NS // 2)
    return median(measure(once, clock, MEASURED_NS)) / 1e6
