from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from edgewise.benchmarks.entry import Entry
from edgewise.benchmarks.packing import pack, unpack
from edgewise.benchmarks.results import Results, read_results
from edgewise.spec import InputError


@pytest.fixture
def results(benchmark_results: ModuleType) -> Results:
    found: Results = benchmark_results.synthetic(photos=60)
    return found


def test_results_are_read_as_they_were_written(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(results.to_json(), encoding="utf-8")
    assert read_results(path) == results


def test_rows_that_differ_in_threads_only_keep_one_accuracy(results: Results) -> None:
    data = json.loads(results.to_json())
    with_accuracy = [row for row in data["rows"] if row["accuracy"] is not None]
    assert 0 < len(data["accuracies"]) < len(with_accuracy)


def test_what_a_later_version_adds_is_passed_over(results: Results) -> None:
    data = json.loads(results.to_json())
    data["rows"][0]["latency"]["p999"] = 5
    assert Results.from_json(json.dumps(data)) == results


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data.update(schema=1), "has schema 1\nExpected: schema 2\nDo: measure again"),
        (lambda data: data.update(schema=9), "has schema 9\nExpected: schema 2\nDo: update edgewise"),
        (lambda data: data.update(schema="2"), "names no schema"),
        (lambda data: data.pop("machine"), "results.json has no 'machine'"),
        (lambda data: data.update(rows={}), "has no lists of rows and accuracies"),
        (lambda data: data["rows"][0].update(accuracy=99), r"rows[0].accuracy is 99"),
        (lambda data: data["rows"][0].update(accuracy=True), r"rows[0].accuracy is True"),
        (lambda data: data["rows"][0].update(threads="2"), "rows[0].threads is '2'\nExpected: a whole number"),
        (lambda data: data["rows"][0].update(threads=2.5), "rows[0].threads is 2.5\nExpected: a whole number"),
        (lambda data: data["rows"][0]["entry"].update(kind="best"), "kind is 'best'\nExpected: one of variant"),
        (lambda data: data["rows"][0]["latency"].update(p50=0), "rows[0].latency has"),
        (lambda data: data["rows"][0]["latency"].update(p50=float("nan")), "latency.p50 is nan"),
        (lambda data: data["rows"][0]["latency"].update(p50=10**400), "Expected: a finite number"),
        (lambda data: data["rows"][0]["latency"].update(p50=None), "latency.p50 is None"),
        (lambda data: data["rows"].append(7), "rows["),
        (lambda data: data["rows"][0]["rounds"][0].update(samples_ns=[0]), "has a time of 0 or less"),
        (lambda data: data["rows"][0].update(memory_bytes=10**400), "memory_bytes is 1000"),
        (lambda data: data["accuracies"][0].update(confusion=[[1]]), "accuracy.confusion is not 10 x 10"),
        (lambda data: data["accuracies"][0]["top1"].update(share=1.5), "has a share of 1.5"),
        (lambda data: data["accuracies"][0].update(worst="x"), "accuracies[0].worst is 'x'\nExpected: a list"),
        (lambda data: data.update(labels=data["labels"][1:]), "a line and a column for each label"),
    ],
)
def test_what_no_benchmark_wrote_is_refused_by_name(
    results: Results, change: Callable[[dict[str, Any]], Any], told: str
) -> None:
    data = json.loads(results.to_json())
    change(data)
    with pytest.raises(InputError) as error:
        Results.from_json(json.dumps(data))
    assert told in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_what_is_no_json_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"results\.json (is not JSON|names no schema)"):
        read_results(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json cannot be read: No such file"):
        read_results(tmp_path / "none.json")


def test_answers_are_packed_small() -> None:
    answers = np.random.default_rng(0).integers(-1, 200, 60_000).astype(np.int32)
    text = pack(answers)
    assert np.array_equal(unpack(text), answers)
    assert len(text) < 120_000
    assert len(unpack("")) == 0
    for wrong in ("?", "AAAA", text[:-8], pack(answers)[:50]):
        with pytest.raises(InputError, match="the answers of the photos cannot be read"):
            unpack(wrong)


@pytest.mark.parametrize(
    ("scheme", "backend", "whole"),
    [
        ("int8", "onnxruntime", True),
        ("int8-qat", "litert", True),
        ("w8a16", "litert", True),
        ("dynamic", "litert", True),  # its activations are rounded as they come
        ("dynamic", "onnxruntime", False),
        ("fp16", "litert", False),
    ],
)
def test_a_file_is_held_against_the_peak_of_the_numbers_that_it_computes_in(
    scheme: str, backend: str, whole: bool
) -> None:
    assert Entry("a", "a", "tflite", scheme, backend, "", 1).in_whole_numbers == whole
