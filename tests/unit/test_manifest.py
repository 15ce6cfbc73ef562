"""The manifest of a model file: what is written comes back, and nothing wrong in it gets through unnamed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from edgewise.spec import Accuracy, Calibration, InputSpec, Manifest, ModelError, OutputSpec, Parity, Scheme
from edgewise.spec.manifest import MAX_BYTES, SCHEMA

FULL = Manifest(
    name="clothes-int8",
    labels=("dress", "blue jeans", "T-shirt", "Söckchen"),
    input=InputSpec(224, 299),
    scheme=Scheme.INT8,
    output=OutputSpec(),
    temperature=1.25,
    unknown_threshold=0.5,
    calibration=Calibration(300, "ab" * 32, "min-max"),
    accuracy=Accuracy(0.93, 372, "test"),
    parity=Parity(0.94, 0.985, 0.12, 0.002, 372),
    provenance={"backbone": "inception_resnet_v2", "seed": 0, "versions": {"numpy": "2"}},
)
SMALL = Manifest("m", ("a", "b"), InputSpec(8, 8), Scheme.FP32)


def changed(path: str, value: object) -> str:
    """The full manifest as JSON with one field, written as ``section.key``, set to ``value``."""
    data: Any = json.loads(FULL.to_json())
    *sections, key = path.split(".")
    place = data
    for section in sections:
        place = place[section]
    place[key] = value
    return json.dumps(data)


def without(path: str) -> str:
    data: Any = json.loads(FULL.to_json())
    *sections, key = path.split(".")
    place = data
    for section in sections:
        place = place[section]
    del place[key]
    return json.dumps(data)


def refused(text: str | bytes) -> ModelError:
    with pytest.raises(ModelError) as caught:
        Manifest.from_json(text, "shoes.onnx")
    return caught.value


@pytest.mark.parametrize("manifest", [FULL, SMALL], ids=["full", "small"])
@pytest.mark.parametrize("form", [str, str.encode], ids=["text", "bytes"])
def test_what_is_written_comes_back(manifest: Manifest, form: Callable[[str], str | bytes]) -> None:
    assert Manifest.from_json(form(manifest.to_json()), "it") == manifest


def test_the_json_is_for_people_too() -> None:
    text = FULL.to_json()
    assert '"schema": 1' in text
    assert "Söckchen" in text
    assert text.count("\n") > 20


def test_unknown_fields_of_the_same_version_are_left_alone() -> None:
    assert Manifest.from_json(changed("color", "red"), "it") == FULL


FIELDS = [
    ("name", 3, "a printable text"),
    ("name", "a\x1b[2J", "a printable text"),
    ("labels", "abc", "a list of 2 to 100000 class names"),
    ("labels", ["alone"], "a list of 2 to 100000 class names"),
    ("labels", ["a", 1], "class names that are printable texts, not empty"),
    ("labels", ["a", ""], "class names that are printable texts, not empty"),
    ("labels", ["a", "b\n"], "class names that are printable texts, not empty"),
    ("labels", ["a", "\ud800"], "class names that are printable texts, not empty"),
    ("labels", ["a", "b", "a"], "class names that are all different"),
    ("scheme", "int3", "one of fp32, fp16, dynamic, int8, w8a16, int8-qat"),
    ("scheme", None, "one of fp32, fp16, dynamic, int8, w8a16, int8-qat"),
    ("input.height", 0, "a whole number from 1 to 4096"),
    ("input.height", 224.0, "a whole number from 1 to 4096"),
    ("input.height", True, "a whole number from 1 to 4096"),
    ("input.width", 10**400, "a whole number from 1 to 4096"),
    ("input.width", 4097, "a whole number from 1 to 4096"),
    ("input.layout", "NCHW", "one of NHWC"),
    ("input.color", "BGR", "one of RGB"),
    ("input.dtype", "float32", "one of uint8"),
    ("input.resize", "crop", "one of stretch"),
    ("output.kind", "logits", "one of probabilities"),
    ("output.dtype", "int8", "one of float32"),
    ("temperature", 0, "a number from 1e-06 to 1e+06"),
    ("temperature", "1", "a number from 1e-06 to 1e+06"),
    ("temperature", float("nan"), "a number from 1e-06 to 1e+06"),
    ("temperature", float("inf"), "a number from 1e-06 to 1e+06"),
    ("temperature", 10**400, "a number from 1e-06 to 1e+06"),
    ("temperature", None, "a number from 1e-06 to 1e+06"),
    ("unknown_threshold", 1.5, "a number from 0 to 1"),
    ("unknown_threshold", False, "a number from 0 to 1"),
    ("calibration.photos", 0, "a whole number from 1 to 2147483648"),
    ("calibration.sha256", None, "a printable text"),
    ("calibration.method", [], "a printable text"),
    ("accuracy.top1", -0.1, "a number from 0 to 1"),
    ("accuracy.top1", float("nan"), "a number from 0 to 1"),
    ("accuracy.photos", "many", "a whole number from 1 to 2147483648"),
    ("accuracy.split", 1, "a printable text"),
    ("parity.reference_top1", 2, "a number from 0 to 1"),
    ("parity.agreement", None, "a number from 0 to 1"),
    ("parity.max_difference", 1.1, "a number from 0 to 1"),
    ("parity.mean_difference", -1, "a number from 0 to 1"),
    ("parity.photos", 1.5, "a whole number from 1 to 2147483648"),
    ("provenance", [], "an object"),
    ("schema", 0, "a whole number from 1 to 1"),
    ("schema", "1", "a whole number from 1 to 1"),
    ("schema", True, "a whole number from 1 to 1"),
]


@pytest.mark.parametrize(
    ("path", "value", "expected"), FIELDS, ids=[f"{path}={value!r:.12}" for path, value, _ in FIELDS]
)
def test_a_wrong_field_is_named_with_what_was_expected(path: str, value: object, expected: str) -> None:
    error = refused(changed(path, value))
    *sections, key = path.split(".")
    where = "shoes.onnx" + "".join(f" ({section})" for section in sections)
    assert error.got.startswith(f"{where}: '{key}' in its manifest is ")
    assert error.expected == expected
    assert error.do == "export the file again"
    assert len(error.got) < 160


@pytest.mark.parametrize(
    "path",
    [
        "schema",
        "name",
        "labels",
        "scheme",
        "temperature",
        "input.height",
        "input.dtype",
        "output.kind",
        "accuracy.top1",
        "parity.photos",
    ],
)
def test_a_missing_field_is_named(path: str) -> None:
    assert f"'{path.split('.')[-1]}' in its manifest is None" in refused(without(path)).got


@pytest.mark.parametrize("section", ["input", "output"])
@pytest.mark.parametrize("value", [None, 3, [], "x"])
def test_a_section_that_is_no_object_is_named(section: str, value: object) -> None:
    error = refused(changed(section, value))
    assert error.got.startswith(f"shoes.onnx ({section}): ")
    assert error.expected == "a JSON object"


@pytest.mark.parametrize("section", ["calibration", "accuracy", "parity"])
def test_an_optional_section_may_be_absent_but_not_empty(section: str) -> None:
    assert getattr(Manifest.from_json(without(section), "it"), section) is None
    assert f"({section})" in refused(changed(section, {})).got
    assert f"({section})" in refused(changed(section, "x")).got


def test_a_newer_version_says_to_update() -> None:
    error = refused(changed("schema", SCHEMA + 1))
    assert str(error) == (
        "shoes.onnx: its manifest has version 2\n"
        "Expected: version 1 or older\n"
        "Do: update Edgewise: pip install --upgrade edgewise"
    )


@pytest.mark.parametrize(
    "text",
    ["", "{", "nonsense", b"\xff\xfe\xfa", '{"schema": 1' + "0" * 5000 + "}", "[" * 100_000],
    ids=["empty", "cut", "words", "bytes", "digits", "deep"],
)
def test_what_is_not_json_is_said_to_be_none(text: str | bytes) -> None:
    error = refused(text)
    assert error.got.startswith("shoes.onnx: its manifest ")
    assert "is not JSON (" in error.got or "has version 1000" in error.got
    assert error.do


@pytest.mark.parametrize("text", ["[]", "3", "null", '"text"'])
def test_json_that_is_no_object(text: str) -> None:
    error = refused(text)
    assert error.got.startswith("shoes.onnx: 'manifest' in its manifest is ")
    assert error.expected == "a JSON object"


def test_a_manifest_too_long_is_not_parsed() -> None:
    error = refused(b" " * (MAX_BYTES + 1))
    assert str(error) == (
        f"shoes.onnx: its manifest is {MAX_BYTES + 1} bytes long\nExpected: at most {MAX_BYTES} bytes"
    )
