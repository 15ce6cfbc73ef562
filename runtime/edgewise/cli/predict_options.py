"""The options of ``edgewise predict``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

SOURCES, PHOTOS = "Reading sources", "Sorting and drawing"
"""Panels of the help."""

Sources = Annotated[
    list[str],
    typer.Argument(
        metavar="SOURCE...",
        help="Photos, folders (with all subfolders), patterns ('photos/**/*.jpg'), videos, lists of paths (@list or "
        "list.txt), URLs, or - for paths on standard input.",
    ),
]
TopK = Annotated[int, typer.Option("--top-k", min=1, help="How many classes to list per photo.")]
Classes = Annotated[
    list[str] | None,
    typer.Option(
        help="Only these may be answers: names with commas between them. Their probabilities stay as they are.",
        metavar="NAMES",
        show_default="all",
    ),
]
Form = Annotated[
    Literal["table", "jsonl", "csv", "parquet"] | None,
    typer.Option("--format", help="Form of the output.", show_default="by the suffix of --out, else a table"),
]
Json = Annotated[bool, typer.Option("--json", help="Short for --format jsonl.")]
Out = Annotated[Path | None, typer.Option(help="Write to this file.", show_default="standard output")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the file of --out if it exists.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on with the file of --out where an interruption left it, if there was one.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 if any photo could not be read.")]
Every = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Of a video take each N-th frame, and take the videos in folders too.",
        metavar="N",
        show_default="each frame, of videos that are named",
        rich_help_panel=SOURCES,
    ),
]
Null = Annotated[
    bool,
    typer.Option("--null", "-0", help="Paths in lists end with zero bytes (find -print0).", rich_help_panel=SOURCES),
]
AllowUrl = Annotated[
    bool, typer.Option("--allow-url", help="Fetch URLs: 30 s and 256 MiB at most each.", rich_help_panel=SOURCES)
]
AllowPrivate = Annotated[
    bool,
    typer.Option("--allow-private", help="Fetch URLs also from this machine and its network.", rich_help_panel=SOURCES),
]
SortInto = Annotated[
    Path | None,
    typer.Option(help="Put each photo into a folder of its class, in this folder.", rich_help_panel=PHOTOS),
]
SortWith = Annotated[
    Literal["copy", "hardlink", "symlink"] | None,
    typer.Option(
        help="How photos get there. Frames and downloads are always copies.",
        show_default="copy",
        rich_help_panel=PHOTOS,
    ),
]
SaveAnnotated = Annotated[
    Path | None,
    typer.Option(help="Save a copy of each photo with the answer on it, in this folder.", rich_help_panel=PHOTOS),
]
