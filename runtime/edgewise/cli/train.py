"""``edgewise train`` and ``edgewise evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edgewise.cli.console import command_line, interrupted, load, reporter
from edgewise.spec.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from edgewise.train.assessment import Assessment

Threads = Annotated[int | None, typer.Option(help="CPU threads.", min=1, show_default="all cores")]

MAX_PRINTED_CLASSES = 15
"""Up to so many classes, the confusion matrix is printed; more do not fit into a terminal."""


CONTINUING = {"data", "out", "threads", "resume"}
"""Options that go together with --resume; the others are what the run was begun with."""


def train(
    context: typer.Context,
    data: Annotated[
        Path | None,
        typer.Argument(
            help="One folder of photos per class, or train/validation/test folders of such.", show_default=False
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The run folder to make.")] = Path("runs/latest"),
    weights: Annotated[
        str,
        typer.Option(help="First weights: 'imagenet', 'none' (from scratch), or a file in the official Keras layout."),
    ] = "imagenet",
    image_size: Annotated[
        int, typer.Option(help="Side of the input in pixels; smaller is faster.", min=75, max=1024)
    ] = 299,
    blocks: Annotated[
        str | None, typer.Option(help="Residual blocks kept per stage; fewer is faster.", show_default="10,20,10")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Epochs of the whole network.", min=1)] = 10,
    head_epochs: Annotated[int, typer.Option(help="Epochs of the head before it, with given weights.", min=0)] = 30,
    batch_size: Annotated[int, typer.Option(help="Photos per step.", min=2)] = 32,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak learning rate.", show_default="0.001 from scratch, else 0.0001")
    ] = None,
    patience: Annotated[int, typer.Option(help="Stop after so many epochs without a better validation.", min=1)] = 5,
    flip: Annotated[bool, typer.Option(help="Mirrored photos show the same class; not so for text or arrows.")] = True,
    seed: Annotated[int, typer.Option(help="The same seed gives the same split and order.", min=0)] = 0,
    threads: Threads = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out after an interruption.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the run in --out.")] = False,
) -> None:
    """Fine-tune InceptionResNetV2 on a labelled folder of photos."""
    trainer = load("edgewise.train.trainer", "train")
    runs = load("edgewise.train.run", "train")
    batches = load("edgewise.train.batches", "train")
    try:
        if resume:
            _refuse_new_options(context)
            trainer.resume(out, data=data, threads=threads, reporter=reporter())
            return
        if data is None:
            raise typer.BadParameter("say which folder of photos to train on", param_hint="DATA")
        recipe = runs.Recipe(
            weights=weights, epochs=epochs, head_epochs=head_epochs, batch_size=batch_size, learning_rate=learning_rate,
            patience=patience, seed=seed, augmentation=batches.Augmentation(flip=flip),
        )  # fmt: skip
        plan = trainer.Plan(recipe, image_size, _counts(blocks))
        trainer.train(data, out, plan, overwrite=overwrite, threads=threads, reporter=reporter())
    except trainer.Interrupted:
        hint = "continue with: " + command_line("train", "--out", out, "--resume")
        raise typer.Exit(interrupted(hint)) from None
    except KeyboardInterrupt:
        raise typer.Exit(interrupted("nothing was begun or changed")) from None
    typer.echo("next: " + command_line("export", "release", out), err=True)


def evaluate(
    model: Annotated[Path, typer.Argument(help="A run folder, or a .tflite or .onnx file.", show_default=False)],
    data: Annotated[Path, typer.Argument(help="Labelled photos, as for train.", show_default=False)],
    split: Annotated[
        str | None, typer.Option(help="train, validation or test.", show_default="test, or all without splits")
    ] = None,
    backend: Annotated[str | None, typer.Option(help="litert or onnxruntime.", show_default="by the file")] = None,
    threads: Threads = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for metrics.json and confusion_matrix.png.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace figures that are in --out.")] = False,
) -> None:
    """Measure top-1, top-5, precision, recall, F1 and confusions on labelled photos."""
    module = load("edgewise.train.assessment", "train")
    if out is not None:
        module.refuse_existing(out, overwrite=overwrite)
    assessment = module.assess(model, data, split=split, backend=backend, threads=threads, reporter=reporter())
    if out is not None:
        assessment.save(out)
    if as_json:
        typer.echo(json.dumps(assessment.to_data(), ensure_ascii=False))
    else:
        _print(assessment)


def _typed(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _refuse_new_options(context: typer.Context) -> None:
    given = [
        f"--{name.replace('_', '-')}" for name in context.params if name not in CONTINUING and _typed(context, name)
    ]
    if given:
        raise InputError(
            f"--resume together with {', '.join(given)}",
            "--resume alone, because a run continues with the options it was begun with",
            "leave them out, or begin another run",
        )


def _counts(blocks: str | None) -> tuple[int, ...] | None:
    if blocks is None:
        return None
    try:
        return tuple(int(part) for part in blocks.split(","))
    except ValueError:
        raise InputError(
            f"--blocks {blocks}", "three numbers from 1,1,1 (smallest) to 10,20,10 (the full network)"
        ) from None


def _print(assessment: Assessment) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    metrics, console = assessment.metrics, Console()
    console.print(
        f"top-1 {metrics.top1:.2%}   top-5 {metrics.top5:.2%}   macro F1 {metrics.macro_f1:.3f}   "
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
