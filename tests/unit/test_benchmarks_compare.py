from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from edgewise.benchmarks.compare import compare_results, pair_rows
from edgewise.benchmarks.compare_text import to_data, to_markdown
from edgewise.benchmarks.conditions import failures, parse_condition
from edgewise.benchmarks.packing import pack
from edgewise.benchmarks.results import Failure, Results, Row
from edgewise.benchmarks.statistics import Interval, Ratio, share
from edgewise.benchmarks.verdict import Change, Verdict
from edgewise.cli.main import make_app
from edgewise.spec import InputError

SPEC = spec_from_file_location("benchmark_results", Path(__file__).with_name("benchmark_results.py"))
assert SPEC
assert SPEC.loader
DRAWN = module_from_spec(SPEC)
SPEC.loader.exec_module(DRAWN)
BEFORE: Results = DRAWN.synthetic(photos=200, threads=(2,))


def changed(change: Callable[[Row], Row], scheme: str = "int8", **fields: Any) -> Results:
    """BEFORE with some of its rows changed."""
    rows = tuple(change(row) if row.entry.scheme == scheme else row for row in BEFORE.rows)
    return replace(BEFORE, rows=rows, **fields)


def slower(row: Row, factor: float = 1.1) -> Row:
    rounds = (replace(done, samples_ns=tuple(int(factor * each) for each in done.samples_ns)) for done in row.rounds)
    return replace(row, rounds=tuple(rounds))


def edgewise(*words: object) -> Any:
    return CliRunner().invoke(make_app("compare"), ["compare", *map(str, words)])


@pytest.fixture
def files(tmp_path: Path) -> Callable[[Results, Results], tuple[Path, Path]]:
    """Writes two results: one as a file, one in a folder of its own."""

    def write(before: Results, after: Results) -> tuple[Path, Path]:
        (tmp_path / "b").mkdir()
        (tmp_path / "a.json").write_text(before.to_json())
        (tmp_path / "b/results.json").write_text(after.to_json())
        return tmp_path / "a.json", tmp_path / "b"

    return write


def test_a_slower_row_is_told_and_the_others_are_the_same() -> None:
    found = compare_results(BEFORE, changed(slower))
    told = {row.title: row.latency for row in found.rows}
    assert told["clothes-int8.tflite on LiteRT"].verdict is Verdict.SLOWER
    assert told["clothes-int8.tflite on LiteRT"].ratio.value == pytest.approx(1.1, abs=1e-3)
    assert told["clothes-fp32.tflite on LiteRT"].verdict is Verdict.SAME
    assert found.rows[0].latency.verdict is Verdict.SLOWER  # the slowest change comes first


def test_of_the_same_photos_answers_are_compared_one_by_one() -> None:
    truth = np.zeros(200, np.int32)
    right, wrong = truth.copy(), truth.copy()
    wrong[:6] = 1  # loses six photos
    right[:2] = 1  # of which the first two were lost before

    def answered(results: Results, answers: Any) -> Results:
        rows = tuple(
            replace(row, accuracy=replace(row.accuracy, answers=pack(answers))) if row.accuracy else row
            for row in results.rows
        )
        return replace(results, rows=rows, data=replace(results.data, truth=pack(truth)))

    (row, *_) = compare_results(answered(BEFORE, right), answered(BEFORE, wrong)).rows
    assert row.top1 is not None
    assert row.top1_paired
    assert row.top1.value == -2.0
    assert row.top1.low <= -2.0 < row.top1.high < 1


def test_of_other_photos_the_interval_of_top1_is_wider_and_it_says_so() -> None:
    def worse(row: Row) -> Row:
        assert row.accuracy
        return replace(row, accuracy=replace(row.accuracy, top1=share(100, 200)))

    after = changed(worse, data=replace(BEFORE.data, sha256="ef" * 32))
    found = compare_results(BEFORE, after)
    (row, *_) = [row for row in found.rows if "int8" in row.title]
    assert row.top1 is not None
    assert not row.top1_paired
    assert row.top1.high - row.top1.low > 10
    assert any("different photos" in note for note in found.notes)


