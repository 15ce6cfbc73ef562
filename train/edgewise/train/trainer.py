"""One training, from a folder of photos to a run folder."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from edgewise.runtime.folders import shortened
from edgewise.spec import DataError, OutputError
from edgewise.spec.files import refuse_overwrite, write_text
from edgewise.spec.progress import Reporter
from edgewise.train.architecture import Architecture, all_blocks, keep_blocks
from edgewise.train.checkpoint import State, load_checkpoint, newest_state, save_checkpoint
from edgewise.train.dataset import Dataset, Skipped, load_dataset, require_every_class
from edgewise.train.evaluation import Metrics, evaluate
from edgewise.train.fitting import Fitting, fit_head, predict
from edgewise.train.framework import seed_everything, use_threads
from edgewise.train.interruption import Checking, noting_ctrl_c
from edgewise.train.network import build
from edgewise.train.pixels import Pixels, load_pixels
from edgewise.train.plots import save_confusion_matrix, save_learning_curves
from edgewise.train.run import CHECKPOINTS, CURVES, HISTORY, MATRIX, METRICS, Config, Recipe, Run
from edgewise.train.weights import load_initial, load_weights, save_weights

SCRATCH_MOMENTUM = 0.9
"""Of the moving statistics from scratch; they are measured again after each epoch anyway."""

PRETRAINED_MOMENTUM = 0.99
NAMED_SKIPS = 5
"""Skipped photos that are named one by one; the rest are counted."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after the run folder was begun: the training can be continued."""


@dataclass(frozen=True)
class Plan:
    """What to train."""

    recipe: Recipe
    image_size: int = 299  # pixels
    blocks: tuple[int, ...] | None = None  # residual blocks kept per stage; None: all


def train(data: Path, out: Path, plan: Plan, *, overwrite: bool, threads: int | None, reporter: Reporter) -> Run:
    """Train on a folder of photos.

    Args:
        data: see `edgewise.train.dataset.load_dataset`.
        out: the run folder to make.
        plan: what to train.
        overwrite: replace a run folder that is there.
        threads: CPU threads; None: all cores.
        reporter: is told about the progress.

    Returns:
        The run, with metrics on the test photos (on the validation photos where there are none).

    Raises:
        DataError, InputError, ModelError, OutputError: see the message.
    """
    refuse_overwrite(out, overwrite=overwrite, is_ours=Run.is_run)
    _prepare_process(plan.recipe, threads)
    dataset = load_dataset(data.resolve(), seed=plan.recipe.seed, reporter=reporter)
    if out.resolve() in (dataset.root, *dataset.root.parents) or dataset.root in out.resolve().parents:
        raise OutputError(
            f"{out} and the photos in {dataset.root} lie inside of each other",
            "a run folder outside of the photos, because its pictures would be taken for photos",
            "choose another place with --out",
        )
    blocks = keep_blocks(plan.blocks) if plan.blocks else all_blocks()
    architecture = Architecture(len(dataset.labels), plan.image_size, blocks)
    photos = _load_photos(dataset, plan.image_size, reporter)
    model = _build(architecture, plan.recipe)
    initial = load_initial(model, plan.recipe.weights)
    config = Config(architecture, plan.recipe, dataset.root, dataset.sha256, initial.sha256)
    # Nothing of an old run is touched until everything that can be wrong with the new one has been looked at.
    Run.clear(out)
    return _Training(Run.create(out, config, dataset), dataset, *photos, model, reporter).execute(State())


def resume(out: Path, *, data: Path | None, threads: int | None, reporter: Reporter) -> Run:
    """Continue an interrupted training from its newest undamaged checkpoint.

    Args:
        out: the run folder.
        data: where the photos are now; None: where they were.
        threads: CPU threads; None: all cores.
        reporter: is told about the progress.

    Raises:
        ModelError: not a run folder.
        DataError: the photos are not the same as before.
    """
    run = Run.open(out)
    recipe = run.config.recipe
    _prepare_process(recipe, threads)
    dataset = load_dataset((data or run.config.data).resolve(), seed=recipe.seed, reporter=reporter)
    if dataset.sha256 != run.config.data_sha256:
        raise DataError(
            f"the photos in {dataset.root} have changed since this run began",
            "the same photos",
            "train again into another --out",
        )
    # The photos may lie elsewhere now, or have other names; the run remembers where.
    run = Run.create(out, replace(run.config, data=dataset.root), dataset)
    photos = _load_photos(dataset, run.config.architecture.image_size, reporter)
    model = _build(run.config.architecture, recipe)
    training = _Training(run, dataset, *photos, model, reporter)
    found = newest_state(training.checkpoints)
    if found is None:
        load_initial(model, recipe.weights)
        return training.execute(State())
    path, state = found
    reporter.say(f"continuing after epoch {state.epoch} of {recipe.epochs}")
    return training.execute(state, path)


