"""Native libraries are kept quiet; everything else is heard."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from edgewise.spec.quiet import quiet_stderr


def test_only_what_is_written_meanwhile_is_dropped(capfd: pytest.CaptureFixture[str]) -> None:
    os.write(2, b"before\n")
    with quiet_stderr():
        os.write(2, b"chatter of a library\n")
        os.write(1, b"on standard output\n")
    os.write(2, b"after\n")
    captured = capfd.readouterr()
    assert captured.err == "before\nafter\n"
    assert captured.out == "on standard output\n"


def test_an_error_comes_through_and_the_stream_is_back(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="heard"), quiet_stderr():  # noqa: PT012
        os.write(2, b"chatter\n")
        raise ValueError("heard")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_it_may_be_nested_and_leaks_no_file(capfd: pytest.CaptureFixture[str]) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for _ in range(20):
        with quiet_stderr(), quiet_stderr():
            os.write(2, b"chatter\n")
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after == before
    assert capfd.readouterr().err == ""


def test_a_closed_standard_error_is_no_reason_to_fail() -> None:
    # Services and desktop launchers start programs like this.
    code = "from edgewise.spec.quiet import quiet_stderr\nwith quiet_stderr(): print('ran')"
    result = subprocess.run(
        ["sh", "-c", 'exec "$@" 2>&-', "sh", sys.executable, "-c", code],
        stdout=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (0, "ran\n")