def test_releases_of_other_names_are_compared_by_scheme_and_backend() -> None:
    other = [
        replace(row, entry=replace(row.entry, name=row.entry.name.replace("clothes", "v2"))) for row in BEFORE.rows
    ]
    pairs, only_before, only_after = pair_rows(BEFORE.rows, other)
    assert len(pairs) == len(BEFORE.rows)
    assert not only_before
    assert not only_after
    assert all((old.entry.scheme, old.entry.backend) == (new.entry.scheme, new.entry.backend) for old, new in pairs)


def test_rows_of_one_side_are_listed(files: Callable[..., tuple[Path, Path]]) -> None:
    gone = tuple(row for row in BEFORE.rows if row.entry.backend != "keras")
    result = edgewise(*files(BEFORE, replace(BEFORE, rows=gone)), "--markdown")
    assert result.exit_code == 0
    assert "- Only in clothes: clothes on Keras." in result.stdout


def test_other_machines_are_refused_unless_asked_for(files: Callable[..., tuple[Path, Path]]) -> None:
    machine = replace(BEFORE.machine, cpu="Other CPU", cores=8, memory_bytes=16 << 30)
    with pytest.raises(InputError, match="of different machines: CPU Fast CPU and Other CPU; cores 4 and 8; memory"):
        compare_results(BEFORE, replace(BEFORE, machine=machine))
    paths = files(BEFORE, replace(BEFORE, machine=machine))
    assert isinstance(edgewise(*paths).exception, InputError)
    result = edgewise(*paths, "--across-machines")
    assert result.exit_code == 0
    assert "Different machines: CPU Fast CPU and Other CPU" in result.stdout


