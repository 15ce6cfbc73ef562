"""Several options as one parameter of a command. Typer reads options from a function's signature; it is changed."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, get_type_hints

Command = Callable[..., None]


def in_place_of(
    name: str, options: Mapping[str, tuple[Any, Any]], make: Callable[..., Any]
) -> Callable[[Command], Command]:
    """List options of a command where it has one parameter.

    Args:
        name: the parameter; it is given by keyword only.
        options: annotation and default of each option, by its name.
        make: makes the parameter of the options' values.
    """

    def decorate(command: Command) -> Command:
        signature = inspect.signature(command, eval_str=True)
        listed = [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for option, (annotation, default) in options.items()
        ]
        parameters = [
            put
            for parameter in signature.parameters.values()
            for put in (listed if parameter.name == name else [parameter])
        ]

        @functools.wraps(command)
        def wrapped(*args: Any, **values: Any) -> None:
            command(*args, **{name: make(**{option: values.pop(option) for option in options})}, **values)

        wrapped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return wrapped

    return decorate


def options_of(group: Any) -> dict[str, tuple[Any, Any]]:
    """Annotation and default of each field of a dataclass."""
    hints = get_type_hints(group, include_extras=True)
    return {field.name: (hints[field.name], field.default) for field in fields(group)}
