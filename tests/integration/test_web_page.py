"""The live page in a real browser: a stream that can be killed as the device's camera, a file as the browser's."""

from __future__ import annotations

import http.server
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
expect = playwright.expect

DATA = Path(__file__).parents[1] / "data"
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium or Chrome on this machine")
COLOURS = {"blue": (250, 20, 20), "green": (20, 250, 20), "red": (20, 20, 250), "pale": (140, 140, 165)}
PATIENCE_MS = 60_000
expect.set_options(timeout=PATIENCE_MS)


def jpeg(colour: str) -> bytes:
    return cv2.imencode(".jpg", np.full((240, 320, 3), COLOURS[colour], np.uint8))[1].tobytes()


class Camera:
    """A camera in the network: an endless MJPEG stream of one colour, which can be switched off and on."""

    def __init__(self) -> None:
        self.colour, self.port = "red", 0
        self.on()

    def on(self) -> None:
        self.off_now = threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), self.handler(self.off_now))
        self.server.daemon_threads = True
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def off(self) -> None:
        self.off_now.set()
        self.server.shutdown()
        self.server.server_close()

    def handler(self, off_now: threading.Event) -> type[http.server.BaseHTTPRequestHandler]:
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                while not off_now.wait(0.05):
                    part = jpeg(camera.colour)
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(part)}\r\n\r\n"
                    self.wfile.write(head.encode() + part + b"\r\n")

        return Handler


@pytest.fixture(scope="module")
def camera() -> Iterator[Camera]:
    found = Camera()
    yield found
    found.off()