@pytest.mark.parametrize(
    ("condition", "code", "told"),
    [
        ("slower:3%", 1, "slower:3% is met: clothes-int8.tflite on LiteRT is 10.0% slower"),
        ("slower:11%", 0, ""),
        ("size:5%", 1, "size:5% is met: clothes-int8.tflite on LiteRT takes on disk 50.0% more"),
        ("memory:1%", 0, ""),
        ("top1:0.5", 1, "top1:0.5 is met: clothes-int8.tflite on LiteRT loses"),
        ("faster:1%", 2, "Expected: one of slower:PERCENT%, top1:POINTS"),
        ("slower:3", 2, "for example --fail-if slower:3%"),
    ],
)
def test_conditions_decide_the_exit_code(
    files: Callable[..., tuple[Path, Path]], condition: str, code: int, told: str
) -> None:
    def worse(row: Row) -> Row:
        assert row.accuracy
        entry = replace(row.entry, bytes=row.entry.bytes * 3 // 2)
        return replace(slower(row), entry=entry, accuracy=replace(row.accuracy, top1=share(100, 200)))

    result = edgewise(*files(BEFORE, changed(worse)), "--fail-if", condition)
    assert result.exit_code == code
    assert told in " ".join(result.stderr.replace("│", " ").split())


def test_a_loss_that_may_be_chance_fails_as_asked_and_says_so() -> None:
    (row, *_) = compare_results(BEFORE, BEFORE).rows
    condition = parse_condition("top1:0.5")
    assert condition.met_by(replace(row, top1=Interval(-1.5, -4.0, 0.9))) == (
        "loses 1.50 points of top-1, which may be chance (-4.0 to +0.9)"
    )
    assert condition.met_by(replace(row, top1=Interval(-1.5, -2.0, -0.9))) == "loses 1.50 points of top-1"
    assert condition.met_by(replace(row, top1=Interval(-0.5, -2.0, 0.9))) == ""


def test_what_cannot_be_measured_any_longer_fails_whatever_is_asked(files: Callable[..., tuple[Path, Path]]) -> None:
    gone = next(row for row in BEFORE.rows if row.entry.scheme == "int8" and row.entry.kind.value == "variant")
    left = tuple(row for row in BEFORE.rows if row is not gone)
    failure = Failure(replace(gone.entry, name="next-int8.onnx"), "killed by SIGSEGV\x1b[2J")
    paths = files(BEFORE, replace(BEFORE, rows=left, failures=(failure,)))
    done = edgewise(*paths, "--fail-if", "slower:3%")
    assert done.exit_code == 1
    assert "slower:3% counts as met: next-int8.onnx on" in done.stderr
    assert "\x1b" not in done.output
    assert "Not measured any longer: next-int8.onnx on" in " ".join(done.stdout.split())
    assert edgewise(*paths).exit_code == 0
    # A file that was left out on purpose breaks nothing.
    assert compare_results(BEFORE, replace(BEFORE, rows=left)).broken == ()


def test_what_cannot_be_compared_counts_as_slower() -> None:
    row = BEFORE.rows[0]
    changes = {(row.key, row.key): Change.impossible(1.0, "the two could not take turns: no memory")}
    compared = compare_results(BEFORE, BEFORE, changes=changes)
    assert failures(parse_condition("slower:3%"), compared) == (
        f"slower:3% is met: {row.title} cannot be compared: the two could not take turns: no memory",
    )
    assert failures(parse_condition("size:3%"), compared) == ()
    assert "Infinity" not in json.dumps(to_data(compared))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--quick",), "are for what is measured now: give --data PHOTOS too"),
        (("--limit", "5"), "are for what is measured now: give --data PHOTOS too"),
        (("--data", ".", "--across-machines"), "both are measured here: leave out --across-machines"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    files: Callable[..., tuple[Path, Path]], words: tuple[str, ...], told: str
) -> None:
    done = edgewise(*files(BEFORE, BEFORE), *words)
    assert done.exit_code == 2
    assert told in " ".join(done.stderr.replace("│", " ").split())


def test_results_too_short_for_any_verdict_fail_what_asks_for_one(files: Callable[..., tuple[Path, Path]]) -> None:
    def short(row: Row) -> Row:
        return replace(slower(row, 10.0), rounds=slower(row, 10.0).rounds[:2])

    paths = files(BEFORE, replace(BEFORE, rows=tuple(map(short, BEFORE.rows))))
    done = edgewise(*paths, "--fail-if", "slower:3%")
    assert done.exit_code == 1
    assert "cannot be compared: it takes at least 3 rounds of each" in done.stderr
    assert edgewise(*paths, "--fail-if", "size:3%").exit_code == 0


def test_a_condition_that_nobody_can_decide_is_said_to_be_open(files: Callable[..., tuple[Path, Path]]) -> None:
    def restless(row: Row) -> Row:
        rounds = (
            replace(done, samples_ns=tuple(int((1 + number % 2) * each) for each in done.samples_ns))
            for number, done in enumerate(row.rounds)
        )
        return replace(row, rounds=tuple(rounds))

    done = edgewise(*files(BEFORE, changed(restless)), "--fail-if", "slower:3%")
    assert done.exit_code == 0
    assert "slower:3% cannot be told for" in done.stderr
    assert f"of {len(BEFORE.rows)} rows, which fail nothing: see the table" in done.stderr


def test_what_broke_is_told_from_what_was_broken_before_and_from_what_took_its_place() -> None:
    gone, *left = (row for row in BEFORE.rows if row.entry.kind.value == "variant")
    other = replace(gone, entry=replace(gone.entry, name="signs-dynamic", scheme="dynamic"))
    lost = Failure(gone.entry, "killed by SIGSEGV")
    # A file of another scheme on the same engine is measured now, and is no excuse.
    after = replace(BEFORE, rows=(*left, other), failures=(lost,))
    assert compare_results(BEFORE, after).broken == (f"{gone.title}: killed by SIGSEGV",)

    def unreadable(name: str) -> Failure:
        return Failure(replace(gone.entry, name=name, backend="", scheme="", threads=0), "cut off")

    old, new = unreadable("old.onnx"), unreadable("new.onnx")
    before = replace(BEFORE, failures=(old,))
    assert compare_results(before, replace(BEFORE, failures=(old,))).broken == ()
    assert compare_results(before, replace(BEFORE, failures=(new,))).broken == ()  # renamed
    assert compare_results(before, replace(BEFORE, failures=(old, new))).broken == (f"{new.entry.title}: cut off",)


@pytest.mark.parametrize(
    "change", [{"cpu_limit": 1.0}, {"governor": "powersave"}, {"memory_limit_bytes": 1 << 30}], ids=str
)
def test_a_limit_or_another_governor_makes_another_machine(change: dict[str, Any]) -> None:
    after = replace(BEFORE, machine=replace(BEFORE.machine, **change))
    with pytest.raises(InputError, match=r"of different machines: ((CPU|memory) limit none|governor)"):
        compare_results(BEFORE, after)


def test_json_has_everything(files: Callable[..., tuple[Path, Path]]) -> None:
    result = edgewise(*files(BEFORE, changed(slower)), "--json")
    told = json.loads(result.stdout)
    assert told["rows"][0]["latency"]["verdict"] == "slower"
    assert set(told["rows"][0]["latency"]["ratio"]) == {"value", "low", "high"}


def test_the_table_says_what_changed(files: Callable[..., tuple[Path, Path]]) -> None:
    result = edgewise(*files(BEFORE, changed(slower)))
    assert result.exit_code == 0
    assert "clothes → clothes" in result.stdout
    assert "slower" in result.stdout
    assert "+10.0%" in result.stdout


def test_markdown_is_a_table_that_no_name_breaks() -> None:
    rows = tuple(replace(row, entry=replace(row.entry, name="a|b*.onnx")) for row in BEFORE.rows[:1])
    text = to_markdown(compare_results(replace(BEFORE, rows=rows), replace(BEFORE, rows=rows)))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 3
    assert r"a\|b\*.onnx" in table[2]


def test_what_is_not_measured_yet_needs_photos(tmp_path: Path) -> None:
    result = edgewise(tmp_path, tmp_path)
    assert result.exit_code == 2
    assert "give --data PHOTOS" in " ".join(result.stderr.replace("│", " ").split())
    missing = edgewise(tmp_path / "a.json", tmp_path / "b.json")
    assert isinstance(missing.exception, InputError)


def test_results_without_common_rows_are_refused() -> None:
    first, last = (replace(BEFORE, rows=(row,)) for row in (BEFORE.rows[0], BEFORE.rows[-1]))
    with pytest.raises(InputError, match="have no row in common"):
        compare_results(first, last)


@pytest.mark.parametrize("rounds", [5, 6])
def test_bulk_and_start_are_compared_as_far_as_their_intervals_reach(rounds: int) -> None:
    before = BEFORE.rows[0]
    assert before.offline is not None
    twice = replace(before.offline, images_per_second=Interval(20.0, 18.0, 22.0), rounds=rounds)
    once = replace(before.offline, images_per_second=Interval(10.0, 9.0, 11.0), rounds=rounds)
    old = replace(BEFORE, rows=(replace(before, offline=once, start_ms=Interval(400.0, 390.0, 410.0)),))
    new = replace(BEFORE, rows=(replace(before, offline=twice, start_ms=None),))
    (row,) = compare_results(old, new).rows
    enough = rounds == 6
    assert row.bulk == Ratio(2.0, Interval(2.0, 18 / 11, 22 / 9) if enough else None)
    assert row.start is None
    assert f"| +100.0%{' (+63.6 to +144.4)' * enough} | – |" in to_markdown(compare_results(old, new))
