from __future__ import annotations

import csv
import io
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest

from edgewise.benchmarks.class_changes import MAX_CLASSES, MAX_COLUMNS, class_changes
from edgewise.benchmarks.csv_table import to_csv
from edgewise.benchmarks.disagreements import SHOWN, worst_disagreements
from edgewise.benchmarks.figures import Energy, OutOfClass
from edgewise.benchmarks.markdown import to_markdown
from edgewise.benchmarks.page import to_html
from edgewise.benchmarks.recommendation import Limits, recommend
from edgewise.benchmarks.report import require_extra, write_reports
from edgewise.benchmarks.results import Failure, Results, read_results
from edgewise.benchmarks.statistics import share
from edgewise.benchmarks.text import comparison, headline, short_names
from edgewise.spec import ExtraMissingError

HOSTILE = "<img src=x onerror=alert(1)>$x$</svg><script>alert('1')</script>|`_\x1b\udcff.onnx"


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


@pytest.fixture(scope="module")
def results(benchmark_results: ModuleType) -> Results:
    """Twenty variants, the network and a plain loop, with a recommendation and a failure."""
    found: Results = benchmark_results.synthetic()
    entry = replace(found.rows[0].entry, name="bad.tflite", threads=1)
    failures = (Failure(entry, "killed by SIGSEGV"),)
    return replace(found, recommendation=recommend(found.rows, Limits()), failures=failures)


@pytest.fixture(scope="module")
def page(results: Results) -> str:
    return to_html(results)


def test_the_page_needs_nothing_from_outside(page: str) -> None:
    read = Page(page)
    assert not re.search(r"https?://|@import|url\((?!#)", page)
    assert not {"link", "iframe", "object", "embed", "form", "base"} & set(read.tags)
    assert all(link.startswith(("#", "data:image/jpeg;base64,")) for link in read.links)
    assert re.search(r"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-\S{44}';", page)
    assert read.tags.count("svg") == 8  # four drawings, for a wide and for a narrow screen
    assert read.handlers == []


def test_of_few_photos_the_headline_tells_the_number(results: Results) -> None:
    first, *others = results.rows
    assert first.accuracy is not None
    of_few = replace(first, accuracy=replace(first.accuracy, top1=share(2, 11)))
    told = headline(replace(results, rows=(of_few, *others), recommendation=None))
    assert told.startswith("2 of 11 photos right in ")


def test_one_round_and_no_bulk_are_told_as_they_are(results: Results) -> None:
    settings = replace(results.settings, seconds=10.0, rounds=1, offline_rounds=0, mode="quick")
    rows = tuple(replace(row, rounds=row.rounds[:1], rates=(), offline=None) for row in results.rows)
    looked_at = replace(results, settings=settings, rows=rows)
    told = re.sub(r"\s+", " ", Page(to_html(looked_at)).content)
    assert "of each row were measured in 1 round, every round in a fresh child process" in told
    assert "what the queries of one process leave open; another process may differ more." in told
    start = r"\d\.\d\d–\d\.\d\d"
    assert re.search(start, to_html(results))
    assert not re.search(start, told)
    assert "1 round of 10 s, seed 0" in to_markdown(looked_at)


def test_the_page_tells_every_part(page: str) -> None:
    told = re.sub(r"\s+", " ", Page(page).content)
    for part in (
        "90.9% right in 63 ms per photo: clothes-fp32.onnx on OpenVINO, 2 threads",
        "6.7 times as fast as the Keras network it was made from (420 ms), and as often right.",
        "Recommended: clothes-fp32.onnx on OpenVINO, 2 threads",
        "It is the fastest with at most 1 point of top-1 lost (12 of 20 keep to it): 63 ms",
        "Why is it not faster?",
        "the CPU has no VNNI, so that int8 products take three instructions in place of one.",
        "41.0% of its time",
        "From a file to its label",
        "plain loop, for comparison",
        "Over 5 minutes without a pause",
        "What this machine computes at most",
        "Which classes were hurt, which were helped",
        "Can its probabilities be believed?",
        "bad.tflite on OpenVINO, 1 threadkilled by SIGSEGV",
        "1 of 23 could not be measured",
        "contended",
        "Fast CPU",
        "edgewise benchmark 'my release'",
        "ab" * 32,
    ):
        assert part in told, part


