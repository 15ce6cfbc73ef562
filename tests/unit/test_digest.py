"""The digest that a file carries inside: sealed once, checked before any parser."""

from __future__ import annotations

import pytest

from edgewise.spec import ModelError
from edgewise.spec.digest import BLANK, MARKER, seal, verify
from edgewise.spec.files import sha256

CONTENT = b"head " + BLANK + b" tail"


def test_a_sealed_file_verifies_and_differs_only_in_the_digest() -> None:
    sealed = seal(CONTENT)
    assert verify(sealed, "it")
    assert sealed == b"head " + MARKER + sha256(CONTENT).encode() + b" tail"
    assert len(sealed) == len(CONTENT)


def test_a_file_without_digest_is_said_to_have_none() -> None:
    assert not verify(b"anything", "it")
    assert not verify(b"", "it")


@pytest.mark.parametrize(
    "content", [b"no marker", MARKER + b"1" * 64, BLANK + BLANK, BLANK[:-1], BLANK + MARKER], ids=range(5)
)
def test_only_one_blank_marker_can_be_sealed(content: bytes) -> None:
    with pytest.raises(ValueError, match="exactly one blank digest marker"):
        seal(content)


def test_any_change_is_damage() -> None:
    sealed = seal(CONTENT)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        if 5 <= at < 5 + len(MARKER):
            assert not verify(bytes(changed), "it")  # no marker any more; read_model then asks for one
            continue
        with pytest.raises(ModelError) as caught:
            verify(bytes(changed), "clothes.onnx")
        assert str(caught.value) == (
            "clothes.onnx is damaged: its content does not fit the SHA-256 it carries\n"
            "Do: copy or export the file again"
        )


@pytest.mark.parametrize("change", [lambda c: c + b"x", lambda c: c[:-1], lambda c: b"x" + c, lambda c: c[:30]])
def test_a_longer_or_shorter_file_is_damaged(change: object) -> None:
    assert callable(change)
    with pytest.raises(ModelError, match="is damaged"):
        verify(change(seal(CONTENT)), "it")


def test_a_digest_that_was_never_filled_in_is_damage() -> None:
    with pytest.raises(ModelError, match="is damaged"):
        verify(CONTENT, "it")


def test_the_digits_are_lower_case() -> None:
    sealed = seal(CONTENT)
    upper = sealed.replace(sha256(CONTENT).encode(), sha256(CONTENT).upper().encode())
    assert upper != sealed
    with pytest.raises(ModelError, match="is damaged"):
        verify(upper, "it")
