from __future__ import annotations

import socket

import pytest

from edgewise.runtime.web.address import parse_address
from edgewise.runtime.web.server import listening
from edgewise.spec import InputError


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8000", "127.0.0.1", 8000),
        ("9000", "127.0.0.1", 9000),
        ("[::1]:80", "::1", 80),
        ("localhost:0", "localhost", 0),
        ("", "127.0.0.1", 8000),
    ],
)
def test_this_machine_needs_no_token(text: str, host: str, port: int) -> None:
    address = parse_address(text)
    assert (address.host, address.port, address.token) == (host, port, None)


@pytest.mark.parametrize("text", ["0.0.0.0:8000", "[::]:8000", "192.0.2.7:80", "board.local:8000"])
def test_an_address_that_others_can_reach_gets_a_token(text: str) -> None:
    first, second = parse_address(text), parse_address(text)
    assert first.token
    assert len(first.token) >= 32
    assert first.token != second.token
    assert first.hosts(8000) is None


@pytest.mark.parametrize("text", ["here", "127.0.0.1", "127.0.0.1:99999", "a b:80", "http://x:80", "x:80/"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"--web .*\nExpected: HOST:PORT such as 127.0.0.1:8000"):
        parse_address(text)


def test_the_url_holds_the_token() -> None:
    address = parse_address("0.0.0.0:0")
    assert address.url(8123, "192.0.2.1") == f"http://192.0.2.1:8123/?token={address.token}"
    assert parse_address("[::1]:0").url(8123, scheme="https") == "https://[::1]:8123/"


def test_only_names_of_this_machine_are_answered_without_a_token() -> None:
    assert parse_address("[::1]:8000").hosts(8000) == {"localhost:8000", "127.0.0.1:8000", "[::1]:8000"}
    # Browsers leave out the port that is usual.
    names = {"localhost", "127.0.0.1", "[::1]"}
    assert parse_address("127.0.0.1:80").hosts(80) == names | {f"{name}:80" for name in names}


def test_all_addresses_are_those_of_ipv4_too() -> None:
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    with listening(parse_address("[::]:0")) as listener:
        socket.create_connection(("127.0.0.1", listener.getsockname()[1])).close()
