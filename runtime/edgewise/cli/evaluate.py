"""``edgewise evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.cli.console import load, reporter
from edgewise.cli.model_options import chosen_of, measures_model
from edgewise.spec.opening import Opening

if TYPE_CHECKING:
    from rich.console import Console

    from edgewise.train.assessment import Assessment

MAX_PRINTED_CLASSES = 15
"""Up to so many classes, the confusion matrix is printed; more do not fit into a terminal."""


@measures_model
def evaluate(
    model: Annotated[
        Path,
        typer.Argument(
            help="A run folder; a .tflite or .onnx file, one of another maker with --labels; or a release of which "
            "`benchmark --select` has chosen one.",
            show_default=False,
        ),
    ],
    data: Annotated[Path, typer.Argument(help="Labelled photos, as for train.", show_default=False)],
    split: Annotated[
        str | None, typer.Option(help="train, validation or test.", show_default="test, or all without splits")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for metrics.json and confusion_matrix.png.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace figures that are in --out.")] = False,
    *,
    opening: Opening,
) -> None:
    """Measure top-1, top-5, precision, recall, F1 and confusions on labelled photos."""
    from edgewise.runtime.selection import SELECTED

    module = load("edgewise.train.assessment", "train")
    if (model / SELECTED).exists():
        model, opening = chosen_of(model, opening)
    if out is not None:
        module.refuse_existing(out, overwrite=overwrite)
    assessment = module.assess(model, data, split=split, opening=opening, reporter=reporter())
    if out is not None:
        assessment.save(out)
    if as_json:
        typer.echo(json.dumps(assessment.to_data(), ensure_ascii=False))
    else:
        _print(assessment)


def _print(assessment: Assessment) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    metrics, console = assessment.metrics, Console()
    # Of five classes, all are among the best five.
    top5 = f"top-5 {metrics.top5:.2%}   " if len(metrics.classes) > 5 else ""
    console.print(
        f"top-1 {metrics.top1:.2%}   {top5}macro F1 {metrics.macro_f1:.3f}   "
        f"({metrics.photos} {assessment.split} photos)",
        highlight=False,
    )
    table = Table("class", box=None, header_style="bold")
    for name in ("photos", "precision", "recall", "F1"):
        table.add_column(name, justify="right")
    table.add_column("most often taken for")
    for index, row in enumerate(metrics.classes):
        figures = (f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}")
        table.add_row(escape(row.label), str(row.photos), *figures, escape(_mistaken(assessment, index)))
    console.print(table)
    if len(assessment.labels) <= MAX_PRINTED_CLASSES:
        _print_confusion(assessment, console)


def _print_confusion(assessment: Assessment, console: Console) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table("", title="truth below, answers to the right", title_justify="left", box=None, header_style="bold")
    for number in range(1, len(assessment.labels) + 1):
        table.add_column(str(number), justify="right")
    for number, (label, row) in enumerate(zip(assessment.labels, assessment.metrics.confusion, strict=True), 1):
        cells = (f"[bold]{n}" if i == number else (str(n) if n else "·") for i, n in enumerate(row, 1))
        table.add_row(f"{number} {escape(label)}", *cells)
    console.print()
    console.print(table)


def _mistaken(assessment: Assessment, index: int) -> str:
    """The wrong answer a class gets most often, with its count."""
    wrong = [(0 if i == index else n, -i) for i, n in enumerate(assessment.metrics.confusion[index])]
    count, other = max(wrong)
    return f"{assessment.labels[-other]} ({count})" if count else ""
