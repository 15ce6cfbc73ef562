"""A first look at a row, all in one process: opening a large network takes longer than asking it a little."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgewise.benchmarks.contention import Watch
from edgewise.benchmarks.latency import Clock
from edgewise.benchmarks.queries import start, with_queries
from edgewise.benchmarks.task import Look, StageSums, Task


def look(task: Task, clock: Clock, watch: Callable[[], Watch]) -> Look:
    """Measure the start and single queries, then answer every photo of the listing and time its stages.

    Raises:
        EdgewiseError: the model cannot be loaded, or does not know a class; the first photo cannot be read; or the
            answers cannot be written.
    """
    network, seen = start(task, clock, watch)
    # Only now, because importing them would count as part of the start.
    from edgewise.benchmarks.answers import Listing, Sheet, arrays_of
    from edgewise.benchmarks.photos import check_labels
    from edgewise.benchmarks.stages import time_one
    from edgewise.spec import PhotoError

    listing = Listing.read(Path(task.listing))
    check_labels(listing.named(), network.labels, task.path)
    seen = with_queries(seen, task, network, clock, watch)
    sheet, sums, watching = Sheet(listing, network.labels), StageSums(), watch()
    for place, path in enumerate(listing.photos):
        try:
            spent, row = time_one(network, Path(path), clock)
        except PhotoError as error:
            sheet.unreadable.append(error.got)
            continue
        sheet.put(place, row)
        sums = sums.plus(spent)
        watching.tick()
    seen = replace(seen, stages=sums, stage_loads=watching.finish())
    sheet.answers.write(arrays_of(task.result))
    return Look(measurement=seen, answered=sheet.told(network.threshold))
