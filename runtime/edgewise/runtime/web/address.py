"""Where the page is served, and the token that others than this machine need."""

from __future__ import annotations

import ipaddress
import re
import secrets
from dataclasses import dataclass

from edgewise.spec import InputError

DEFAULT = "127.0.0.1:8000"

_FORM = re.compile(r"(?:(?P<host>\[[0-9a-fA-F:.]+\]|[0-9A-Za-z.-]+):)?(?P<port>\d{1,5})", re.ASCII)


@dataclass(frozen=True)
class Address:
    """A place to listen at."""

    host: str  # name or number, without brackets
    port: int  # 0-65535; 0: any free one
    token: str | None  # what a browser has to show; None: only this machine gets in

    @property
    def is_any(self) -> bool:
        """Whether all addresses of this machine are meant."""
        return self.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not listened at

    def url(self, port: int, host: str | None = None, scheme: str = "http") -> str:
        """What to open in a browser, token included."""
        name = host or self.host
        name = f"[{name}]" if ":" in name else name
        return f"{scheme}://{name}:{port}/" + (f"?token={self.token}" if self.token else "")

    def hosts(self, port: int) -> frozenset[str] | None:
        """Values of the header Host that are answered; None: any, because there is a token.

        Without a token a page from elsewhere could otherwise have its own name point here (DNS rebinding).
        """
        if self.token is not None:
            return None
        names = {"localhost", "127.0.0.1", "[::1]", f"[{self.host}]" if ":" in self.host else self.host}
        # A browser leaves out the port that its scheme has by itself.
        return frozenset(f"{name}:{port}" for name in names) | (names if port in (80, 443) else set())


def parse_address(text: str) -> Address:
    """Read ``HOST:PORT``, ``PORT``, or nothing for DEFAULT; a token is made for every address that others can reach.

    Raises:
        InputError: another form, or no such port.
    """
    match = _FORM.fullmatch(text or DEFAULT)
    if match is None or int(match["port"]) > 65535:
        raise InputError(f"--web {text}", f"HOST:PORT such as {DEFAULT}, or a port from 0 to 65535")
    host = (match["host"] or DEFAULT.partition(":")[0]).strip("[]")
    return Address(host, int(match["port"]), None if _is_loopback(host) else secrets.token_urlsafe(24))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
