"""The options of every command that runs a model file, written once.

A command takes one parameter ``opening``, and `opens_model` lists the fields of `Opening` in its place: Typer reads
options from a function's signature.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from edgewise.spec.opening import Opening

PANEL = "Running the model"
"""Panel of the help."""

Model = Annotated[Path, typer.Argument(help="A .tflite or .onnx file that Edgewise exported.", show_default=False)]

OPTIONS: dict[str, Any] = {
    "backend": Annotated[
        str | None,
        typer.Option(help="Engine: litert for .tflite, onnxruntime for .onnx.", show_default="by the file",
                     rich_help_panel=PANEL),
    ],
    "threads": Annotated[
        int | None,
        typer.Option(min=1, help="CPU threads of the engine.", show_default="all cores", rich_help_panel=PANEL),
    ],
    "unknown_threshold": Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Answer 'unknown' below this probability (0-1).",
                     show_default="the model's own", rich_help_panel=PANEL),
    ],
}  # fmt: skip
"""An option for each field of `Opening`, by its name."""


def opens_model(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `OPTIONS` in the place of its parameter ``opening``."""
    signature = inspect.signature(command, eval_str=True)
    mine = [parameter for name, parameter in signature.parameters.items() if name != "opening"]
    defaults = {field.name: field.default for field in fields(Opening)}
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults[name], annotation=annotation)
        for name, annotation in OPTIONS.items()
    ]
    mine = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in mine]

    @functools.wraps(command)
    def wrapped(**values: Any) -> None:
        opening = Opening(**{name: values.pop(name) for name in OPTIONS})
        command(**values, opening=opening)

    wrapped.__signature__ = signature.replace(parameters=[*mine, *options])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in (*mine, *options)}
    return wrapped
