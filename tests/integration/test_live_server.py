"""``edgewise live --web`` from outside, without a browser: what it accepts, what it refuses, and that it ends."""

from __future__ import annotations

import http.cookiejar
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

websockets = pytest.importorskip("websockets.sync.client", reason="websockets, of the extra 'web', is not installed")

from websockets import exceptions as websockets_errors  # noqa: E402

from edgewise.benchmarks.stream import Program, serving  # noqa: E402
from edgewise.runtime.web.server import MAX_CONNECTIONS, MAX_HEADERS, MAX_MESSAGE  # noqa: E402
from edgewise.spec.files import path_text  # noqa: E402

DATA = Path(__file__).parent.parent / "data"
MODELS = (str(DATA / "tiny.tflite"), str(DATA / "tiny.onnx"))
MAIN = "from edgewise.cli.main import main; main()"
PATIENCE = 60  # seconds; what hangs hangs for ever

SLOW_MODEL = """
import time
from edgewise.runtime.web.show import LiveShow
opened = LiveShow._open
LiveShow._open = lambda show, name: time.sleep(3600) if name == "tiny.onnx" else opened(show, name)
"""
"""As if a file took an hour to be opened, such as one that is tuned for first."""


@dataclass
class Page:
    """A command at work, and where its page is."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return urllib.parse.urlsplit(self.url).port or 0

    def get(self, path: str, context: ssl.SSLContext | None = None) -> str:
        with urllib.request.urlopen(self.url + path, timeout=PATIENCE, context=context) as answer:
            return str(answer.read().decode())

    def socket(self, path: str) -> Any:
        return websockets.connect(self.url.replace("http", "ws") + path, max_size=None)

    def classified(self) -> int:
        found = re.search(r"^edgewise_frames_classified_total (\d+)", self.get("metrics"), re.M)
        return int(found[1]) if found else 0

    def ended(self) -> str:
        """Its exit code has to be 0; gives what it wrote to standard error."""
        assert self.process.wait(PATIENCE) == 0
        assert self.process.stderr is not None
        return self.process.stderr.read()


@contextmanager
def page(*words: str | Path, before: str = "", web: str = "127.0.0.1:0") -> Iterator[Page]:
    command = ["live", *MODELS, "--web", web, *map(os.fspath, words)]
    process = subprocess.Popen(
        [sys.executable, "-c", before + MAIN, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"the page is at (\S+)", line):
                yield Page(process, found[1])
                break
        else:
            pytest.fail("the page was never announced")
    finally:
        process.kill()
        process.communicate()


def wait_until(true: Callable[[], bool]) -> None:
    for _ in range(PATIENCE * 20):
        if true():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")


@pytest.fixture(scope="module")
def stream() -> Iterator[str]:
    with serving(Program(fps=50, width=320, height=240)) as address:
        yield address


@pytest.fixture(scope="module")
def shared(stream: str) -> Iterator[Page]:
    with page("--source", stream) as found:
        yield found


def jpeg() -> bytes:
    return cv2.imencode(".jpg", np.full((48, 64, 3), (10, 10, 250), np.uint8))[1].tobytes()


def test_whoever_comes_from_elsewhere_needs_the_token_that_was_printed(stream: str) -> None:
    with page("--source", stream, web="0.0.0.0:0") as found:
        printed = urllib.parse.urlsplit(found.url)
        (token,) = urllib.parse.parse_qs(printed.query)["token"]
        here = f"127.0.0.1:{printed.port}"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"http://{here}/", timeout=PATIENCE)
        with pytest.raises(websockets_errors.InvalidStatus, match="403"):
            websockets.connect(f"ws://{here}/live")
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar := http.cookiejar.CookieJar()))
        with browser.open(f"http://{here}/?token={token}", timeout=PATIENCE) as answer:
            assert b"<title>" in answer.read()
            assert "token" not in answer.url
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)
        with websockets.connect(f"ws://{here}/live", additional_headers={"Cookie": cookies}) as viewer:
            assert json.loads(viewer.recv(timeout=PATIENCE))["models"]


def test_a_message_that_is_too_long_costs_its_sender_the_connection(shared: Page) -> None:
    with shared.socket("camera") as camera:
        camera.send(bytes(MAX_MESSAGE + 1))
        with pytest.raises(Exception, match="1009"):  # RFC 6455: too big to be handled
            camera.recv(timeout=PATIENCE)
    with shared.socket("camera") as camera:
        camera.send(jpeg())
        assert json.loads(camera.recv(timeout=PATIENCE))["label"] == "red"


def test_headers_that_are_too_long_are_refused(shared: Page) -> None:
    with socket.create_connection(("127.0.0.1", shared.port), PATIENCE) as connection:
        head = f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{shared.port}\r\nX-Long: "
        connection.sendall(head.encode() + b"x" * MAX_HEADERS)
        answer = connection.recv(1 << 16)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(shared.get("healthz")) == {"status": "ok"}


def test_more_connections_than_can_be_served_are_turned_away_until_others_leave(shared: Page) -> None:
    with ExitStack() as stack:
        for _ in range(MAX_CONNECTIONS):
            stack.enter_context(socket.create_connection(("127.0.0.1", shared.port), PATIENCE))

        def is_full() -> bool:
            try:
                shared.get("healthz")
            except urllib.error.HTTPError as error:
                return error.code == 503
            return False

        wait_until(is_full)
    wait_until(lambda: not is_full())


def test_who_comes_while_the_source_is_silent_sees_its_last_picture(tmp_path: Path) -> None:
    film = tmp_path / "film.avi"
    writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for _ in range(5):
        writer.write(np.full((48, 64, 3), (10, 10, 250), np.uint8))
    writer.release()
    with page("--source", film) as found:
        wait_until(lambda: '"ended"' in first_news(found) or "is over" in first_news(found))
        with found.socket("live") as viewer:
            assert json.loads(viewer.recv(timeout=PATIENCE))["picture"] is True
            picture = cv2.imdecode(np.frombuffer(viewer.recv(timeout=PATIENCE), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (48, 64, 3)
    assert picture[..., 2].mean() > 200


def first_news(found: Page) -> str:
    with found.socket("live") as viewer:
        return str(viewer.recv(timeout=PATIENCE))


def test_a_certificate_makes_it_https(stream: str, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl on this machine to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    with page("--source", stream, "--certificate", certificate, "--certificate-key", key) as found:
        assert found.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=str(certificate))
        assert json.loads(found.get("healthz", trusting)) == {"status": "ok"}


def test_what_is_no_certificate_is_said(stream: str, tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no certificate")
    (tmp_path / "key.pem").write_text("no key")
    words = ["live", MODELS[0], "--web", "127.0.0.1:0", "--source", stream]
    result = subprocess.run(
        [sys.executable, "-c", MAIN, *words, "--certificate", tmp_path / "cert.pem", "--certificate-key",
         tmp_path / "key.pem"],
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert result.returncode == 1
    assert "error: the certificate cannot be used: " in result.stderr
    assert "Expected: two PEM files that belong together" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_while_a_model_is_being_opened(stream: str, tmp_path: Path, number: signal.Signals) -> None:
    lines = tmp_path / "answers.jsonl"
    with page("--source", stream, "--jsonl", lines, before=SLOW_MODEL) as found, found.socket("live") as viewer:
        viewer.recv(timeout=PATIENCE)
        viewer.send(json.dumps({"type": "model", "name": "tiny.onnx"}))
        viewer.send(json.dumps({"type": "next"}))
        viewer.recv(timeout=PATIENCE)
        before = found.classified()
        wait_until(lambda: found.classified() > before)
        found.process.send_signal(number)
        messages = found.ended()
    (classified,) = re.findall(r"= (\d+) classified", messages)
    assert len(lines.read_text(encoding="utf-8").splitlines()) == int(classified)
    assert "Traceback" not in messages


def test_it_ends_though_nobody_reads_what_it_writes(stream: str, tmp_path: Path) -> None:
    lines, record = tmp_path / "answers.jsonl", tmp_path / "seen.mp4"
    with page("--source", stream, "--json", "--jsonl", lines, "--record", record) as found:
        seen = [-1]

        def has_stopped() -> bool:
            """The pipe is full, and so nothing is classified any more."""
            time.sleep(0.5)
            seen.append(found.classified())
            return 0 < seen[-1] == seen[-2]

        wait_until(has_stopped)
        found.process.send_signal(signal.SIGTERM)
        messages = found.ended()
    (classified,) = re.findall(r"= (\d+) classified", messages)
    assert len(list(map(json.loads, lines.read_text(encoding="utf-8").splitlines()))) == int(classified) > seen[-1]
    assert cv2.VideoCapture(path_text(record)).read()[0]
    assert "Traceback" not in messages
