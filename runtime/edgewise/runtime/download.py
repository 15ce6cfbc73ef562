"""One photo from the web, within limits of size and time, and never from inside the own network unasked.

Whoever may name a URL could otherwise read what only this machine can reach. So the name is looked up once, every
address behind it is judged, and the connection goes to that address and no other, whatever the name says a moment
later. Each redirect is judged anew. Proxies that the environment names are not used.
"""

from __future__ import annotations

import base64
import http.client
import ipaddress
import socket
import ssl
import threading
import time
from urllib.parse import SplitResult, unquote, urljoin, urlsplit

from edgewise.runtime.camera import mask
from edgewise.runtime.limits import Limits
from edgewise.spec import PhotoError

_PORTS = {"http": 80, "https": 443}
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_EXPECTED = "a photo at an http:// or https:// URL"


class _Refused(Exception):  # noqa: N818 - said in words, never seen outside
    """Why a download is refused."""


def download(url: str, limits: Limits) -> bytes:
    """Fetch what is at ``url``.

    Args:
        url: http or https. A user and password in it are sent to its own host only.
        limits: bounds of the whole download.

    Raises:
        PhotoError: not such a URL, an address that is not allowed, no answer in time, another answer than 200, or too
            long. The message masks what may be secret in the URL.
    """
    deadline = time.monotonic() + limits.seconds
    place = url
    try:
        for _ in range(limits.redirects + 1):
            content, place = _fetch(place, url, limits, deadline)
            if content is not None:
                return content
        raise _Refused(f"it redirects more than {limits.redirects} times")
    except _Refused as error:
        reason = str(error)
    except (OSError, http.client.HTTPException, ValueError) as error:
        late = time.monotonic() >= deadline
        told = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = f"no whole answer within {limits.seconds:g} s" if late else told
    raise PhotoError(f"{mask(url)} cannot be fetched: {reason}", _EXPECTED)


def _fetch(place: str, origin: str, limits: Limits, deadline: float) -> tuple[bytes | None, str]:
    """Ask once; give the content, or None and where to ask next."""
    parts = _parts(place, origin)
    addresses = _addresses(parts, private=limits.private)
    connection, sock = _connect(parts, addresses, deadline)
    # A server may send a byte now and then for ever, so the whole answer has one alarm.
    alarm = threading.Timer(max(deadline - time.monotonic(), 0), _cut, [sock])
    alarm.daemon = True
    alarm.start()
    try:
        if isinstance(sock, ssl.SSLSocket):
            sock.do_handshake()
        connection.request("GET", _target(parts), headers=_headers(parts, origin))
        answer = connection.getresponse()
        if answer.status in _REDIRECTS:
            return None, urljoin(place, answer.headers.get("Location", ""))
        if answer.status != 200:
            raise _Refused(f"the server answers {answer.status} {answer.reason}")
        return _body(answer, limits, deadline), place
    finally:
        alarm.cancel()
        connection.close()


def _body(answer: http.client.HTTPResponse, limits: Limits, deadline: float) -> bytes:
    content = bytearray()
    while piece := answer.read(1 << 16):
        content += piece
        if len(content) > limits.size:
            raise _Refused(f"it is longer than {limits.size:,} bytes")
    if answer.length or time.monotonic() >= deadline:  # what was announced and did not come
        raise OSError("the answer ends early")
    return bytes(content)


def _parts(place: str, origin: str) -> SplitResult:
    parts = urlsplit(place)
    if parts.scheme not in _PORTS or not parts.hostname or not place.isascii() or not place.isprintable():
        raise _Refused(f"{mask(place)!r} is no such URL, with everything but ASCII as %XX")
    if urlsplit(origin).scheme == "https" and parts.scheme != "https":
        raise _Refused("it redirects from https to http")
    return parts


def _addresses(parts: SplitResult, *, private: bool) -> list[tuple[str, int]]:
    """Look the host up once and judge every address behind its name."""
    port = parts.port or _PORTS[parts.scheme]
    found = [str(entry[4][0]) for entry in socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)]
    refused = [address for address in found if not private and not is_public(address)]
    if refused:
        raise _Refused(f"{refused[0]} is an address of this machine or network (--allow-private allows it)")
    return [(address, port) for address in dict.fromkeys(found)]


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the public internet, also where an IPv6 address only wraps an IPv4 one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _connect(
    parts: SplitResult, addresses: list[tuple[str, int]], deadline: float
) -> tuple[http.client.HTTPConnection, socket.socket]:
    """Connect to an address that was judged; the name only goes into the request and the certificate's check."""
    sock = _first_that_answers(addresses, deadline)
    if parts.scheme == "https":
        context = ssl.create_default_context()
        sock = context.wrap_socket(sock, server_hostname=parts.hostname, do_handshake_on_connect=False)
    connection = http.client.HTTPConnection(parts.hostname or "", addresses[0][1])
    connection.sock = sock
    return connection, sock


def _first_that_answers(addresses: list[tuple[str, int]], deadline: float) -> socket.socket:
    """One after the other, since a host may listen at one of its addresses only; each has its share of the time."""
    for number, address in enumerate(addresses, 1):
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            break
        try:
            sock = socket.create_connection(address, timeout=seconds / (len(addresses) + 1 - number))
        except OSError:
            if number == len(addresses):
                raise
        else:
            sock.settimeout(max(deadline - time.monotonic(), 0.001))
            return sock
    raise TimeoutError


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _headers(parts: SplitResult, origin: str) -> dict[str, str]:
    host = parts.netloc.rpartition("@")[2]
    headers = {"Host": host, "Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "edgewise"}
    if parts.username is not None and host == urlsplit(origin).netloc.rpartition("@")[2]:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(secret.encode()).decode()
    return headers


def _cut(sock: socket.socket | None) -> None:
    """Wake whoever reads from the socket."""
    try:
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is closed already
