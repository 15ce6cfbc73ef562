"""``results.csv``: one line for each row, flat columns with their units in the names."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TypeAlias

from edgewise.benchmarks.figures import Accuracy
from edgewise.benchmarks.results import Results, Row
from edgewise.benchmarks.statistics import Interval, Share
from edgewise.spec.csv_rows import CsvWriter

Value: TypeAlias = str | int | float | None
"""Of a cell; None is an empty one: not measured."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters that make a spreadsheet take a cell for a formula; such texts get an apostrophe before them."""


def to_csv(results: Results) -> str:
    """Write the rows as CSV with a head line. Shares are 0-1, points are percentage points, times milliseconds."""
    machine = results.machine
    where: Mapping[str, Value] = {
        "board": machine.board,
        "cpu": machine.cpu,
        "cores": machine.cores,
        "edgewise": results.edgewise,
        "measured": results.started,
    }
    lines = [{**_flat(row), **where} for row in results.rows]
    written = io.StringIO()
    table = CsvWriter(written)
    if lines:
        table.writerow(lines[0])
        table.writerows([_cell(value) for value in line.values()] for line in lines)
    return written.getvalue()


def _cell(value: Value) -> Value:
    if isinstance(value, str):
        valid = value.encode("utf-8", "backslashreplace").decode("utf-8")
        return f"'{valid}" if valid.startswith(FORMULA) else valid
    return f"{value:.6g}" if isinstance(value, float) else value


def _flat(row: Row) -> Mapping[str, Value]:
    entry, latency = row.entry, row.latency
    return {
        "file": entry.name,
        "kind": entry.kind.value,
        "format": entry.format,
        "scheme": entry.scheme,
        "backend": entry.backend,
        "provider": row.provider,
        "threads": row.threads,
        "precision": row.precision,
        **_interval("p50", "ms", latency.p50_interval),
        "p10_ms": latency.p10,
        "p90_ms": latency.p90,
        "p99_ms": latency.p99,
        "fastest_ms": latency.fastest,
        "queries": latency.queries,
        **_interval("bulk", "images_per_second", row.offline.images_per_second if row.offline else None),
        "bulk_batch": row.offline.batch if row.offline else None,
        "bulk_streams": row.offline.streams if row.offline else None,
        "bulk_contention": "; ".join(row.offline.disturbed) if row.offline else None,
        **_stages(row),
        "stage_contention": "; ".join(row.stages.disturbed) if row.stages else None,
        **_interval("start", "ms", row.start_ms),
        "start_contention": "; ".join(row.start_disturbed) if row.start_ms else None,
        "memory_bytes": row.memory_bytes or None,
        "file_bytes": entry.bytes or None,
        "gzip_bytes": entry.gzip_bytes or None,
        **_accuracy(row.accuracy),
        "energy_joules_per_image": row.energy.joules_per_image if row.energy else None,
        "energy_source": row.energy.source if row.energy else None,
        "sustained_minutes": row.sustained.minutes if row.sustained else None,
        "sustained_first_ms": row.sustained.first_ms if row.sustained else None,
        "sustained_last_ms": row.sustained.last_ms if row.sustained else None,
        "sustained_contention": "; ".join(row.sustained.disturbed) if row.sustained else None,
        "throttled": int(row.sustained.throttled) if row.sustained else None,
        "multiply_accumulates": row.macs or None,
        "ceiling_share": row.ceiling_share,
        "contended": int(row.contention.contended),
        "contention": "; ".join(row.contention.reasons),
        "reasons": "; ".join(reason.text for reason in row.reasons),
        "sha256": entry.sha256,
    }


def _interval(name: str, unit: str, found: Interval | None) -> Mapping[str, Value]:
    return {
        f"{name}_{unit}": found.value if found else None,
        f"{name}_low_{unit}": found.low if found else None,
        f"{name}_high_{unit}": found.high if found else None,
    }


def _share(name: str, found: Share | None) -> Mapping[str, Value]:
    return {
        f"{name}_share": found.share if found else None,
        f"{name}_low_share": found.low if found else None,
        f"{name}_high_share": found.high if found else None,
    }


def _stages(row: Row) -> Mapping[str, Value]:
    names = ("read", "decode", "resize", "inference", "rest")
    return {f"stage_{name}_ms": getattr(row.stages, name) if row.stages else None for name in names}


def _accuracy(found: Accuracy | None) -> Mapping[str, Value]:
    difference = found.difference if found else None
    ood = found.ood if found else None
    return {
        "photos": found.photos if found else None,
        **_share("top1", found.top1 if found else None),
        **_share("top5", found.top5 if found else None),
        "macro_f1": found.macro_f1 if found else None,
        "ece": found.ece if found else None,
        "nll_nats": found.nll if found else None,
        "unknown_share": found.unknown_share if found else None,
        **_share("agreement", found.agreement if found else None),
        **_interval("difference", "points", difference.points if difference else None),
        "gained_photos": difference.gained if difference else None,
        "lost_photos": difference.lost if difference else None,
        "ood_photos": ood.photos if ood else None,
        "ood_auroc": ood.auroc if ood else None,
        **_share("ood_false_accept", ood.false_accepts if ood else None),
    }
