"""The page of ``edgewise live --web``: runs the session in a thread, the server in the main thread."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from edgewise.runtime.live import State
    from edgewise.runtime.web.address import Address
    from edgewise.runtime.web.server import Certificate, Stop
    from edgewise.runtime.web.show import LiveShow

_NOWHERE = ("192.0.2.1", 9)
"""An address for documentation (RFC 5737): asking for the way there sends nothing and tells our own address."""

_END_SECONDS = 0.5
"""How long the end waits for the session, which may be writing to a reader that does not read."""


def serve_page(
    show: LiveShow, address: Address, certificate: Certificate | None, heard: Callable[[State], bool]
) -> None:
    """Serve the page until Ctrl-C, SIGTERM, or until ``heard`` answers False.

    Args:
        show: the session; this runs it.
        address: where to listen.
        certificate: for https; None: http.
        heard: gets every state in the session's thread, and says whether to go on.

    Raises:
        InputError: the address or the certificate cannot be used.
        SourceError: the source cannot be opened.
        KeyboardInterrupt: the session does not end.
    """
    from edgewise.runtime.aside import aside
    from edgewise.runtime.web.server import listening, serve

    halted, closed = threading.Event(), threading.Event()
    sessions: list[Future[bool]] = []

    def started(stop: Stop) -> None:
        def after(session: Future[bool]) -> None:
            # A video that is over stays to be looked at.
            if session.exception() or not session.result():
                stop()

        # What was classified is heard of, also after the end was asked for.
        sessions.append(aside(show.run, lambda state: not closed.is_set() and heard(state) and not halted.is_set()))
        sessions[0].add_done_callback(after)
        _announce(address, listener.getsockname()[1], "https" if certificate else "http")

    with listening(address) as listener:
        try:
            serve(show, address, listener, certificate, started)
        finally:
            halted.set()
            _, busy = wait(sessions, _END_SECONDS)
            closed.set()
    if busy:
        raise KeyboardInterrupt  # it writes to who does not read
    for session in sessions:
        session.result()  # raises what ended it


def _announce(address: Address, port: int, scheme: str) -> None:
    """Tell where the page is; for a phone also as a picture to scan, where that goes to a terminal."""
    own = _own_address() if address.is_any else None
    url = address.url(port, own, scheme)
    typer.echo(f"the page is at {url}", err=True)
    if address.token is None:
        return
    typer.echo("whoever has this address can watch and change the settings", err=True)
    if sys.stderr.isatty():
        import segno

        segno.make(url, micro=False).terminal(sys.stderr, compact=True)


def _own_address() -> str:
    """This machine's number in its network, or its name where that is not known."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(_NOWHERE)
        except OSError:
            return socket.gethostname()
        return str(probe.getsockname()[0])
