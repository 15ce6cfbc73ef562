"""What is read out of an ONNX file without the onnx package: its manifest, and what must not be in it."""

from __future__ import annotations

from collections.abc import Iterator

from edgewise.runtime.protobuf import Budget, WireError, fields, text
from edgewise.spec import Manifest, ModelError

MANIFEST_KEY = "edgewise.manifest"
"""The manifest's key in the metadata properties of an ONNX file."""

OPERATOR_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
"""Domains whose operators ONNX Runtime brings itself. Every other one needs a library of foreign code."""

MAX_DEPTH = 64  # nested messages; a subgraph inside a node takes three
MAX_FIELDS = 2_000_000  # about three seconds of walking

EXPECTED = "a .tflite or .onnx file made by `edgewise export`"
EXPORT_AGAIN = "copy or export the file again"

# The parts of an ONNX model that can hold tensors, nodes or operator domains: message -> field number -> message.
# Source: onnx.proto of the ONNX project.
_PARTS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse tensor"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse tensor", 23: "sparse tensor"},
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 9: "opset", 11: "attribute"},
    "opset": {},
    "tensor": {},
}
_DOMAIN_FIELD = {"opset": 1, "node": 7, "function": 10}
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
_GRAPH, _METADATA_PROPS = 7, 14


def onnx_manifest(content: bytes, name: str) -> Manifest | None:
    """The manifest among the metadata properties of an ONNX file, or None where there is none.

    Only the outermost fields are read; the graph is skipped by its length.

    Args:
        content: the whole file.
        name: how the file is called in error messages.

    Raises:
        ModelError: not an ONNX file, more than one manifest, or a bad one.
    """
    try:
        outer = list(fields(memoryview(content), Budget(MAX_FIELDS)))
        found = [value for key, value in _properties(outer) if key == MANIFEST_KEY]
    except WireError as error:
        raise ModelError(f"{name} is not a readable ONNX file: {error}", EXPECTED, EXPORT_AGAIN) from error
    if not any(number == _GRAPH and isinstance(value, memoryview) for number, value in outer):
        raise ModelError(f"{name} is not an ONNX file: it holds no graph", EXPECTED, EXPORT_AGAIN)
    if len(found) > 1:
        raise ModelError(f"{name} carries {len(found)} manifests", "one manifest", EXPORT_AGAIN)
    return Manifest.from_json(found[0], name) if found else None


def _properties(outer: list[tuple[int, int | memoryview]]) -> Iterator[tuple[str, str]]:
    budget = Budget(MAX_FIELDS)
    for number, value in outer:
        if number == _METADATA_PROPS and isinstance(value, memoryview):
            entry = dict(fields(value, budget))
            yield text(entry.get(1, memoryview(b""))), text(entry.get(2, memoryview(b"")))


def refuse_foreign_parts(content: bytes, name: str) -> None:
    """Refuse an ONNX model that needs other files or foreign operators, wherever in it they hide.

    Walks the graph, its subgraphs, functions, training graphs, and every tensor in them.

    Args:
        content: the whole file.
        name: how the file is called in error messages.

    Raises:
        ModelError: external data, an operator domain outside OPERATOR_DOMAINS, nesting deeper than MAX_DEPTH, more than
            MAX_FIELDS fields, or bytes that are not ONNX.
    """
    budget = Budget(MAX_FIELDS)
    todo = [("model", memoryview(content), 0)]
    try:
        while todo:
            kind, message, depth = todo.pop()
            if depth > MAX_DEPTH:
                raise WireError(f"its parts are nested more than {MAX_DEPTH} deep")
            for number, value in fields(message, budget):
                _check_field(kind, number, value, name)
                part = _PARTS[kind].get(number)
                if part and isinstance(value, memoryview):
                    todo.append((part, value, depth + 1))
    except WireError as error:
        raise ModelError(f"{name} is not a readable ONNX file: {error}", EXPECTED, EXPORT_AGAIN) from error


def _check_field(kind: str, number: int, value: int | memoryview, name: str) -> None:
    # A location of zero says "in this file". Any other number is refused, because readers keep only its low bits.
    if kind == "tensor" and (number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0)):
        raise ModelError(
            f"{name} keeps weights in other files (external data)", "an ONNX model in one file", "export it again"
        )
    if number == _DOMAIN_FIELD.get(kind) and (domain := text(value)) not in OPERATOR_DOMAINS:
        raise ModelError(
            f"{name} needs operators of the domain {domain!r}",
            "only operators of " + ", ".join(repr(allowed) for allowed in sorted(OPERATOR_DOMAINS)),
            "export the model without custom operators",
        )
