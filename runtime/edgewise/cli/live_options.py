"""The options of ``edgewise live``, in groups: a group is a dataclass, and each of its fields is an option."""

from __future__ import annotations

import re
import shlex
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand

from edgewise.cli.grouping import Command, in_place_of, options_of

SOURCE, ANSWERS, OUTPUT, PAGE = "Source", "Answers", "Output", "Page in a browser"
"""Panels of the help."""


@dataclass(frozen=True)
class Origin:
    """What frames come from."""

    camera: Annotated[
        str | None,
        typer.Option(
            help="Number of the camera, or its device (/dev/video2).", show_default="0", rich_help_panel=SOURCE
        ),
    ] = None
    source: Annotated[
        str | None,
        typer.Option(
            help="A video file, or a stream at http://, https:// or rtsp://, instead of a camera.",
            rich_help_panel=SOURCE,
        ),
    ] = None
    width: Annotated[
        int | None, typer.Option(min=1, help="Width to ask the camera for, in pixels.", rich_help_panel=SOURCE)
    ] = None
    height: Annotated[
        int | None, typer.Option(min=1, help="Height to ask the camera for, in pixels.", rich_help_panel=SOURCE)
    ] = None
    fps: Annotated[
        float | None, typer.Option(min=0.1, help="Frames per second to ask the camera for.", rich_help_panel=SOURCE)
    ] = None
    every_frame: Annotated[
        bool,
        typer.Option(
            "--every-frame",
            help="Classify every frame of a video file, however long that takes.",
            rich_help_panel=SOURCE,
        ),
    ] = False
    give_up: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="End when a source that was lost gives nothing for so many seconds.",
            show_default="never",
            rich_help_panel=SOURCE,
        ),
    ] = None


@dataclass(frozen=True)
class Reading:
    """How answers are made of frames."""

    top_k: Annotated[
        int, typer.Option("--top-k", min=1, help="How many classes to list per frame.", rich_help_panel=ANSWERS)
    ] = 5
    region: Annotated[
        str | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="Classify this part of the frame: pixels, or shares of it (0.25,0.25,0.5,0.5).",
            show_default="all of it",
            rich_help_panel=ANSWERS,
        ),
    ] = None
    smooth: Annotated[
        Literal["off", "ema", "majority"],
        typer.Option(
            help="How the shown label follows the frames: as each is, by averaged probabilities, or by vote.",
            rich_help_panel=ANSWERS,
        ),
    ] = "ema"
    smooth_seconds: Annotated[
        float,
        typer.Option(help="Time constant of the average, or length of the vote, in seconds.", rich_help_panel=ANSWERS),
    ] = 0.5
    smooth_margin: Annotated[
        float,
        typer.Option(help="How far another label must lead (0-1) until it is shown instead.", rich_help_panel=ANSWERS),
    ] = 0.1
    max_frames: Annotated[
        int | None, typer.Option(min=1, help="Stop after so many classified frames.", rich_help_panel=ANSWERS)
    ] = None


@dataclass(frozen=True)
class Output:
    """Where answers go."""

    window: Annotated[
        bool | None,
        typer.Option(
            "--window/--no-window",
            help="Show a window. Default: where one is possible, unless --json is given.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    json_lines: Annotated[
        bool,
        typer.Option(
            "--json",
            help="JSON lines on standard output. Without a window they come anyway.",
            rich_help_panel=OUTPUT,
        ),
    ] = False
    jsonl: Annotated[
        Path | None, typer.Option(help="Write the JSON lines to this file, too, as they come.", rich_help_panel=OUTPUT)
    ] = None
    record: Annotated[
        Path | None,
        typer.Option(
            help="Record what the window shows, or would show, to this .avi or .mp4 file.", rich_help_panel=OUTPUT
        ),
    ] = None
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace the files of --record and --jsonl.", rich_help_panel=OUTPUT),
    ] = False
    save_dir: Annotated[
        Path, typer.Option(help="Folder for the frames that the key s saves.", rich_help_panel=OUTPUT)
    ] = Path()
    on_label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LABEL COMMAND",
            help="Run a command, without a shell, when LABEL appears (or 'unknown'); $EDGEWISE_LABEL, _PROBABILITY, "
            "_FRAME, _SECONDS and _SOURCE tell it why. May be given several times.",
            rich_help_panel=OUTPUT,
        ),
    ] = None
    on_label_every: Annotated[
        float,
        typer.Option(min=0, help="Least time between two runs of one command, in seconds.", rich_help_panel=OUTPUT),
    ] = 10.0


@dataclass(frozen=True)
class Page:
    """The page for browsers."""

    web: Annotated[
        str | None,
        typer.Option(
            metavar="[HOST:PORT]",
            help="Serve a page with picture and answers. Alone: for this machine, at 127.0.0.1:8000. With another "
            "address, such as 0.0.0.0:8000: for whoever has the address with the token that is printed.",
            rich_help_panel=PAGE,
        ),
    ] = None
    certificate: Annotated[
        Path | None,
        typer.Option(
            help="PEM file, for https: elsewhere than on this machine a browser lends its camera only so.",
            rich_help_panel=PAGE,
        ),
    ] = None
    certificate_key: Annotated[
        Path | None, typer.Option(help="PEM file with the key of --certificate.", rich_help_panel=PAGE)
    ] = None


class LiveCommand(TyperCommand):
    """A command with two options that Typer's own cannot be.

    ``--on-label`` takes two words, several times; ``--web`` takes one or none.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> Any:
        """Join the two words to one, which `pairs` takes apart, and give a bare ``--web`` its usual address."""
        return super().parse_args(ctx, list(_joined(args)))


def _joined(args: list[str]) -> Iterator[str]:
    words = deque(args)
    while words:
        word = words.popleft()
        if word.startswith("--on-label="):
            words.appendleft(word.partition("=")[2])
            word = "--on-label"
        yield word
        if word == "--on-label":
            if len(words) < 2:
                raise typer.BadParameter("it takes two words: a label and a command", param_hint="--on-label")
            yield shlex.join((words.popleft(), words.popleft()))
        elif word == "--web" and not (words and _is_address(words[0])):
            yield ""
        elif word == "--":
            yield from words
            return


def _is_address(word: str) -> bool:
    return word == "" or re.fullmatch(r"(\S*:)?\d+", word) is not None


def pairs(on_label: list[str] | None) -> list[tuple[str, str]]:
    """Label and command of each --on-label."""
    return [(label, command) for label, command in map(shlex.split, on_label or [])]


def grouped(**groups: type) -> Callable[[Command], Command]:
    """Give a command one option per field of each of its parameters ``groups``, which are dataclasses."""

    def decorate(command: Command) -> Command:
        for name, group in groups.items():
            command = in_place_of(name, options_of(group), group)(command)
        return command

    return decorate
