from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import pytest

from edgewise.benchmarks.remarks import make_remarks
from edgewise.benchmarks.results import Results
from edgewise.benchmarks.task import Measurement


@pytest.fixture(scope="module")
def results(benchmark_results: ModuleType) -> Results:
    found: Results = benchmark_results.synthetic()
    return replace(found, machine=replace(found.machine, load_average=(0.1, 0.1, 0.1)))


def test_what_disturbs_a_measurement_is_remarked(results: Results) -> None:
    first, *others = results.rows
    steps = tuple(
        Measurement(threads=1, stable=number > 0, samples_ns=(1_000_000 * (10 + number),) * 9) for number in range(8)
    )
    rows = (replace(first, rounds=steps, threads=1), *others)
    data = replace(
        results.data,
        available=1000,
        classes=3,
        available_classes=5,
        split="all",
        unreadable=7,
        unreadable_shown=("x\udcff.jpg",),
    )
    machine = replace(results.machine, load_average=(3.9, 1.0, 1.0))
    told = "\n".join(make_remarks(rows, data, machine))
    for remark in (
        "clothes-fp16.onnx on OpenVINO, 2 threads was contended to the end, so that its times are not to be relied on: "
        "other processes took 34% of a core.",
        "Rounds that were measured again because something disturbed them: 4.",
        "clothes-fp16.onnx on OpenVINO, 2 threads is not faster than its float twin here (79.8 against 63 ms): "
        "on this machine it saves size only.",
        "clothes-int8.tflite on OpenVINO, 2 threads is less often right than the reference, beyond chance: "
        "−5.9 (−8.1 to −3.6) points.",
        "Measured on 700 of 1,000 photos",
        "Only 3 of 5 classes have a photo among them",
        "The folder of photos has no splits, so all of them count",
        r"Photos that cannot be read, left out of every figure: 7 (x\xff.jpg; ...).",
        "The machine was busy with other things when this began (load average 3.9 on 4 cores)",
        "so that the machine was not steady: clothes-int8.tflite on OpenVINO, 2 threads.",
        "A warm-up ended by time, before latencies were stable; give more --seconds: clothes-int8.tflite",
        "clothes-int8.tflite on OpenVINO, 2 threads ran with 1 thread, not the 2 asked for.",
    ):
        assert remark in told, remark


def test_a_quiet_measurement_needs_few_words(results: Results) -> None:
    rows = tuple(row for row in results.rows if row.entry.scheme == "fp32")
    assert make_remarks(rows, results.data, results.machine) == (
        "Beside p50 and start stands the range of 4 rounds: it holds the median of further rounds in about 88% of all "
        "cases. Without --quick there are rounds enough for 95%, and the shortest scripts to compare with.",
    )
    enough = tuple(replace(row, rounds=row.rounds * 2) for row in rows)
    assert make_remarks(enough, results.data, results.machine) == ()
    (told,) = make_remarks(enough, results.data, replace(results.machine, gpus=("NVIDIA L4",)))
    assert told == "Nothing was measured on the machine's GPU (NVIDIA L4): no engine here computes on it."


def test_files_that_were_not_shown_to_be_faster_share_a_remark(results: Results) -> None:
    one_round = tuple(replace(row, rounds=row.rounds[:1]) for row in results.rows)
    (told,) = (line for line in make_remarks(one_round, results.data, results.machine) if "float twin" in line)
    assert told == (
        "Not shown to be faster than the float twin here: clothes-fp16.onnx on OpenVINO, 2 threads (79.8 against "
        "63 ms); clothes-fp16.onnx on ONNX Runtime, 2 threads (103 against 81 ms)."
    )


def test_an_engine_that_cuts_sums_off_is_named(results: Results) -> None:
    old, new = (replace(results.machine, flags=("sse4_2", "avx2", *more)) for more in ((), ("avx512_vnni",)))
    (told,) = (line for line in make_remarks(results.rows, results.data, old) if "cuts sums" in line)
    assert told.startswith("OpenVINO cuts sums of 8-bit products off at 16 bits on this CPU, which has no VNNI: ")
    assert told.endswith(": clothes-int8.tflite; clothes-int8.onnx.")
    assert "cuts sums" not in "\n".join(make_remarks(results.rows, results.data, new))


def test_a_peak_that_is_exceeded_is_none(results: Results) -> None:
    first, *others = results.rows
    told = make_remarks((replace(first, ceiling_share=2.31), *others), results.data, results.machine)
    assert any(remark.startswith("Networks reach up to 231% of the peak, so what was taken for") for remark in told)


def test_a_withheld_percentile_is_explained(results: Results) -> None:
    first = results.rows[0]
    row = replace(first, latency=replace(first.latency, p99=None), accuracy=None)
    told = make_remarks((row,), results.data, results.machine)
    assert any("64 for p90, 662 for p99" in remark for remark in told)
