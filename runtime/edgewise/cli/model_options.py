"""The options of every command that runs a model file, written once.

A command takes one parameter ``opening``, and `opens_model` lists the fields of `Opening` in its place.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from edgewise.cli.console import visible
from edgewise.cli.grouping import Command, in_place_of
from edgewise.spec.files import path_text
from edgewise.spec.opening import AUTO, MOST_THREADS, Opening

PANEL = "Running the model"
"""Panel of the help."""

FOREIGN_PANEL = "Files that Edgewise did not export"
"""Panel of the help, for what cannot be found out about such files."""

Model = Annotated[
    Path,
    typer.Argument(
        help="A .tflite or .onnx file, one of another maker with --labels; or a release of which `benchmark --select` "
        "has chosen one.",
        show_default=False,
    ),
]

Models = Annotated[
    list[Path],
    typer.Argument(
        metavar="MODEL...",
        help="A .tflite or .onnx file, one of another maker with --labels; or a release of which `benchmark --select` "
        "has chosen one. Several files: to choose from, with --web.",
        show_default=False,
    ),
]


def chosen_of(model: Path, opening: Opening) -> tuple[Path, Opening]:
    """The file to open, and how: of a release folder what the benchmark has chosen, which the user is told.

    Raises:
        ModelError: ``model`` is a folder without a choice, or the choice does not fit what is in it.
    """
    from edgewise.runtime.selection import resolve

    path, opening, chosen = resolve(model, opening)
    if chosen:
        typer.echo(f"chosen by the benchmark: {path_text(chosen.file)}", err=True)
    return path, opening


def _option(text: str, shown: str | bool = False, panel: str = PANEL, **more: Any) -> Any:
    return typer.Option(help=text, show_default=shown, rich_help_panel=panel, **more)


OPTIONS: dict[str, Any] = {
    "backend": Annotated[
        str | None,
        _option("Engine: litert (.tflite), onnxruntime (.onnx), openvino (both), or auto: the fastest, measured once "
                "and remembered.", "by the file"),
    ],
    "provider": Annotated[
        str | None, _option("What computes: cpu, or what the engine lists, such as cuda or tensorrt.", "cpu"),
    ],
    "threads": Annotated[int | None, _option("CPU threads of the engine.", "all cores", min=1, max=MOST_THREADS)],
    "precision": Annotated[
        str | None, _option("What floats are computed in: fp32, or bf16 where engine and CPU have it.", "fp32"),
    ],
    "allow_fallback": Annotated[
        bool, _option("Go on with what there is where backend, provider or precision is not there."),
    ],
    "retune": Annotated[bool, _option("With --backend auto: measure again.")],
    "unknown_threshold": Annotated[
        float | None, _option("Answer 'unknown' below this probability (0-1).", "the model's own", min=0, max=1),
    ],
    "labels": Annotated[
        Path | None, _option("Text file with a class name a line, in the order of the output.", panel=FOREIGN_PANEL),
    ],
    "normalize": Annotated[
        str | None,
        _option("What pixels become: none (0-255), 0..1, -1..1, imagenet, or MEAN/DEVIATION in pixel values, such as "
                "127.5/127.5 or 124,116,104/58,57,57.", "as its metadata says", FOREIGN_PANEL),
    ],
    "input_layout": Annotated[str | None, _option("Order of the input: NHWC or NCHW.", "by its shape", FOREIGN_PANEL)],
    "color_order": Annotated[str | None, _option("Order of the colours: rgb or bgr.", "rgb", FOREIGN_PANEL)],
    "image_size": Annotated[
        int | None, _option("Height and width in pixels, where the file leaves them open.", panel=FOREIGN_PANEL, min=1),
    ],
    "output_kind": Annotated[
        str | None, _option("What it gives: probabilities or logits.", "by a trial", FOREIGN_PANEL),
    ],
}  # fmt: skip
"""An option for each field of `Opening`, by its name."""


class _Echo(logging.Handler):
    """Writes messages to standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(visible(record.getMessage()), err=True)


def _echo_log() -> None:
    """Let the user know what the runtime does meanwhile, since measuring takes its time."""
    logger = logging.getLogger("edgewise.runtime")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _Echo) for handler in logger.handlers):
        logger.addHandler(_Echo())


def opens_model(command: Command, names: Iterable[str] = OPTIONS) -> Command:
    """Give a command the options of `OPTIONS`, or those with ``names``, in the place of its parameter ``opening``."""
    defaults = {field.name: field.default for field in fields(Opening)}
    return in_place_of("opening", {name: (OPTIONS[name], defaults[name]) for name in names}, _opening)(command)


def measures_model(command: Command) -> Command:
    """As `opens_model`, for a command that asks which class is the most probable, however probable it is."""
    return opens_model(command, [name for name in OPTIONS if name != "unknown_threshold"])


def _opening(**values: Any) -> Opening:
    opening = Opening(**values)
    if opening.backend == AUTO:
        _echo_log()
    return opening