def _prepare_process(recipe: Recipe, threads: int | None) -> None:
    use_threads(threads)
    seed_everything(recipe.seed)


def _build(architecture: Architecture, recipe: Recipe) -> Any:
    return build(architecture, momentum=SCRATCH_MOMENTUM if recipe.weights == "none" else PRETRAINED_MOMENTUM)


def _load_photos(dataset: Dataset, size: int, reporter: Reporter) -> tuple[Pixels, Pixels]:
    """The photos to train on and to validate with; those that are left out are named."""
    reporter.say(f"{dataset.root}: {dataset.summary()}")
    train, validation = (
        load_pixels(dataset.splits[split], size, name=f"{split} photos", reporter=reporter)
        for split in ("train", "validation")
    )
    report_skipped((*dataset.skipped, *train.skipped, *validation.skipped), reporter)
    require_every_class(dataset.root, dataset.labels, train.examples)
    return train, validation


@dataclass(frozen=True)
class _Training:
    """The steps of one training, new or continued."""

    run: Run
    dataset: Dataset
    train: Pixels
    validation: Pixels
    model: Any
    reporter: Reporter

    @property
    def checkpoints(self) -> Path:
        return self.run.path / CHECKPOINTS

    def execute(self, state: State, checkpoint: Path | None = None) -> Run:
        try:
            with noting_ctrl_c() as check:
                return replace(self, reporter=Checking(self.reporter, check))._execute(state, checkpoint)
        except KeyboardInterrupt:
            raise Interrupted from None

    def _execute(self, state: State, checkpoint: Path | None) -> Run:
        recipe = self.run.config.recipe
        if checkpoint is None and recipe.weights != "none" and recipe.head_epochs:
            accuracy = fit_head(self.model, self.train, self.validation, recipe, self.reporter)
            self.reporter.say(f"head on the frozen backbone: validation accuracy {accuracy:.1%}")
            state = State(head_accuracy=accuracy)
        fitting = Fitting(self.model, recipe, self.train, self.validation, self.reporter)
        if checkpoint is None:
            self._save(fitting, state)
        else:
            load_checkpoint(checkpoint, self.model, fitting.optimizer)
        state = fitting.run(state, lambda reached: self._save(fitting, reached))
        self._finish(state)
        return self.run

    def _save(self, fitting: Fitting, state: State) -> None:
        untrained = state.epoch == 0 and state.head_accuracy is None
        if state.best_epoch == state.epoch and not untrained:
            save_weights(self.model, self.run.weights_path)
        save_checkpoint(self.checkpoints, self.model, fitting.optimizer, state)
        write_text(self.run.path / HISTORY, _csv([asdict(epoch) for epoch in state.history]))

    def _finish(self, state: State) -> None:
        """Measure the best weights on photos they have not seen, and draw the pictures."""
        load_weights(self.model, self.run.weights_path)
        split = "test" if self.dataset.splits.get("test") else "validation"
        size = self.run.config.architecture.image_size
        photos = load_pixels(self.dataset.splits[split], size, name=f"{split} photos", reporter=self.reporter)
        report_skipped(photos.skipped, self.reporter)
        metrics = evaluate(
            predict(self.model, photos.images, self.reporter, f"{split} photos"), photos.labels, self.run.labels
        )
        data = {"split": split, "best_epoch": state.best_epoch, "epochs": state.epoch, **metrics.to_data()}
        write_text(self.run.path / METRICS, json.dumps(data, indent=2, ensure_ascii=False))
        save_learning_curves(state.history, state.best_epoch, self.run.path / CURVES)
        save_confusion_matrix(metrics, self.run.labels, self.run.path / MATRIX, f"{split} photos")
        self.reporter.say(_result(metrics, split, self.run.path))


def report_skipped(skipped: Sequence[Skipped], reporter: Reporter) -> None:
    """Name the photos that are left out, up to `NAMED_SKIPS`, and count the rest."""
    for skip in skipped[:NAMED_SKIPS]:
        reason = skip.reason if str(skip.path) in skip.reason else f"{skip.path}: {skip.reason}"
        reporter.say(f"left out: {reason}")
    if len(skipped) > NAMED_SKIPS:
        rest = [str(skip.path.name) for skip in skipped[NAMED_SKIPS:]]
        reporter.say(f"left out: {len(rest)} more ({shortened(rest, 3)})")


def _result(metrics: Metrics, split: str, out: Path) -> str:
    return (
        f"{split}: {metrics.top1:.1%} of {metrics.photos} photos right (top-5 {metrics.top5:.1%}); the run is in {out}"
    )


def _csv(rows: Iterable[dict[str, Any]]) -> str:
    text = io.StringIO()
    rows = list(rows)
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()
