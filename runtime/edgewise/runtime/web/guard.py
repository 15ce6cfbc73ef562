"""What stands before every request: who may come in, and what a browser may do with what it gets.

Written against ASGI itself, so that it guards WebSockets too and nothing behind it can be reached around it.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "edgewise_token"
OPEN_PATHS = frozenset({"/healthz"})
"""Paths that need no token, for whoever watches over the service. They say nothing but that it runs."""

_HOST = re.compile(r"[0-9A-Za-z.:\[\]-]+", re.ASCII)

_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "cache-control": "no-store",
}


@dataclass(frozen=True)
class Guard:
    """Refuses strangers, and tells browsers to load nothing from elsewhere.

    Args:
        app: what is guarded.
        token: what a visitor has to show, in a cookie, as a bearer token or once in the address; None: nothing.
        hosts: values of the header Host that are answered; None: any.
        secure: served over TLS, so that the cookie may not travel without it.
        cookie: its name; a browser sends all cookies of a host to each of its ports.
    """

    app: App
    token: str | None
    hosts: frozenset[str] | None
    secure: bool = False
    cookie: str = COOKIE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is None and scope["type"] == "http" and self._shown_in_address(scope):
            await self._welcome(send)
        elif refusal is None:
            await self.app(scope, receive, self._with_headers(send, headers.get("host", "")))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # before accepting: the browser sees status 403
        else:
            status, text = refusal
            await _answer(self._with_headers(send, ""), status, text)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Status and text for whoever may not come in."""
        host, origin = headers.get("host", ""), headers.get("origin")
        if self.hosts is not None and host.lower() not in self.hosts:
            return 421, "This page is served to this machine only. Open the address that Edgewise printed."
        if scope["type"] == "websocket" and origin is not None and origin.partition("://")[2].lower() != host.lower():
            return 403, "Another page may not connect here."
        if scope["type"] == "http" and scope["method"] not in ("GET", "HEAD"):
            return 405, "Only GET is answered."
        if self.token is None or scope["path"] in OPEN_PATHS or self._is_shown(scope, headers):
            return None
        return 401, "Open the address that Edgewise printed when it started: it holds the token."

    def _is_shown(self, scope: Scope, headers: dict[str, str]) -> bool:
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        shown = [_cookie(headers.get("cookie", ""), self.cookie), bearer if kind.lower() == "bearer" else ""]
        return any(map(self._fits, shown)) or self._shown_in_address(scope)

    def _shown_in_address(self, scope: Scope) -> bool:
        name, _, value = scope["query_string"].decode("latin-1").partition("=")
        return scope["path"] == "/" and name == "token" and self._fits(value)

    def _fits(self, shown: str) -> bool:
        return self.token is not None and hmac.compare_digest(shown.encode(), self.token.encode())

    async def _welcome(self, send: Send) -> None:
        """Turn the token in the address into a cookie, so that it stays out of history and pictures of the screen."""
        # Lax, as the address may be followed from another site, such as a mail. No GET changes anything here.
        cookie = f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Lax" + "; Secure" * self.secure
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode()), (b"content-length", b"0")]
        start = {"type": "http.response.start", "status": 303, "headers": headers}
        guarded = self._with_headers(send, "")
        await guarded(start)
        await guarded({"type": "http.response.body", "body": b""})

    def _with_headers(self, send: Send, host: str) -> Send:
        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                policy = {"content-security-policy": content_policy(host), **_HEADERS}
                extra = [(name.encode(), value.encode("latin-1")) for name, value in policy.items()]
                message = {**message, "headers": [*message.get("headers", []), *extra]}
            await send(message)

        return sending


def content_policy(host: str) -> str:
    """What the page may load: its own files, and WebSockets to where it came from (older Safari wants them named)."""
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self' blob:; "
        f"connect-src 'self'{sockets}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _cookie(header: str, name: str) -> str:
    try:
        morsel = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return morsel.value if morsel else ""


async def _answer(send: Send, status: int, text: str) -> None:
    body = text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