def test_energy_and_photos_of_no_class_are_told_where_they_were_measured(results: Results, page: str) -> None:
    first, *others = results.rows
    assert first.accuracy is not None
    accuracy = replace(first.accuracy, ood=OutOfClass(80, 0.937, 0.4, share(12, 80)))
    row = replace(first, energy=Energy(1.84, "RAPL package-0"), accuracy=accuracy)
    found = replace(results, rows=(row, *others), settings=replace(results.settings, ood="strange photos"))
    told = Page(to_html(found)).content
    for part in ("J/photo", "1.84", "0.937", "15.0%", "photos of no class from strange photos"):
        assert part in told
    assert "J/photo" not in Page(page).content
    (line,) = (line for line in csv.DictReader(io.StringIO(to_csv(found))) if line["energy_joules_per_image"])
    assert (line["energy_joules_per_image"], line["ood_auroc"]) == ("1.84", "0.937")
    assert float(line["ood_false_accept_share"]) == pytest.approx(0.15)


@pytest.mark.parametrize("count", [0, 1])
def test_the_reports_are_written_for_hardly_any_row(results: Results, count: int, tmp_path: Path) -> None:
    few = replace(results, rows=results.rows[:count], recommendation=None, ceilings=())
    write_reports(few, tmp_path / "out")
    names = ["report.html", "report.md", "results.csv", "results.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    kept = read_results(tmp_path / "out/results.json")
    assert [len(row.rounds) for row in kept.rows] == [4] * count
    assert kept.failures == few.failures


def test_hostile_names_stay_text(benchmark_results: ModuleType, tmp_path: Path) -> None:
    model = benchmark_results.MODELS[1]
    evil = (model._replace(name=HOSTILE), benchmark_results.MODELS[2]._replace(name="=1+1.onnx"))
    labels = (HOSTILE, "=cmd", *benchmark_results.LABELS[2:])
    found = benchmark_results.synthetic(150, labels, folder=HOSTILE, models=evil)
    told = replace(
        found, name=HOSTILE, command=(HOSTILE,), remarks=(HOSTILE,), started=HOSTILE, versions={HOSTILE: HOSTILE},
        failures=(Failure(replace(found.rows[0].entry, name=HOSTILE, backend=HOSTILE), HOSTILE),),
        recommendation=recommend(found.rows, Limits()),
    )  # fmt: skip
    write_reports(told, tmp_path)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "img" not in page.tags
    assert page.tags.count("script") == 1
    assert page.handlers == []
    assert page.content.count("<img src=x onerror=alert(1)>$x$</svg>") > 10
    assert page.tags.count("svg") == 8
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert set(re.findall(r"<[^>]*>?", markdown)) == {"<details>", "</details>", "<summary>", "</summary>"}
    assert "\\|\\`\\_" in markdown
    assert "\n'=1+1.onnx," in (tmp_path / "results.csv").read_text(encoding="utf-8")


def test_the_photos_of_the_worst_disagreements_are_small_pictures(
    benchmark_results: ModuleType, tmp_path: Path
) -> None:
    found = benchmark_results.synthetic(400, folder=str(tmp_path))
    wanted = [Path(each.photo) for row in found.rows if row.accuracy for each in row.accuracy.worst]
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), np.uint8)
    for path in wanted:
        path.parent.mkdir(exist_ok=True)
        assert cv2.imwrite(str(path), noise)
    first = worst_disagreements(found)[0]
    (tmp_path / first.name).write_bytes(b"no photo")
    shown = worst_disagreements(found)
    assert len({each.name for each in shown}) == len(shown) == SHOWN
    assert shown[0].picture == ""
    assert shown[1].picture.startswith("data:image/jpeg;base64,/9j/")
    assert sum(len(each.picture) for each in shown) < 400_000
    assert all(each.reference != each.answer for each in shown)


def test_many_photos_and_classes_make_a_small_page(benchmark_results: ModuleType) -> None:
    labels = tuple(f"class {number:03d}" for number in range(200))
    found = benchmark_results.synthetic(60_000, labels, (2,), models=benchmark_results.MODELS[1:2])
    changes = class_changes(found)
    assert changes is not None
    assert len(changes.lines) == MAX_CLASSES
    assert len(changes.columns) <= MAX_COLUMNS
    assert changes.more_lines > 100
    worst = [line.cells[0].photos for line in changes.lines]
    assert worst == sorted(worst)
    assert len(to_html(found)) < 600_000


