"""The error tree: one base, messages of three parts, and errors that cross processes whole."""

from __future__ import annotations

import inspect
import pickle
from concurrent.futures import ProcessPoolExecutor

import pytest

from edgewise.spec import (
    DataError,
    EdgewiseError,
    ExtraMissingError,
    GateError,
    InputError,
    ModelError,
    PhotoError,
    errors,
)

EVERY = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, EdgewiseError)]
THREE_PARTS = [kind for kind in EVERY if kind is not ExtraMissingError]


def fail(kind: type[EdgewiseError], *parts: str) -> None:
    raise kind(*parts)


def test_the_tree_has_one_root_and_is_the_one_that_the_module_draws() -> None:
    assert len(EVERY) == 11
    assert issubclass(PhotoError, InputError)
    assert issubclass(DataError, InputError)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in EVERY)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (("a is b",), "a is b"),
        (("a is b", "c"), "a is b\nExpected: c"),
        (("a is b", "", "e"), "a is b\nDo: e"),
        (("a is b", "c", "e"), "a is b\nExpected: c\nDo: e"),
    ],
)
def test_a_message_has_the_parts_that_were_given(parts: tuple[str, ...], message: str) -> None:
    assert str(ModelError(*parts)) == message


def test_a_missing_extra_says_what_to_install() -> None:
    error = ExtraMissingError("train", "tensorflow")
    assert str(error).startswith(
        "this needs the optional part 'train', and its module 'tensorflow' is not installed\n"
        "Do: pip install 'edgewise[train]'"
    )


@pytest.mark.parametrize("kind", THREE_PARTS)
def test_every_error_is_pickled_whole(kind: type[EdgewiseError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("got", "expected", "do")))
    assert type(copy) is kind
    assert (copy.got, copy.expected, copy.do) == ("got", "expected", "do")
    assert str(copy) == str(kind("got", "expected", "do"))


def test_a_missing_extra_is_pickled_whole() -> None:
    copy = pickle.loads(pickle.dumps(ExtraMissingError("export", "onnx")))
    assert (copy.extra, copy.module, str(copy)) == ("export", "onnx", str(ExtraMissingError("export", "onnx")))


def test_errors_come_out_of_another_process() -> None:
    with ProcessPoolExecutor(1) as pool:
        with pytest.raises(GateError) as gate:
            pool.submit(fail, GateError, "one file", "none", "train").result()
        with pytest.raises(ExtraMissingError) as extra:
            pool.submit(fail, ExtraMissingError, "bench", "jinja2").result()
    assert str(gate.value) == "one file\nExpected: none\nDo: train"
    assert "pip install 'edgewise[bench]'" in str(extra.value)
