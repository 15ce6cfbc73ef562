"""Frozen dataclasses from JSON that may come from anywhere: each value is checked against its field's type."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import Enum
from math import isfinite
from typing import Any, Union, get_args, get_origin, get_type_hints

from edgewise.spec import InputError

_MOST = 1 << 63
"""Below this whole numbers stay, so that whatever is computed from them is a number, too."""

_PLAIN = {str: "a text", bool: "true or false", int: "a whole number", float: "a finite number"}


def from_data(kind: Any, data: Any, place: str) -> Any:
    """Turn plain data into a value of a type.

    Args:
        kind: a dataclass, an Enum of texts, str, bool, int, float, ``X | None``, ``tuple[X, ...]``, ``Mapping[str, X]``
            or Any, nested as deep as the type says.
        data: what a JSON parser gave.
        place: where it stands, for messages, such as ``results.json: rows[3]``.

    Raises:
        InputError: it does not fit; the message names the place. Unknown fields are passed over.
    """
    if kind is Any:
        return data
    if is_dataclass(kind):
        # What was read before is taken as it is.
        return data if type(data) is kind else _dataclass(kind, data, place)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return None if data is None else from_data(_only(kind), data, place)
    if origin is tuple:
        return _tuple(get_args(kind), data, place)
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(get_args(kind)[1], data, place)
    if issubclass(kind, Enum):
        return _enum(kind, data, place)
    return _plain(kind, data, place)


def _only(kind: Any) -> Any:
    """The X of ``X | None``."""
    (only,) = (part for part in get_args(kind) if part is not type(None))
    return only


def _dataclass(kind: Any, data: Any, place: str) -> Any:
    if not isinstance(data, dict):
        raise _wrong(data, f"{place} is", "an object")
    hints = get_type_hints(kind)
    values = {}
    for field in fields(kind):
        if field.name in data:
            values[field.name] = from_data(hints[field.name], data[field.name], f"{place}.{field.name}")
        elif _is_required(field):
            raise InputError(f"{place} has no '{field.name}'", "a file that `edgewise benchmark` wrote")
    return kind(**values)


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _tuple(parts: Sequence[Any], data: Any, place: str) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise _wrong(data, f"{place} is", "a list")
    if parts[-1] is not Ellipsis:
        if len(data) != len(parts):
            raise InputError(f"{place} has {len(data)} values", f"{len(parts)}")
        return tuple(
            from_data(kind, value, f"{place}[{n}]") for n, (kind, value) in enumerate(zip(parts, data, strict=True))
        )
    return tuple(from_data(parts[0], value, f"{place}[{n}]") for n, value in enumerate(data))


def _mapping(kind: Any, data: Any, place: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise _wrong(data, f"{place} is", "an object")
    return {key: from_data(kind, value, f"{place}.{key[:40]}") for key, value in data.items()}


def _enum(kind: type[Enum], data: Any, place: str) -> Enum:
    known = {member.value: member for member in kind}
    if not isinstance(data, str) or data not in known:
        raise _wrong(data, f"{place} is", "one of " + ", ".join(known))
    return known[data]


def _plain(kind: type, data: Any, place: str) -> Any:
    # A bool is an int in Python, and a whole number is a float in JSON.
    fits = isinstance(data, bool) == (kind is bool) and isinstance(data, (int, float) if kind is float else kind)
    if fits and kind in (int, float):
        fits = _is_finite(data) if kind is float else abs(data) < _MOST
    if not fits:
        raise _wrong(data, f"{place} is", _PLAIN[kind])
    return float(data) if kind is float else data


def _is_finite(number: Any) -> bool:
    try:
        return isfinite(number)
    except OverflowError:  # a whole number beyond all floats
        return False


def _wrong(data: Any, what: str, expected: str) -> InputError:
    shown = ascii(data)
    return InputError(f"{what} {shown if len(shown) <= 60 else shown[:57] + '...'}", expected)
