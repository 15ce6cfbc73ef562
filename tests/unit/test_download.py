"""Fetching photos, from a server that may be anything; and not from where nobody was asked to."""

from __future__ import annotations

import base64
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from edgewise.runtime.download import Limits, download, is_public
from edgewise.spec import PhotoError

CONTENT = bytes(range(256)) * 1000
OWN = Limits(private=True)


class Handler(BaseHTTPRequestHandler):
    """Answers by the path."""

    protocol_version = "HTTP/1.1"
    closing = threading.Event()
    seen: list[tuple[str, str | None]]  # paths and authorizations

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers["Authorization"]))  # type: ignore[attr-defined]
        what, _, rest = self.path[1:].partition("/")
        getattr(self, f"give_{what}", self.give_nothing)(rest)

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def give_photo(self, _: str) -> None:
        self.head(200, Content_Length=len(CONTENT))
        self.wfile.write(CONTENT)

    def give_nothing(self, _: str) -> None:
        self.head(404, Content_Length=0)

    def give_half(self, _: str) -> None:
        self.head(200, Content_Length=2 * len(CONTENT))
        self.wfile.write(CONTENT)
        self.close_connection = True

    def give_drops(self, _: str) -> None:
        self.head(200, Content_Length=len(CONTENT))
        while not self.closing.wait(0.02):
            self.wfile.write(b"x")

    def give_endless(self, _: str) -> None:
        self.head(200)
        while not self.closing.is_set():
            self.wfile.write(CONTENT)

    def give_redirect(self, rest: str) -> None:
        self.head(302, Location=rest or self.path, Content_Length=0)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign] - who is cut off complains
    server.seen = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    Handler.closing.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def site(server: ThreadingHTTPServer) -> str:
    server.seen.clear()  # type: ignore[attr-defined]
    return f"http://127.0.0.1:{server.server_port}"


def reason(url: str, limits: Limits = OWN) -> str:
    with pytest.raises(PhotoError) as caught:
        download(url, limits)
    assert caught.value.expected == "a photo at an http:// or https:// URL"
    return caught.value.got


def test_a_photo_is_fetched_also_through_redirects(site: str) -> None:
    assert download(f"{site}/photo", OWN) == CONTENT
    assert download(f"{site}/redirect//redirect//photo", OWN) == CONTENT


def test_a_host_that_listens_at_one_of_its_addresses_only_is_found(
    site: str, server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = socket.getaddrinfo

    def both(host: str, *more: Any, **named: Any) -> Any:
        names = ("127.0.0.2", "127.0.0.1") if host == "somewhere" else (host,)  # at the first nobody listens
        return [entry for name in names for entry in usual(name, *more, **named)]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    assert download(f"http://somewhere:{server.server_port}/photo", OWN) == CONTENT


def test_the_own_network_is_refused_unless_it_is_allowed(site: str, server: ThreadingHTTPServer) -> None:
    port = server.server_port
    for host in ("127.0.0.1", "localhost", "127.1", "0", "[::ffff:127.0.0.1]"):
        assert "is an address of this machine or network (--allow-private allows it)" in reason(
            f"http://{host}:{port}/photo", Limits()
        )
    assert server.seen == []  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.1.2.3", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::a00:1", False),
        ("2002:a00:1::", False),
    ],
)
def test_what_the_public_internet_is(address: str, public: bool) -> None:
    assert is_public(address) is public


def test_a_password_goes_to_its_own_host_only_and_is_never_told(site: str, server: ThreadingHTTPServer) -> None:
    port = server.server_port
    download(f"http://me:se%20cret@127.0.0.1:{port}/redirect/http://localhost:{port}/photo", OWN)
    secret = "Basic " + base64.b64encode(b"me:se cret").decode()
    assert [authorization for _, authorization in server.seen] == [secret, None]  # type: ignore[attr-defined]
    told = reason(f"http://me:secret@127.0.0.1:{port}/missing?key=secret")
    assert told == f"http://***@127.0.0.1:{port}/missing?*** cannot be fetched: the server answers 404 Not Found"


@pytest.mark.parametrize(
    ("path", "limits", "why"),
    [
        ("/half", OWN, "the answer ends early"),
        ("/photo", Limits(private=True, size=1000), "it is longer than 1,000 bytes"),
        ("/endless", Limits(private=True, size=10**6), "it is longer than 1,000,000 bytes"),
        ("/drops", Limits(private=True, seconds=0.3), "no whole answer within 0.3 s"),
        ("/redirect/", OWN, "it redirects more than 5 times"),
        ("/redirect/file:///etc/passwd", OWN, "'file:///etc/passwd' is no such URL, with everything but ASCII as %XX"),
    ],
)
def test_what_is_not_kept_to_is_told(site: str, path: str, limits: Limits, why: str) -> None:
    assert reason(site + path, limits) == f"{site}{path} cannot be fetched: {why}"


def test_a_redirect_into_the_own_network_is_judged_too(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgewise.runtime import download as module

    # The first host counts as public here, as no public one can be asked by a test.
    monkeypatch.setattr(module, "is_public", lambda address: address == "127.0.0.1")
    told = reason(f"{site}/redirect/{site.replace('127.0.0.1', '127.0.0.2')}/photo", Limits())
    assert told.endswith("127.0.0.2 is an address of this machine or network (--allow-private allows it)")


@pytest.mark.parametrize("url", ["ftp://example.org/a.jpg", "http://", "http://ex ample.org/", "http://x:999999/", "x"])
def test_what_is_no_url_is_told(url: str) -> None:
    assert " cannot be fetched: " in reason(url)


def test_https_is_spoken_only_with_who_speaks_it(site: str) -> None:
    assert "SSL" in reason(site.replace("http://", "https://") + "/photo")
