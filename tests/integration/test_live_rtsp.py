"""``edgewise live`` on an RTSP stream: RFC 2326 over TCP, with MPEG-TS inside RTP (RFC 2250), from this machine."""

from __future__ import annotations

import base64
import json
import re
import socketserver
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from edgewise.cli.main import app

MODEL = Path(__file__).parent.parent / "data" / "tiny.tflite"
PACKETS_AT_ONCE, PACKET = 7, 188  # of MPEG-TS, as they fit into a network packet; bytes
USER, PASSWORD = "viewer", "open-sesame"

SDP = """v=0
o=- 0 0 IN IP4 127.0.0.1
s=test
c=IN IP4 127.0.0.1
t=0 0
m=video 0 RTP/AVP 33
a=rtpmap:33 MP2T/90000
a=control:track
"""


class Camera(socketserver.StreamRequestHandler):
    """Answers what a player asks in turn; asks for user and password; after PLAY, sends the film and hangs up."""

    server: Server

    def handle(self) -> None:
        asked: dict[str, int] = self.server.asked
        while head := self.head():
            method, number = head.split()[0], re.search(r"CSeq: *(\d+)", head)
            asked[method] = asked.get(method, 0) + 1
            given = re.search(r"Authorization: Basic (\S+)", head)
            allowed = given and base64.b64decode(given[1]).decode() == f"{USER}:{PASSWORD}"
            assert number
            if method == "OPTIONS":
                self.answer(number[1], "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN")
            elif not allowed:
                self.answer(number[1], 'WWW-Authenticate: Basic realm="camera"', status="401 Unauthorized")
            elif method == "DESCRIBE":
                self.answer(number[1], "Content-Type: application/sdp", body=SDP.replace("\n", "\r\n"))
            elif method == "SETUP":
                self.answer(number[1], "Session: 1", "Transport: RTP/AVP/TCP;unicast;interleaved=0-1")
            else:
                self.answer(number[1], "Session: 1")
            if method == "PLAY":
                self.play()
                return

    def head(self) -> str:
        lines = []
        while (line := self.rfile.readline().decode()).strip():
            lines.append(line)
        return "".join(lines)

    def answer(self, number: str, *headers: str, body: str = "", status: str = "200 OK") -> None:
        head = [f"RTSP/1.0 {status}", f"CSeq: {number}", *headers, *([f"Content-Length: {len(body)}"] if body else [])]
        self.wfile.write("\r\n".join([*head, "", body]).encode())

    def play(self) -> None:
        film, size = self.server.film, PACKETS_AT_ONCE * PACKET
        for number in range(0, len(film), size):
            part = film[number : number + size]
            rtp = struct.pack(">BBHII", 0x80, 33, number // size & 0xFFFF, number, 7) + part
            self.wfile.write(struct.pack(">cBH", b"$", 0, len(rtp)) + rtp)
            time.sleep(0.001)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address, daemon_threads = True, True

    def __init__(self, film: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Camera)
        self.film, self.asked = film, dict[str, int]()

    def handle_error(self, *_: object) -> None:
        """A player that leaves is no error."""


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("rtsp") / "film.ts"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 25, (320, 240))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no MPEG-TS")
    noise = np.random.default_rng(0).integers(0, 40, (240, 320, 1), np.uint8)
    for number in range(100):
        writer.write(np.roll(noise, number, axis=1) + np.array([10, 10, 200], np.uint8))
    writer.release()
    return path.read_bytes()


@pytest.fixture
def server(film: bytes) -> Iterator[Server]:
    with Server(film) as found:
        thread = threading.Thread(target=found.serve_forever, daemon=True)
        thread.start()
        yield found
        found.shutdown()


def live(server: Server, user: str, *words: str) -> Any:
    address = f"rtsp://{user}@127.0.0.1:{server.server_address[1]}/live"
    return CliRunner().invoke(app, ["live", str(MODEL), "--source", address, "--json", *words])


def test_a_camera_of_the_network_is_classified_and_its_password_is_not_shown(server: Server) -> None:
    result = live(server, f"{USER}:{PASSWORD}", "--max-frames", "5")
    assert result.exit_code == 0, result.output
    answers = [json.loads(line) for line in result.stdout.splitlines()]
    assert [answer["label"] for answer in answers] == ["red"] * 5
    assert all(answer["captured"] == number + answer["dropped"] for number, answer in enumerate(answers, 1))
    assert server.asked["PLAY"] == 1
    assert PASSWORD not in result.output


def test_a_stream_that_ends_is_lost_and_played_again(server: Server) -> None:
    result = live(server, f"{USER}:{PASSWORD}", "--max-frames", "150")
    assert result.exit_code == 0, result.output
    assert server.asked["PLAY"] >= 2
    assert re.search(r"^LOST: rtsp://\S+: .*; it is being opened again$", result.stderr, re.M)
    assert re.search(r"^back after \d+\.\d s: rtsp://", result.stderr, re.M)


def test_a_wrong_password_is_an_error_that_does_not_repeat_it(server: Server) -> None:
    result = live(server, "viewer:wrong-word")
    assert result.exit_code == 1
    assert "cannot be opened" in result.output or "cannot be opened" in str(result.exception)
    assert "wrong-word" not in result.output + str(result.exception)
