from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner

from edgewise.benchmarks.recommendation import Limits, recommend, select
from edgewise.benchmarks.results import Kind, Results, Row
from edgewise.benchmarks.statistics import Interval
from edgewise.cli.main import make_app
from edgewise.runtime.selection import SELECTED
from edgewise.spec import InputError


@pytest.fixture(scope="module")
def results(benchmark_results: ModuleType) -> Results:
    found: Results = benchmark_results.synthetic()
    return found


def changed(results: Results, change: Callable[[Row], Row]) -> tuple[Row, ...]:
    return tuple(change(row) for row in results.rows)


def test_the_fastest_within_the_drop_is_recommended(results: Results) -> None:
    found = recommend(results.rows, Limits())
    assert found is not None
    assert (found.file, found.backend, found.threads, found.provider) == ("clothes-fp32.onnx", "openvino", 2, "cpu")
    assert found.met
    assert found.sha256 == "cd" * 32
    assert found.limits == {"max_drop": 1.0}
    assert found.reason.startswith("the fastest with at most 1 point of top-1 lost (12 of 20 keep to it): 63 ms, ")
    assert "certainly the fastest of them" in found.certainty
    assert "it certainly keeps to the drop (95% interval −0.3 to +0.3 points against the reference)" in found.certainty


def test_a_drop_that_the_photos_do_not_prove_is_told_with_what_is_proven(results: Results) -> None:
    found = recommend(results.rows, Limits(max_drop=1.5))
    assert found is not None
    assert found.file == "clothes-int8.onnx"
    assert "that it keeps to the drop is likely, but 700 photos do not prove it" in found.certainty
    assert "the fastest that certainly does is clothes-fp32.onnx on OpenVINO, 2 threads (63 ms)" in found.certainty


def test_every_limit_counts(results: Results) -> None:
    found = recommend(results.rows, Limits(max_drop=1.5, max_latency=50, max_size=60e6))
    assert found is not None
    assert found.met
    assert "at most 1.5 points of top-1 lost, at most 50 ms and at most 60.0 MB" in found.reason
    found = recommend(results.rows, Limits(max_drop=0, max_latency=100))
    assert found is not None
    assert found.file == "clothes-fp32.onnx"
    assert "with at most 0 points of top-1 lost and at most 100 ms (3 of 20 keep to it)" in found.reason


def test_where_nothing_fits_the_nearest_and_what_it_misses_are_told(results: Results, tmp_path: Path) -> None:
    found = recommend(results.rows, Limits(max_drop=1, max_latency=34))
    assert found is not None
    assert not found.met
    assert found.reason == (
        "nothing that was measured keeps to at most 1 point of top-1 lost and at most 34 ms; the nearest is "
        "clothes-int8.onnx on OpenVINO, 2 threads: 1.4 points below the reference, at most 1; 35.3 ms, at most 34"
    )
    with pytest.raises(InputError, match=r"--select has nothing to choose: nothing that was measured keeps to"):
        select(replace(results, recommendation=found), tmp_path)
    assert not (tmp_path / SELECTED).exists()


def test_what_the_rounds_do_not_tell_apart_is_a_toss_up(results: Results) -> None:
    best = next(row for row in results.rows if row.entry.name == "clothes-fp32.onnx")

    def near(row: Row) -> Row:
        if row.entry.name != "clothes-fp16.onnx":
            return row
        rounds = tuple(
            replace(done, samples_ns=tuple(int(each * (1.03, 0.98)[number % 2]) for each in done.samples_ns))
            for number, done in enumerate(best.rounds)
        )
        return replace(row, rounds=rounds)

    found = recommend(changed(results, near), Limits())
    assert found is not None
    assert found.certainty.startswith(
        "a toss-up with clothes-fp16.onnx on OpenVINO, 2 threads (79.8 ms) and clothes-fp16.onnx on ONNX Runtime, "
        "2 threads (103 ms) and clothes-fp16.onnx on OpenVINO, 1 thread (139 ms) and 1 more: "
        "what was measured does not tell them apart; "
    )


