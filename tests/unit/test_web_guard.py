from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from edgewise.runtime.web.guard import Guard, content_policy

HOSTS = frozenset({"localhost:8000", "127.0.0.1:8000"})
TOKEN = "correct-horse"


@dataclass
class Reached:
    """The app behind the guard: says that it was reached."""

    scopes: list[str] = field(default_factory=list)

    async def __call__(self, scope: Any, _: Any, send: Any) -> None:
        self.scopes.append(scope["type"])
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"inside"})


def ask(guard: Guard, path: str = "/", query: str = "", kind: str = "http", **headers: str) -> list[Any]:
    scope = {
        "type": kind, "method": headers.pop("method", "GET"), "path": path, "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers.items()],
    }  # fmt: skip
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    return sent


def status(sent: list[Any]) -> int:
    return int(sent[0]["status"])


@pytest.fixture
def local() -> Guard:
    return Guard(Reached(), None, HOSTS)


@pytest.fixture
def public() -> Guard:
    return Guard(Reached(), TOKEN, None)


@pytest.mark.parametrize("host", ["evil.example:8000", "127.0.0.1", "localhost:9000", ""])
def test_a_name_that_was_pointed_here_is_refused(local: Guard, host: str) -> None:
    sent = ask(local, host=host)
    assert status(sent) == 421
    assert sent[1]["body"] == b"This page is served to this machine only. Open the address that Edgewise printed."
    assert not local.app.scopes  # type: ignore[attr-defined]


def test_this_machine_needs_no_token(local: Guard) -> None:
    assert status(ask(local, host="localhost:8000")) == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_sent_to_it(local: Guard, method: str) -> None:
    assert status(ask(local, host="localhost:8000", method=method)) == 405


def test_another_page_cannot_connect(local: Guard) -> None:
    sent = ask(local, "/live", kind="websocket", host="localhost:8000", origin="https://evil.example")
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert not local.app.scopes  # type: ignore[attr-defined]


def test_its_own_page_connects(local: Guard) -> None:
    ask(local, "/live", kind="websocket", host="localhost:8000", origin="http://localhost:8000")
    assert local.app.scopes == ["websocket"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "headers",
    [{}, {"cookie": "edgewise_token=wrong"}, {"authorization": "Bearer "}, {"cookie": "\x00;;=,"}, {"cookie": "é=é"}],
)
@pytest.mark.parametrize("path", ["/", "/metrics", "/live.js"])
def test_others_need_the_token(public: Guard, path: str, headers: dict[str, str]) -> None:
    sent = ask(public, path, host="board:8000", **headers)
    assert status(sent) == 401
    assert sent[1]["body"] == b"Open the address that Edgewise printed when it started: it holds the token."


@pytest.mark.parametrize("headers", [{"cookie": f"a=b; edgewise_token={TOKEN}"}, {"authorization": f"Bearer {TOKEN}"}])
def test_the_token_opens_everything(public: Guard, headers: dict[str, str]) -> None:
    assert status(ask(public, "/metrics", host="board:8000", **headers)) == 200
    ask(public, "/live", kind="websocket", host="board:8000", origin="http://board:8000", **headers)
    assert public.app.scopes == ["http", "websocket"]  # type: ignore[attr-defined]


def test_the_token_in_the_address_becomes_a_cookie(public: Guard) -> None:
    sent = ask(public, "/", f"token={TOKEN}", host="board:8000")
    headers = dict(sent[0]["headers"])
    assert status(sent) == 303
    assert headers[b"location"] == b"/"
    assert headers[b"set-cookie"] == f"edgewise_token={TOKEN}; Path=/; HttpOnly; SameSite=Lax".encode()


def test_the_cookie_of_another_port_is_another_one() -> None:
    guard = Guard(Reached(), TOKEN, None, cookie="edgewise_token_8001")
    sent = ask(guard, "/", f"token={TOKEN}", host="board:8001")
    assert dict(sent[0]["headers"])[b"set-cookie"].startswith(f"edgewise_token_8001={TOKEN}; ".encode())
    cookies = f"edgewise_token_8000=other; edgewise_token_8001={TOKEN}"
    assert status(ask(guard, "/metrics", host="board:8001", cookie=cookies)) == 200
    assert status(ask(guard, "/metrics", host="board:8001", cookie=f"edgewise_token_8000={TOKEN}")) == 401


def test_over_tls_the_cookie_never_travels_without_it() -> None:
    sent = ask(Guard(Reached(), TOKEN, None, secure=True), "/", f"token={TOKEN}", host="board:8000")
    assert dict(sent[0]["headers"])[b"set-cookie"].endswith(b"; Secure")


def test_the_token_in_the_address_opens_no_other_path(public: Guard) -> None:
    assert status(ask(public, "/metrics", f"token={TOKEN}", host="board:8000")) == 401


def test_health_needs_no_token(public: Guard) -> None:
    assert status(ask(public, "/healthz", host="board:8000")) == 200


def test_every_answer_says_what_a_browser_may_do(local: Guard) -> None:
    for sent in (ask(local, host="localhost:8000"), ask(local, host="elsewhere")):
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_a_strange_host_does_not_get_into_the_policy() -> None:
    assert "evil" not in content_policy("evil; script-src *")
    assert "ws://board:8000" in content_policy("board:8000")
