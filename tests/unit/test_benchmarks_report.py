from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from edgewise.benchmarks.environment import Machine
from edgewise.benchmarks.remarks import make_remarks
from edgewise.benchmarks.report import require_extra, to_html, to_markdown, write_reports
from edgewise.benchmarks.results import Data, Entry, Failure, Kind, Results, Row, Settings
from edgewise.benchmarks.rows import make_row
from edgewise.benchmarks.task import Measurement
from edgewise.benchmarks.text import comparison, headline
from edgewise.spec import ExtraMissingError

HOSTILE = "<img src=x onerror=alert(1)>$x$</svg><script>alert('1')</script>|`_\x1b\udcff.onnx"
MACHINE = Machine("Fast CPU", "", "x86_64", ("avx2",), 4, 8 << 30, "Linux 6", "", (0.1, 0.1, 0.1))
DATA = Data("photos", "test", photos=200, available=200, classes=10, sha256="ab" * 32)


def measured(milliseconds: float, queries: int, correct: int = 95) -> Measurement:
    return Measurement(
        threads=2,
        sha256="cd" * 32,
        load_ns=500_000_000,
        warm_up_calls=10,
        stable=True,
        samples_ns=(int(milliseconds * 1e6),) * queries,
        photo_ns=(int(milliseconds * 2e6),) * 100,
        correct=correct,
        bare_bytes=20_000_000,
        peak_bytes=300_000_000,
    )


def row(name: str, milliseconds: float, *, queries: int = 400, correct: int = 95) -> Row:
    kind, backend = {"onnx": ("onnx", "onnxruntime"), "tflite": ("tflite", "litert")}.get(
        name.rpartition(".")[2], ("run", "keras")
    )
    scheme = "int8" if "int8" in name else "fp32"
    sha256 = "" if kind == "run" else "cd" * 32
    what = Kind.REFERENCE if kind == "run" else Kind.VARIANT
    made = make_row(
        Entry(
            name,
            f"release/{name}",
            kind,
            scheme,
            backend,
            sha256,
            56_000_000,
            what,
        ),
        (measured(milliseconds, queries, correct),) * 2,
    )
    assert isinstance(made, Row)
    return made


def results(*rows: Row, failures: tuple[Failure, ...] = ()) -> Results:
    ordered = tuple(sorted(rows, key=lambda row: row.latency.p50))
    return Results(
        name="clothes",
        release="release",
        started="2025-01-02T03:04:05+00:00",
        took_seconds=12.3,
        command=("edgewise", "benchmark", "my release"),
        edgewise="0.1.0",
        machine=MACHINE,
        versions={"python": "3.11.0", "numpy": "2.0"},
        settings=Settings(threads=(2,), seconds=10, rounds=2, seed=0, limit=None),
        data=DATA,
        labels=(),
        rows=ordered,
        failures=failures,
        remarks=make_remarks(ordered, DATA, MACHINE, 2),
    )


FIVE = (
    row("clothes-fp32.tflite", 200),
    row("clothes-int8.tflite", 70, correct=94),
    row("clothes-fp32.onnx", 150),
    row("clothes-int8.onnx", 155),
    row("clothes", 400),
)
FAILURE = Failure(Entry("bad.tflite", "release/bad.tflite", "tflite", "int8", "litert", "", 1), "killed by SIGSEGV")


