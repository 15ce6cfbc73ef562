"""The options of ``edgewise benchmark``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ADVICE = "What to recommend"
"""Panel of the help."""

SECONDS = 10.0
"""As `edgewise.benchmarks.request.EFFORTS` has it; the help must not import that."""

Release = Annotated[Path, typer.Argument(help="Release folder, folder of model files, or one model file.")]
Data = Annotated[Path, typer.Option(help="Folder of labelled photos, with or without split folders.")]
Out = Annotated[Path, typer.Option(help="Folder for results.json and the reports.")]
Threads = Annotated[
    str, typer.Option(metavar="1,2,all", help="Numbers of threads to measure.", show_default="1,all; with --quick: all")
]
Backends = Annotated[
    list[str] | None, typer.Option(help="Only this backend; may be repeated.", show_default="all that are installed")
]
Providers = Annotated[
    list[str] | None, typer.Option(help="Only this provider; may be repeated.", show_default="all there are")
]
Reference = Annotated[
    str | None,
    typer.Option(metavar="RUN|none", help="Run folder to compare with.", show_default="the one the release names"),
]
Split = Annotated[str, typer.Option(help="Which split of DATA, where it has split folders.")]
Limit = Annotated[
    int | None,
    typer.Option(
        min=1, help="Only so many photos, the same of each class.", show_default="all; with --quick: 10 to 100"
    ),
]
OutOfClass = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Photos that show none of the classes: are they told apart?")
]
Seed = Annotated[int, typer.Option(help="Seed of the choice that --limit makes, and of the order of rounds.")]
Seconds = Annotated[
    float | None, typer.Option(min=0.1, help="Time for the latency of each row.", show_default=f"{SECONDS:g}")
]
Quick = Annotated[
    bool,
    typer.Option("--quick", help="A first look of about a minute: few photos, and the rest as far as it suffices."),
]
Thorough = Annotated[bool, typer.Option("--thorough", help="20 rounds and more time for each.")]
Sustain = Annotated[
    float, typer.Option(metavar="MIN", min=0, help="Also run each file for so many minutes: does it slow down?")
]
MaxDrop = Annotated[
    float | None,
    typer.Option(
        metavar="POINTS",
        min=0,
        rich_help_panel=ADVICE,
        help="Top-1 that may be lost against the reference, in percentage points.",
        show_default="1",
    ),
]
MaxLatency = Annotated[
    float | None,
    typer.Option(metavar="MS", min=0.001, rich_help_panel=ADVICE, help="Longest median time for one photo."),
]
MaxSize = Annotated[
    float | None, typer.Option(metavar="MB", min=0.001, rich_help_panel=ADVICE, help="Largest file, in 10^6 bytes.")
]
Select = Annotated[
    bool,
    typer.Option(
        "--select",
        rich_help_panel=ADVICE,
        help="Write the fastest variant within the limits into the release, where predict and package pick it up.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object per row in place of the table.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with a benchmark that was interrupted.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an earlier report in OUT.")]
