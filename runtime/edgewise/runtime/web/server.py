"""Runs the page until it is stopped."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from edgewise.runtime.web.address import Address
from edgewise.runtime.web.app import Show, make_app
from edgewise.runtime.web.guard import COOKIE, Guard
from edgewise.spec import InputError
from edgewise.spec.files import path_text

MAX_MESSAGE = 1 << 20
"""Longest message on a socket, in bytes; a browser's picture has about 50,000."""

MAX_HEADERS = 16 << 10
MAX_CONNECTIONS = 64
_SHUTDOWN_SECONDS = 1


Stop = Callable[[], None]


@dataclass(frozen=True)
class Certificate:
    """For https, without which a browser elsewhere does not lend its camera."""

    file: Path  # PEM, with the chain
    key: Path  # PEM


@contextmanager
def listening(address: Address) -> Iterator[socket.socket]:
    """Yield a socket that listens at ``address``.

    Raises:
        InputError: another program listens there, it needs other rights, or it is no address of this machine.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        both = address.host == "::" and socket.has_dualstack_ipv6()  # the address that is told is one of IPv4
        listener = socket.create_server((address.host, address.port), family=family, dualstack_ipv6=both)
    except OSError as error:
        raise InputError(
            f"--web {address.host}:{address.port} cannot be listened at: {error.strerror or error}",
            "a free port at an address of this machine",
            "choose another port, such as --web 127.0.0.1:8080, or 0 for any free one",
        ) from error
    with listener:
        yield listener


def serve(
    show: Show,
    address: Address,
    listener: socket.socket,
    certificate: Certificate | None,
    started: Callable[[Stop], None],
) -> None:
    """Serve until SIGINT or SIGTERM, which end it within about a second, or until it is stopped.

    Args:
        show: what is shown.
        address: who may come in.
        listener: from `listening`.
        certificate: for https; None: http.
        started: called once, before the first request is answered, with what stops the server from any thread.

    Raises:
        InputError: the certificate cannot be used.
    """
    port = listener.getsockname()[1]
    secure, cookie = certificate is not None, f"{COOKIE}_{port}"
    app = Guard(make_app(show), address.token, address.hosts(port), secure, cookie)
    config = uvicorn.Config(
        app, log_level="critical", access_log=False, server_header=False, ws_max_size=MAX_MESSAGE,
        h11_max_incomplete_event_size=MAX_HEADERS, limit_concurrency=MAX_CONNECTIONS, http="h11",
        ws="websockets-sansio", timeout_graceful_shutdown=_SHUTDOWN_SECONDS, timeout_keep_alive=30,
        ssl_certfile=certificate.file if certificate else None, ssl_keyfile=certificate.key if certificate else None,
    )  # fmt: skip
    try:
        config.load()
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise InputError(
            f"the certificate cannot be used: {_reason(certificate, error)}", "two PEM files that belong together",
            "make some: openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=edgewise "
            "-keyout key.pem -out cert.pem",
        ) from error  # fmt: skip
    server = uvicorn.Server(config)
    started(lambda: setattr(server, "should_exit", True))
    server.run(sockets=[listener])


def _reason(certificate: Certificate | None, error: Exception) -> str:
    paths = (certificate.file, certificate.key) if certificate else ()
    missing = [path_text(path) for path in paths if not path.is_file()]
    return f"{missing[0]} is not a file" if missing else str(error)
