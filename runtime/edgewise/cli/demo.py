"""``edgewise demo``: the whole way on pictures it draws itself."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from edgewise.cli.benchmark import measured
from edgewise.cli.benchmark_view import print_table
from edgewise.cli.console import command_line, interrupted, load, reporter
from edgewise.spec.errors import EdgewiseError, GateError, OutputError
from edgewise.spec.files import refuse_overwrite, write_text
from edgewise.spec.manifest import Format, Scheme
from edgewise.spec.opening import MOST_THREADS

TITLES = (
    "Drawing ten signs as a webcam would see them on paper. They are drawn by this program, not photographed.",
    "Training InceptionResNetV2 on them, from scratch.",
    "Exporting to TFLite and ONNX, float and int8, and proving each file on held-out drawings.",
    "Measuring accuracy and speed of every file on this machine.",
)
PARTS = ("signs", "run", "release", "report")
MARK = ".edgewise-demo"
"""File that says that a folder was made by the demo and may be replaced with --overwrite."""


@dataclass(frozen=True)
class _Size:
    """How much the demo does."""

    drawings: dict[str, int]  # per split
    image_size: int  # pixels
    blocks: tuple[int, int, int]
    epochs: int
    batch_size: int
    max_drop: float  # points of top-1 that int8 may lose


FULL = _Size({"train": 4000, "validation": 400, "test": 1000}, 75, (10, 20, 10), 2, 64, 1.0)
QUICK = _Size({"train": 400, "validation": 100, "test": 200}, 75, (1, 1, 1), 1, 32, 100.0)


def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything the demo makes.")] = Path("edgewise-demo"),
    threads: Annotated[
        int | None, typer.Option(help="CPU threads.", min=1, max=MOST_THREADS, show_default="all cores")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the drawings and the training.", min=0)] = 0,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="A tiny network on few drawings: shows the way in two minutes, learns little."),
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo in --out.")] = False,
) -> None:
    """Draw ten signs, train on them, export, prove and benchmark: no photos and no network needed."""
    refuse_overwrite(out, overwrite=overwrite, is_ours=lambda folder: (folder / MARK).is_file())
    for part in (
        "edgewise.train.signs",
        "edgewise.train.trainer",
        "edgewise.export.release",
        "edgewise.benchmarks.runner",
    ):
        load(part, "all")
    _clear(out)
    write_text(out / MARK, "made by `edgewise demo`\n")
    try:
        _Demo(out, threads, seed, QUICK if quick else FULL).run()
    except KeyboardInterrupt:
        raise typer.Exit(interrupted("run the demo again with --overwrite")) from None


def _clear(out: Path) -> None:
    """Remove what an earlier demo made. Raises OutputError."""
    try:
        for part in PARTS:
            if (out / part).exists():
                shutil.rmtree(out / part)
    except OSError as error:
        raise OutputError(f"the old demo in {out} cannot be removed: {error}", do="choose another --out") from error


@dataclass(frozen=True)
class _Demo:
    out: Path
    threads: int | None
    seed: int
    size: _Size
    refused: list[EdgewiseError] = field(default_factory=list)  # files that did not pass the gate

    def run(self) -> None:
        begin = time.monotonic()
        for number, (title, step) in enumerate(zip(TITLES, self._steps(), strict=True), 1):
            typer.echo(f"\n[{number}/{len(TITLES)}] {title}", err=True)
            step()
        if self.refused:
            raise self.refused[0]
        self._say_what_next(time.monotonic() - begin)

    def _steps(self) -> tuple[Callable[[], None], ...]:
        return self._draw, self._train, self._export, self._benchmark

    def _draw(self) -> None:
        signs = load("edgewise.train.signs", "all")
        total = sum(self.size.drawings.values())
        with reporter().task("drawing", total) as step:
            done = 0

            def progress(now: int, _: int) -> None:
                nonlocal done
                step(now - done)
                done = now

            signs.write_signs(self.out / "signs", self.size.drawings, seed=self.seed, progress=progress)
        typer.echo(f"{total} drawings in {self.out / 'signs'}", err=True)

    def _train(self) -> None:
        trainer, recipes = load("edgewise.train.trainer", "all"), load("edgewise.train.recipe", "all")
        augmentation = load("edgewise.train.augmentation", "all")
        recipe = recipes.Recipe(
            weights="none", epochs=self.size.epochs, batch_size=self.size.batch_size, seed=self.seed,
            # Arrows and ticks mean something else mirrored; the drawings vary enough by themselves.
            augmentation=augmentation.Augmentation(flip=False, zoom=0.0, light=0.0),
        )  # fmt: skip
        plan = trainer.Plan(recipe, self.size.image_size, self.size.blocks)
        trainer.train(
            self.out / "signs",
            self.out / "run",
            plan,
            overwrite=False,
            reporter=reporter(),
            settings=trainer.Settings(threads=self.threads),
        )

    def _export(self) -> None:
        release, choice = load("edgewise.export.release", "all"), load("edgewise.export.variants", "all")
        request = release.Request(
            run=self.out / "run", out=self.out / "release", name="signs",
            variants=choice.variants(list(Format), [Scheme.FP32, Scheme.INT8]), max_drop=self.size.max_drop,
            threads=self.threads,
        )  # fmt: skip
        try:
            release.export(request, reporter())
        except GateError as error:
            # What passed is worth its benchmark; the error comes at the end.
            self.refused.append(error)

    def _benchmark(self) -> None:
        requests = load("edgewise.benchmarks.request", "all")
        request = requests.Request(
            release=self.out / "release", data=self.out / "signs", out=self.out / "report",
            threads=str(self.threads or ""), mode="quick",  # the export measured all held-out drawings
            backends=("litert", "onnxruntime"),  # one for each format; more would take minutes
        )  # fmt: skip
        results = measured(request)
        print_table(results)
        if not results.rows:
            raise typer.Exit(1)

    def _say_what_next(self, seconds: float) -> None:
        model = self.out / "release" / "signs-int8.tflite"
        typer.echo(
            f"\nDone in {seconds / 60:.1f} minutes.\n"
            f"  report:        {self.out / 'report' / 'report.html'}\n"
            f"  some drawings: {command_line('predict', model, self.out / 'signs' / 'test' / 'star', '--top-k', 1)}\n"
            f"  your webcam:   {command_line('live', model)}    (draw a star on paper and hold it up)\n"
            f"  your photos:   {command_line('train', 'PHOTOS', '--out', 'RUN')}",
            err=True,
        )