class Page(HTMLParser):
    """Collects the elements, links and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.handlers: list[str] = []
        self.content = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action", "data")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.content += data


def test_the_rounds_of_a_row_are_combined() -> None:
    made = make_row(FIVE[0].entry, (measured(1, 400, 90), measured(3, 400, 100)))
    assert isinstance(made, Row)
    assert (made.top1.successes, made.top1.total) == (190, 200)
    assert (made.latency.queries, made.latency.p50, made.latency.p99) == (800, 1.0, 3.0)
    assert made.images_per_second == pytest.approx(1000 / 4)
    assert (made.load_ms, made.memory_bytes, made.bare_bytes) == (500, 300_000_000, 20_000_000)


def test_a_failed_round_and_no_readable_photo_are_failures() -> None:
    made = make_row(FIVE[0].entry, (measured(1, 5), Measurement(error="killed by SIGSEGV")))
    assert made == Failure(FIVE[0].entry, "killed by SIGSEGV")
    made = make_row(FIVE[0].entry, (replace(measured(1, 5), photo_ns=()),))
    assert made == Failure(FIVE[0].entry, "no photo could be read")


def test_the_page_needs_nothing_from_outside() -> None:
    written = to_html(results(*FIVE, failures=(FAILURE,)))
    page = Page(written)
    assert not re.search(r"https?://|@import|url\((?!#)", written)
    assert not {"script", "link", "img", "iframe", "object", "embed", "form"} & set(page.tags)
    assert all(link.startswith("#") for link in page.links)
    assert "default-src 'none'; style-src 'unsafe-inline'" in written
    assert page.tags.count("svg") == 2


def test_the_page_tells_every_figure() -> None:
    page = Page(to_html(results(*FIVE, failures=(FAILURE,)))).content
    for told in (
        "94.0% right in 70 ms per photo: clothes-int8.tflite on LiteRT",
        "5.7 times as fast as the Keras network it was made from (400 ms), and 1.0 points less often right.",
        "Keras reference",
        "int8 · ONNX Runtime",
        "bad.tflite on LiteRT",
        "killed by SIGSEGV",
        "1 of 6 could not be measured",
        "clothes-int8.onnx on ONNX Runtime is not faster than its float twin here (155 against 150 ms)",
        "Fast CPU",
        "edgewise benchmark 'my release'",
        "ab" * 32,
    ):
        assert told in page, told


@pytest.mark.parametrize("rows", [(), FIVE[:1], FIVE])
def test_the_reports_are_written_for_any_number_of_rows(tmp_path: Path, rows: tuple[Row, ...]) -> None:
    write_reports(results(*rows, failures=(FAILURE,)), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["report.html", "report.md", "results.json"]
    kept = json.loads((tmp_path / "out/results.json").read_text())
    assert kept["schema"] == 2
    assert len(kept["rows"]) == len(rows)
    assert all(len(done["samples_ns"]) == 400 for each in kept["rows"] for done in each["rounds"])
    assert kept["failures"][0]["error"] == "killed by SIGSEGV"


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    evil = row(HOSTILE, 5)
    told = replace(
        results(evil, row("b.onnx", 6), failures=(Failure(replace(FAILURE.entry, name=HOSTILE), HOSTILE),)),
        name=HOSTILE,
        data=replace(DATA, path=HOSTILE, split=HOSTILE),
        command=(HOSTILE,),
    )
    write_reports(told, tmp_path)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert not {"img", "script"} & set(page.tags)
    assert page.handlers == []
    assert "<script>alert('1')</script>" in page.content
    # Both rows are fp32 on ONNX Runtime, so that the plot writes out their names.
    assert page.content.count("<img src=x onerror=alert(1)>$x$</svg>") > 5
    assert page.tags.count("svg") == 2
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "<" not in markdown
    assert "\\|\\`\\_" in markdown


def test_the_markdown_has_a_row_per_variant() -> None:
    lines = to_markdown(results(*FIVE, failures=(FAILURE,))).splitlines()
    assert (
        "| clothes-int8.tflite | LiteRT | 94.0% (89.8–96.9%) | 70 | 70 | 70 | 7.14 | 56.0 MB | 300 MB | 0.50 s |"
        in lines
    )
    assert sum(line.startswith("| clothes") for line in lines) == 5
    assert "- bad.tflite on LiteRT was not measured: killed by SIGSEGV" in lines


def test_a_withheld_percentile_is_a_dash_and_explained() -> None:
    told = results(row("a.onnx", 5, queries=30))
    assert "| 5 | – | – |" in to_markdown(told)
    assert any("64 for p90, 662 for p99" in remark for remark in told.remarks)


def test_the_headline_claims_no_more_than_was_measured() -> None:
    assert headline(results()) == "Nothing could be measured."
    assert comparison(results(FIVE[0])) == ""
    assert comparison(results(row("a.onnx", 500), FIVE[4])) == (
        "No exported file is faster here than the Keras network it was made from."
    )
    assert comparison(results(row("a.onnx", 100), row("b.onnx", 101))) == (
        "About as fast as b.onnx on ONNX Runtime (101 ms), and as often right."
    )


def test_what_disturbs_a_measurement_is_remarked() -> None:
    drifting = make_row(
        FIVE[0].entry, (measured(10, 800), replace(measured(12, 800), stable=False, unreadable=("x.jpg",)))
    )
    assert isinstance(drifting, Row)
    bad = row("b-int8.tflite", 5, queries=800, correct=80)
    busy = replace(MACHINE, load_average=(3.9, 1.0, 1.0))
    remarks = "\n".join(make_remarks((drifting, bad), replace(DATA, available=1000, split="all"), busy, threads=4))
    for told in (
        "b-int8.tflite on LiteRT loses 15.0 points of top-1 to its float twin.",
        "Measured on 200 of 1,000 photos",
        "Photos that cannot be read, left out of every figure: 1 (x.jpg).",
        "The folder of photos has no splits, so all of them count",
        "The machine was busy with other things when this began (load average 3.9 on 4 cores)",
        "clothes-fp32.tflite on LiteRT: the rounds differ (10 and 12 ms)",
        "the warm-up ended by time, before latencies were stable",
        "ran with 2 threads, not the 4 that were asked for",
    ):
        assert told in remarks, told
    assert "intervals of top-1" not in remarks


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExtraMissingError, match=re.escape("pip install 'edgewise[bench]'")) as caught:
        require_extra()
    assert caught.value.module == module
