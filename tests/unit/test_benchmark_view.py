from __future__ import annotations

import json
from dataclasses import replace
from types import ModuleType

import pytest

from edgewise.benchmarks.recommendation import Limits, recommend
from edgewise.benchmarks.results import Failure, Results, Row
from edgewise.cli.benchmark_view import print_json, print_table


@pytest.fixture(scope="module")
def results(benchmark_results: ModuleType) -> Results:
    found: Results = benchmark_results.synthetic()
    failure = Failure(replace(found.rows[0].entry, name="[red]bad.tflite"), "killed by SIGSEGV")
    return replace(found, recommendation=recommend(found.rows, Limits()), failures=(failure,))


def test_the_table_fits_a_terminal(
    results: Results, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    long = replace(results.rows[0], entry=replace(results.rows[0].entry, name="an-extremely-long-name" * 4 + ".tflite"))
    print_table(replace(results, rows=(long,), recommendation=None))
    print_table(results)
    printed = capsys.readouterr().out
    lines = [line.rstrip() for line in printed.splitlines()]
    assert max(map(len, lines)) <= 80
    assert "OpenVINO, 2 threads            0.0  62.6–63.4  73.1          300 MB" in lines
    assert "Keras                    reference" in printed
    assert "plain LiteRT, 2 threads" in printed
    told = " ".join(lines)
    assert "Recommended: clothes-fp32.onnx on OpenVINO, 2 threads, the fastest with at most 1 point" in told
    assert "How certain: certainly the fastest of them" in told
    assert "not faster? the CPU has no VNNI" in told
    assert "[red]bad.tflite on OpenVINO, 2 threads was not measured: killed by SIGSEGV" in told


def test_what_was_measured_of_no_row_has_no_column(results: Results, capsys: pytest.CaptureFixture[str]) -> None:
    def looked_at(row: Row) -> Row:
        few = replace(row.latency, p10=None, p90=None, p99=None)
        return replace(row, latency=few, offline=None, memory_bytes=0, rounds=row.rounds[:1])

    settings = replace(results.settings, rounds=1, offline_rounds=0, mode="quick")
    print_table(replace(results, rows=tuple(map(looked_at, results.rows)), settings=settings))
    first, second = (line.split() for line in capsys.readouterr().out.splitlines() if line.startswith(("file", "back")))
    assert first == ["file", "top-1", "p50", "ms", "size", "start"]
    assert second == ["backend", "points", "one", "round", "s"]


def test_what_is_missed_is_told(results: Results, capsys: pytest.CaptureFixture[str]) -> None:
    print_table(replace(results, recommendation=recommend(results.rows, Limits(max_latency=1))))
    assert "Nothing to recommend: nothing that was measured keeps to" in " ".join(capsys.readouterr().out.split())


def test_json_lines_have_every_figure_and_no_raw_samples(results: Results, capsys: pytest.CaptureFixture[str]) -> None:
    print_json(results)
    *rows, failure, recommendation = map(json.loads, capsys.readouterr().out.splitlines())
    assert len(rows) == len(results.rows)
    assert "rounds" not in rows[0]
    assert "confusion" not in rows[0]["accuracy"]
    assert rows[0]["accuracy"]["top1"]["total"] == 700
    assert rows[0]["latency"]["p50_interval"]["low"] > 0
    assert failure["error"] == "killed by SIGSEGV"
    assert recommendation["recommendation"]["file"] == "clothes-fp32.onnx"