def test_a_quick_run_claims_no_certainty(results: Results) -> None:
    found = recommend(changed(results, lambda row: replace(row, rounds=row.rounds[:2])), Limits())
    assert found is not None
    assert found.certainty.startswith("whether it is the fastest of them for certain, 2 rounds cannot tell; ")


def test_a_median_that_may_be_over_the_limit_says_so(results: Results) -> None:
    def widened(row: Row) -> Row:
        wide = Interval(row.latency.p50, 0.7 * row.latency.p50, 1.3 * row.latency.p50)
        return replace(row, latency=replace(row.latency, p50_interval=wide))

    found = recommend(changed(results, widened), Limits(max_latency=70))
    assert found is not None
    assert found.certainty.startswith("there is nothing to compare its speed with; ")
    assert "its median may be over the limit (44.1–81.9 ms)" in found.certainty


def test_without_a_reference_the_most_accurate_variant_counts(results: Results) -> None:
    def alone(row: Row) -> Row:
        return replace(row, accuracy=replace(row.accuracy, difference=None) if row.accuracy else None)

    rows = tuple(row for row in changed(results, alone) if not row.entry.is_reference)
    found = recommend(rows, Limits())
    assert found is not None
    assert (found.file, found.met) == ("clothes-fp32.onnx", True)
    assert "as often right as the most accurate variant" in found.reason
    assert "points against the most accurate variant)" in found.certainty
    assert recommend((), Limits()) is None


def test_what_few_photos_rule_out_by_chance_is_told(results: Results) -> None:
    """One file lost two photos more than it won: that may be chance, and is more than the limit."""

    def unlucky(row: Row) -> Row:
        if row.entry.scheme != "int8" or row.accuracy is None or row.accuracy.difference is None:
            return row
        lost = replace(row.accuracy.difference, points=Interval(-2.0, -5.0, 0.5), lost=2, gained=0)
        return replace(row, accuracy=replace(row.accuracy, difference=lost))

    rows = changed(results, unlucky)
    int8 = tuple(row for row in rows if row.entry.scheme == "int8" and row.entry.kind is Kind.VARIANT)
    others = len({(row.entry.name, row.entry.backend) for row in int8})
    told = f"{others} others were left out for losing over 1 point, which these photos do not prove"
    found = recommend(rows, Limits())
    assert found is not None
    assert found.met
    assert told in found.certainty
    found = recommend(int8, Limits())
    assert found is not None
    assert not found.met
    assert told in found.reason


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_limit_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(InputError, match=r"--max-size (inf|nan)\nExpected: a number\nDo: leave --max-size out"):
        Limits(max_size=value)


def test_a_contended_choice_says_so(results: Results) -> None:
    rows = tuple(row for row in results.rows if row.entry.scheme in ("fp16", "int8"))
    found = recommend(rows, Limits())
    assert found is not None
    assert found.file == "clothes-fp16.onnx"
    assert "something else used the machine while it was measured" in found.certainty


def test_the_choice_is_written_into_the_release(results: Results, tmp_path: Path) -> None:
    told = replace(results, recommendation=recommend(results.rows, Limits()))
    written = json.loads(select(told, tmp_path).read_text())
    assert written["file"] == "clothes-fp32.onnx"
    assert (written["backend"], written["threads"], written["sha256"]) == ("openvino", 2, "cd" * 32)
    assert "certainly the fastest" in written["reason"]
    with pytest.raises(InputError, match=r"--select with .*selected\.json, which is no folder\nExpected: a release"):
        select(told, tmp_path / SELECTED)


def test_a_choice_without_a_release_folder_is_refused_before_measuring(tmp_path: Path) -> None:
    file = Path(__file__).parents[1] / "data" / "tiny.onnx"
    words = ["benchmark", str(file), "--data", str(tmp_path), "--out", str(tmp_path / "out"), "--select"]
    done = CliRunner().invoke(make_app("benchmark"), words)
    assert isinstance(done.exception, InputError)
    assert "tiny.onnx, which is no folder\nExpected: a release folder" in str(done.exception)
    assert not (tmp_path / "out").exists()