@contextmanager
def serving(camera: Camera, port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a user starts it, and the address that it prints."""
    words = ["live", str(DATA / "tiny.tflite"), str(DATA / "tiny.onnx"), "--source", f"http://127.0.0.1:{camera.port}/"]
    code = "from edgewise.cli.main import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words, "--web", f"127.0.0.1:{port}", "--smooth", "off"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"the page is at (\S+)", line):
                yield process, found[1]
                break
        else:
            pytest.fail(f"the page was never announced: {process.communicate()}")
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def live(camera: Camera) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """One that all tests share."""
    with serving(camera, 0) as found:
        yield found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    film = tmp_path_factory.mktemp("camera") / "blue.mjpeg"
    film.write_bytes(jpeg("blue") * 30)
    options = [
        "--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    ]  # fmt: skip
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=BROWSER, args=options)
        yield found
        found.close()


class Viewer:
    """One person with the page open."""

    def __init__(self, browser: Any, url: str, **context: Any) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page = browser.new_context(**context).new_page()
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(url)

    def sees(self, label: str, status: str = "live") -> None:
        expect(self.page.locator("#status")).to_have_text(status)
        expect(self.page.locator("#label")).to_have_text(label)


@pytest.fixture
def viewer(browser: Any, live: tuple[Any, str], camera: Camera) -> Iterator[Viewer]:
    camera.colour = "red"
    found = Viewer(browser, live[1])
    yield found
    found.page.context.close()


def test_the_page_shows_the_picture_and_what_it_is(viewer: Viewer, live: tuple[Any, str]) -> None:
    viewer.sees("red")
    expect(viewer.page.locator("#top li").first).to_contain_text("red")
    expect(viewer.page.locator("#legend")).to_contain_text("red")
    expect(viewer.page.locator("#frames")).to_contain_text("classified")
    pixel = "() => [...document.getElementById('picture').getContext('2d').getImageData(9, 9, 1, 1).data]"
    red, green, blue, _ = viewer.page.evaluate(pixel)
    assert red > 200 > 90 > max(green, blue)
    assert viewer.said == []
    assert all(url.startswith(live[1]) for url in viewer.asked)


def test_two_people_watch_at_once(viewer: Viewer, browser: Any, live: tuple[Any, str], camera: Camera) -> None:
    other = Viewer(browser, live[1])
    for colour in ("green", "red"):
        camera.colour = colour
        viewer.sees(colour)
        other.sees(colour)
    other.page.context.close()


def test_a_killed_source_is_lost_until_it_is_back(viewer: Viewer, camera: Camera) -> None:
    viewer.sees("red")
    camera.off()
    viewer.sees("red", status="lost")
    expect(viewer.page.locator("#notice")).to_contain_text("It is being opened again")
    expect(viewer.page.locator(".frame.stale")).to_be_visible()
    camera.colour = "green"
    camera.on()
    viewer.sees("green")
    expect(viewer.page.locator("#notice")).to_be_hidden()


def test_another_model_is_chosen_for_everyone(viewer: Viewer, browser: Any, live: tuple[Any, str]) -> None:
    other = Viewer(browser, live[1])
    expect(other.page.locator("#model")).to_have_value("tiny.tflite")
    viewer.page.locator("#model").select_option("tiny.onnx")
    expect(other.page.locator("#model")).to_have_value("tiny.onnx")
    other.page.keyboard.press("m")
    viewer.page.locator("body").click(position={"x": 1, "y": 1})
    expect(viewer.page.locator("#model")).to_have_value("tiny.tflite")
    other.page.context.close()


def test_the_browsers_own_camera_is_classified(viewer: Viewer) -> None:
    viewer.sees("red")
    viewer.page.get_by_role("button", name="My camera").click()
    viewer.sees("blue")
    assert viewer.page.locator("#mine").get_attribute("aria-pressed") == "true"
    viewer.page.keyboard.press("c")
    viewer.sees("red")
    assert viewer.said == []


def test_a_threshold_makes_it_unknown(viewer: Viewer, camera: Camera) -> None:
    camera.colour = "pale"
    viewer.sees("red")
    viewer.page.keyboard.press("s")
    slider = viewer.page.locator("#threshold")
    slider.press("End")
    expect(viewer.page.locator("#threshold-shown")).to_have_text("100%")
    viewer.sees("unknown")
    slider.press("Home")
    viewer.sees("red")


def test_pause_keeps_the_picture(viewer: Viewer, camera: Camera) -> None:
    viewer.sees("red")
    viewer.page.keyboard.press("p")
    viewer.sees("red", status="paused")
    camera.colour = "green"
    other = "document.getElementById('frames').textContent"
    before = viewer.page.evaluate(other)
    viewer.page.wait_for_timeout(500)
    assert viewer.page.evaluate(other) == before
    viewer.page.get_by_role("button", name="Pause").click()
    viewer.sees("green")


@pytest.mark.parametrize(("scheme", "ground"), [("dark", "rgb(17, 22, 27)"), ("light", "rgb(246, 247, 248)")])
def test_it_fits_a_phone_in_the_dark_and_in_the_light(
    browser: Any, live: tuple[Any, str], camera: Camera, scheme: str, ground: str
) -> None:
    camera.colour = "red"
    phone = Viewer(browser, live[1], viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True)
    phone.sees("red")
    assert phone.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert phone.page.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    sizes = "[...document.querySelectorAll('button, select, summary')].map(e => e.offsetHeight).filter(Boolean)"
    assert min(phone.page.evaluate(sizes)) >= 40  # pixels: a finger's width
    phone.page.context.close()


def test_the_page_comes_back_when_the_device_does(browser: Any, camera: Camera) -> None:
    camera.colour = "red"
    with serving(camera, 0) as (_, url):
        viewer = Viewer(browser, url)
        viewer.sees("red")
    expect(viewer.page.locator("#status")).to_have_text("no connection")
    camera.colour = "green"
    with serving(camera, int(url.rsplit(":", 1)[1].strip("/"))):
        viewer.sees("green")
        viewer.page.get_by_role("button", name="My camera").click()
        viewer.sees("blue")
    viewer.page.context.close()


def test_sigterm_ends_it_and_the_page_says_so(viewer: Viewer, live: tuple[subprocess.Popen[str], str]) -> None:
    """The last test of this file: the command is gone after it."""
    viewer.sees("red")
    os.kill(live[0].pid, signal.SIGTERM)
    assert live[0].wait(20) in (0, 130, 143)
    expect(viewer.page.locator("#status")).to_have_text("no connection")
    expect(viewer.page.locator("#notice")).to_contain_text("The connection to the device is lost")
