"""The page of a benchmark in a real browser, opened from a file as people do."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from edgewise.benchmarks.page import to_html
from edgewise.benchmarks.recommendation import Limits, recommend

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

DATA = Path(__file__).parents[1] / "data"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium or Chrome on this machine")
HOSTILE = "<img src=//example.org/x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page_file(benchmark_results: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with every part: also hostile class names, and photos."""
    folder = tmp_path_factory.mktemp("page")
    labels = (HOSTILE, *benchmark_results.LABELS[1:-1], "a class with an unreasonably_long_name_without_any_space")
    found = benchmark_results.synthetic(labels=labels, folder=str(folder))
    worst = [each for row in found.rows if row.accuracy for each in row.accuracy.worst]
    for number, each in enumerate(worst):
        photo = folder / f"{number}.png"
        shutil.copy(DATA / "red.png", photo)
        object.__setattr__(each, "photo", str(photo))
    path = folder / "report.html"
    path.write_text(to_html(replace(found, recommendation=recommend(found.rows, Limits()))), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture
def open_page(browser: Any, page_file: Path) -> Iterator[Any]:
    """Opens the page with the given properties of the browser; whatever it complains about is an error."""
    contexts: list[Any] = []
    said: list[str] = []

    def opened(**properties: Any) -> Any:
        contexts.append(browser.new_context(**properties))
        page = contexts[-1].new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: said.append(request.url) if request.url[:5] not in ("file:", "data:") else 0)
        page.goto(page_file.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []


FIGURES = "rows => rows.filter(r => !r.hidden).map(r => r.querySelector('td:nth-child(4) b').textContent)"
TABLE = "table[aria-label='Every row']"


def test_sorting_and_filtering_work_by_keyboard(open_page: Any) -> None:
    page = open_page(viewport={"width": 1200, "height": 800})
    rows = page.locator(f"{TABLE} tbody tr")
    count = rows.count()
    first = rows.first.inner_text()
    page.locator(f"{TABLE} th button").first.focus()
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent").startswith("p50ms")
    page.keyboard.press("Enter")
    assert rows.first.inner_text() == first  # fastest first already
    page.keyboard.press("Space")
    times = [float(shown) for shown in rows.evaluate_all(FIGURES)]
    assert times == sorted(times, reverse=True)
    sorted_by = page.locator(f"{TABLE} th[aria-sort]")
    assert sorted_by.count() == 1
    assert sorted_by.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert page.locator(f"{TABLE} th[aria-sort]").get_attribute("data-name") == "to reference, points"
    # The reference and the plain loop have no difference: they come last.
    assert "the reference" in rows.nth(count - 1).inner_text() + rows.nth(count - 2).inner_text()
    search = page.get_by_label("Filter").first
    search.focus()
    page.keyboard.type("INT8 litert")
    shown = [row for row in rows.all() if row.is_visible()]
    assert len(shown) == 2
    assert all("clothes-int8.tflite" in row.inner_text() and "LiteRT" in row.inner_text() for row in shown)
    assert page.locator("output").first.inner_text() == f"2 of {count} rows"
    page.keyboard.press("Escape")
    assert all(row.is_visible() for row in rows.all())


@pytest.mark.parametrize(("scheme", "paper"), [("light", "rgb(246, 246, 243)"), ("dark", "rgb(19, 21, 24)")])
def test_it_fits_a_phone_in_light_and_dark(open_page: Any, scheme: str, paper: str) -> None:
    page = open_page(viewport={"width": 390, "height": 844}, color_scheme=scheme, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    beyond = (
        "all => all.filter(e => !e.closest('.scroll') && e.getBoundingClientRect().right > 391).map(e => e.outerHTML)"
    )
    assert page.locator("main *").evaluate_all(beyond) == []
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == paper
    order = page.get_by_label("Sort by").first
    assert order.is_visible()
    order.select_option(label="file, size")
    assert "clothes-int8.onnx" in page.locator(f"{TABLE} tbody tr").first.inner_text()
    order.select_option(label="fastest first")
    assert "clothes-int8.tflite" in page.locator(f"{TABLE} tbody tr").first.inner_text()
    assert page.locator(".narrow svg").first.is_visible()
    assert not page.locator(".wide svg").first.is_visible()


def test_names_from_outside_are_text_and_photos_are_shown(open_page: Any) -> None:
    page = open_page()
    assert page.get_by_text(HOSTILE, exact=True).count() > 0
    pictures = page.locator(".gallery img")
    assert pictures.count() == 12
    assert all(pictures.evaluate_all("all => all.map(one => one.naturalWidth > 0)"))


def test_without_javascript_every_table_is_whole(open_page: Any) -> None:
    page = open_page(java_script_enabled=False)
    assert page.locator(f"{TABLE} tbody tr").count() == 22
    assert not page.locator(".tools").first.is_visible()
    assert page.locator(f"{TABLE} tbody tr").last.is_visible()


def test_paper_shows_no_controls(open_page: Any) -> None:
    page = open_page(color_scheme="dark")
    page.emulate_media(media="print")
    assert not page.locator(".tools").first.is_visible()
    assert not page.locator("nav").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
