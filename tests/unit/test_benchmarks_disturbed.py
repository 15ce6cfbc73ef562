"""What something else disturbed is marked where it is shown, and nowhere else."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from types import ModuleType

import pytest

from edgewise.benchmarks.compare import compare_results
from edgewise.benchmarks.contention import Reading, look_around
from edgewise.benchmarks.csv_table import to_csv
from edgewise.benchmarks.entry import Entry
from edgewise.benchmarks.figures import Ceiling, highest
from edgewise.benchmarks.markdown import to_markdown
from edgewise.benchmarks.page import to_html
from edgewise.benchmarks.remarks import make_remarks
from edgewise.benchmarks.results import Results, Row
from edgewise.benchmarks.rows import Gathered, make_row
from edgewise.benchmarks.task import Load, Measurement, Series, StageSums
from edgewise.cli.benchmark_view import print_table

ENTRY = Entry("a.onnx", "a.onnx", "onnx", "fp32", "onnxruntime", "", 1)
MILLION = 1_000_000
BUSY = ("other processes took 34% of a core",)


@pytest.fixture(scope="module")
def quiet(benchmark_results: ModuleType) -> Results:
    """One row that nothing disturbed."""
    found: Results = benchmark_results.synthetic()
    row = next(row for row in found.rows if row.sustained and not row.contention.contended)
    return replace(found, rows=(row,), remarks=(), recommendation=None)


@pytest.fixture(scope="module")
def disturbed(quiet: Results) -> Results:
    """The same with other work during everything but single queries."""
    (row,) = quiet.rows
    assert row.offline
    assert row.stages
    assert row.sustained
    row = replace(
        row,
        offline=replace(row.offline, disturbed=BUSY),
        stages=replace(row.stages, disturbed=BUSY),
        sustained=replace(row.sustained, disturbed=BUSY),
        start_disturbed=BUSY,
    )
    ceilings = tuple(replace(each, disturbed=BUSY) for each in quiet.ceilings)
    return replace(quiet, rows=(row,), ceilings=ceilings)


def test_it_is_marked_in_every_report(quiet: Results, disturbed: Results) -> None:
    pages, tables, lines = ([show(each) for each in (quiet, disturbed)] for show in (to_html, to_markdown, to_csv))
    assert [page.count(">contended<") for page in pages] == [0, 3]  # bulk, start, stages
    assert [page.count(BUSY[0]) for page in pages] == [0, 1 + len(disturbed.ceilings)]  # long run, and the peaks
    assert [table.count("(contended)") for table in tables] == [0, 2]
    assert [table.count(f"it may be more, as {BUSY[0]} meanwhile") for table in tables] == [0, len(disturbed.ceilings)]
    for text, told in zip(lines, ("", BUSY[0]), strict=True):
        (line,) = csv.DictReader(io.StringIO(text))
        columns = [f"{name}_contention" for name in ("bulk", "start", "stage", "sustained")]
        assert [line[column] for column in columns] == [told] * 4
        assert (line["contended"], line["cpu"], line["cores"]) == ("0", "Fast CPU", "4")


def test_it_is_marked_on_a_terminal_of_80_columns(
    disturbed: Results, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_table(disturbed)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    assert len(re.findall(r"\bbusy\b", printed)) == 2


def test_it_is_remarked(quiet: Results, disturbed: Results) -> None:
    (row,) = disturbed.rows
    told = make_remarks(disturbed.rows, disturbed.data, replace(disturbed.machine, busy=BUSY))
    for figure in ("many photos at once", "start", "stages", "long run"):
        assert f"Not to be relied on, {figure}: {row.title} ({BUSY[0]})." in told
    assert f"When this began, the machine was not quiet: {BUSY[0]}." in told
    (note,) = (note for note in compare_results(quiet, disturbed).notes if note.startswith("Disturbed"))
    assert note == (
        "Disturbed while they were measured, in the second: "
        f"{row.title} (many photos at once, start, stages, long run)."
    )


def test_a_peak_that_was_seen_undisturbed_once_is_one() -> None:
    quiet, busy = Ceiling(2, 50.0, 100.0, "by hand"), Ceiling(2, 60.0, 90.0, "by hand", BUSY)
    assert highest(busy, busy).disturbed == BUSY
    assert highest(busy, quiet) == highest(quiet, busy) == replace(quiet, fp32_gflops=60.0)


@pytest.mark.parametrize(("others", "told"), [(0.0, ()), (0.5, ("other processes took 50% of a core",))])
def test_what_uses_the_machine_before_anything_is_measured_is_seen(others: float, told: tuple[str, ...]) -> None:
    class Hand:
        seconds = 0.0

        def now(self) -> int:
            return int(1e9 * self.seconds)

        def read(self) -> Reading:
            return Reading(busy=others * self.seconds, cores=2)

        def wait(self, seconds: float) -> None:
            self.seconds += seconds

    hand = Hand()
    assert look_around(hand, hand, hand.wait) == told
    assert hand.seconds == 1.0


def test_who_uses_the_machine_in_a_sustained_run_is_told_there() -> None:
    """The rounds before it were quiet, and that the clock falls is what such a run is to show."""
    half, cooler = Load(30.0, 0.5, 0.0, 0.0, 0.0, 3e9), Load(30.0, 0.0, 0.0, 0.0, 0.0, 1e9)
    for loads, told in (((half, cooler), ("other processes took 25% of a core",)), ((cooler,), ())):
        series = Series(seconds=60, medians_ns=(5,), first_ns=5, last_ns=5, loads=loads)
        made = make_row(ENTRY, Gathered({0: Measurement(samples_ns=(5,), threads=1)}, series=series))
        assert isinstance(made, Row)
        assert made.sustained is not None
        assert made.sustained.disturbed == told
        assert not made.contention.contended


def test_who_uses_the_machine_during_starts_or_stages_is_told_there_and_nowhere_else() -> None:
    quiet, busy = Load(0.5, 0.0, 0.0, 0.0, 0.0, 1e9), Load(0.5, 0.5, 0.0, 0.0, 0.0, 3e9)
    stages = StageSums(photos=1, total=MILLION)
    for start, stage in (((quiet, busy), (quiet, quiet)), ((quiet, quiet), (quiet, busy)), ((quiet,) * 2,) * 2):
        made = make_row(ENTRY, Gathered({
            number: Measurement(samples_ns=(5,), loads=(quiet,), stages=stages, start_loads=(start[number],),
                                stage_loads=(stage[number],))
            for number in range(2)
        }))  # fmt: skip
        assert isinstance(made, Row)
        assert made.stages is not None
        told = ("other processes took 50% of a core",)
        assert made.start_disturbed == (told if busy in start else ())
        assert made.stages.disturbed == (told if busy in stage else ())
        assert not made.contention.contended
        assert list(made.disturbed) == ["start"] * (busy in start) + ["stages"] * (busy in stage)