def test_the_class_that_int8_takes_for_another_is_shown(results: Results) -> None:
    changes = class_changes(results)
    assert changes is not None
    assert changes.columns[0].name == "int8.tflite · OpenVINO"
    assert changes.columns[0].alike == 1  # LiteRT says the same
    by_label = {line.label: line for line in changes.lines}
    assert by_label["t-shirt"].cells[0].photos < 0
    assert by_label["t-shirt"].cells[0].points == pytest.approx(
        100 * by_label["t-shirt"].cells[0].photos / by_label["t-shirt"].photos
    )
    grown = [(pair.truth, pair.answer) for pair in changes.pairs]
    assert len(set(grown)) == len(grown)
    assert all(pair.after > pair.before for pair in changes.pairs)


def test_the_csv_has_a_line_per_row_with_units(results: Results) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(results))))
    assert len(lines) == len(results.rows)
    row = next(line for line in lines if line["kind"] == "reference")
    assert float(row["p50_ms"]) == pytest.approx(419.527, abs=0.01)
    assert row["difference_points"] == ""
    assert float(row["top1_share"]) == pytest.approx(0.908571)
    assert float(row["bulk_images_per_second"]) == pytest.approx(3.5)
    assert next(line for line in lines if line["kind"] == "plain")["top1_share"] == ""


def test_the_markdown_has_a_row_per_row(results: Results) -> None:
    lines = to_markdown(results).splitlines()
    told = (
        "| clothes-int8.tflite | OpenVINO | 2 | 85.0% (82.1–87.6%) | −5.9 (−8.1 to −3.6) | 29.5 (29.3–29.7) | 31.6 "
        "| 34 | 49.7 | 56.5 MB | 300 MB | 0.53 s |"
    )
    assert sum(line.startswith(told) for line in lines) == 1
    assert "| p50 ms (range of 4 rounds) | p90 ms |" in next(line for line in lines if line.startswith("| file |"))
    ten = replace(results, settings=replace(results.settings, rounds=10))
    assert "| p50 ms (95%) | p90 ms |" in to_markdown(ten)
    assert "- The most that this machine computes with 2 threads: " in to_markdown(results)
    assert sum(line.startswith("| clothes") for line in lines) == len(results.rows)
    assert "- bad.tflite on OpenVINO, 1 thread was not measured: killed by SIGSEGV" in lines
    assert any(line.startswith("**Recommended:** clothes-fp32.onnx on OpenVINO, 2 threads") for line in lines)


def test_the_headline_claims_no_more_than_was_measured(results: Results) -> None:
    rows = {(row.entry.scheme, row.entry.backend, row.threads): row for row in results.rows}
    plain = replace(results, recommendation=None)
    assert headline(replace(plain, rows=())) == "Nothing could be measured."
    assert comparison(replace(plain, rows=results.rows[:1])) == ""
    reference = rows["fp32", "keras", 2]
    first = results.rows[0]
    fast = [replace(done, samples_ns=tuple(each // 2 for each in done.samples_ns)) for done in first.rounds]
    quick = replace(reference, latency=first.latency, rounds=tuple(fast))
    assert comparison(replace(plain, rows=(quick, *results.rows[1:3]))) == (
        "No exported file is faster here than the Keras network it was made from."
    )
    # Two rounds say nothing of chance; a large factor is still told.
    few = tuple(replace(row, rounds=row.rounds[:2]) for row in results.rows)
    assert comparison(replace(plain, rows=few)).startswith("14.2 times as fast as")
    near = replace(reference, latency=rows["fp32", "litert", 2].latency)
    assert comparison(replace(plain, rows=(rows["fp32", "litert", 2], near))).startswith("About as fast as the Keras")


def test_names_in_drawings_tell_rows_apart(results: Results) -> None:
    names = short_names(results.rows)
    assert len(set(names)) == len(names)
    assert names[0] == "int8.tflite · OpenVINO · 2 threads"
    assert short_names(results.rows[:2]) == ["int8.tflite · OpenVINO", "int8.onnx · OpenVINO"]


@pytest.mark.parametrize("module", ["jinja2", "matplotlib"])
def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ExtraMissingError, match=re.escape("pip install 'edgewise[bench]'")) as caught:
        require_extra()
    assert caught.value.module == module
