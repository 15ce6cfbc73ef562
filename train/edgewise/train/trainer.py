"""One training, from labelled photos to a run folder."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from edgewise.runtime.folders import shortened
from edgewise.spec import DataError, OutputError
from edgewise.spec.files import refuse_overwrite, write_text
from edgewise.spec.progress import Reporter
from edgewise.train.architecture import Architecture, choose
from edgewise.train.audit import quick_findings
from edgewise.train.backbones import DEFAULT_BACKBONE
from edgewise.train.cache import PhotoCache
from edgewise.train.checkpoint import State, load_checkpoint, newest_state, save_checkpoint
from edgewise.train.complexity import complexity
from edgewise.train.dataset import Dataset, Selection, Skipped, load_dataset, require_every_class
from edgewise.train.evaluation import Metrics
from edgewise.train.finishing import finish_run, held_out_photos
from edgewise.train.fitting import Fitting
from edgewise.train.framework import prepare_process
from edgewise.train.head import fit_head
from edgewise.train.interruption import Checking, noting_ctrl_c
from edgewise.train.network import build
from edgewise.train.pixels import Pixels, load_pixels
from edgewise.train.range_test import find_rate
from edgewise.train.recipe import AUTO, Recipe
from edgewise.train.run import CHECKPOINTS, HISTORY, RATES, Config, Run
from edgewise.train.stages import check_point
from edgewise.train.weights import load_initial, load_weights, save_weights

SCRATCH_MOMENTUM = 0.9
"""Of the moving statistics from scratch; they are measured again after each epoch anyway."""

PRETRAINED_MOMENTUM = 0.99
NAMED_SKIPS = 5
"""Skipped photos that are named one by one; the rest are counted."""

SAVE_EVERY = 600.0
"""Seconds between checkpoints within an epoch."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, after the run folder was begun: the training can be continued."""


@dataclass(frozen=True)
class Plan:
    """What to train."""

    recipe: Recipe
    image_size: int | None = None  # pixels; None: what the backbone's official weights were trained with
    blocks: tuple[int, ...] | None = None  # residual blocks kept per stage of InceptionResNetV2; None: all
    backbone: str = DEFAULT_BACKBONE
    dropout: float = 0.2  # share of features dropped before the classifier
    selection: Selection = field(default_factory=Selection)

    @staticmethod
    def repeating(config: Config) -> Plan:
        """The plan that a run was made with."""
        kept, whole = config.architecture.blocks, config.architecture
        return Plan(
            config.recipe, whole.image_size, tuple(map(len, kept.values())) or None, whole.backbone, whole.dropout,
            config.selection,
        )  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """How a training runs on this machine; none of it changes what comes out."""

    threads: int | None = None  # of the CPU; None: all cores
    cache: PhotoCache | None = None  # of prepared photos; None: they are kept in memory
    save_every: float = SAVE_EVERY  # seconds between checkpoints within an epoch, >= 0
    explain: int = 0  # right and wrong answers that are explained with Grad-CAM at the end, so many of each


def train(
    data: Path, out: Path, plan: Plan, *, overwrite: bool, reporter: Reporter, settings: Settings | None = None
) -> Run:
    """Train on labelled photos.

    Args:
        data: see `edgewise.train.dataset.load_dataset`.
        out: the run folder to make.
        plan: what to train.
        overwrite: replace a run folder that is there.
        reporter: is told about the progress.
        settings: how to run on this machine.

    Returns:
        The run, with metrics on the test photos (on the validation photos where there are none).

    Raises:
        DataError, InputError, ModelError, OutputError: see the message.
    """
    refuse_overwrite(out, overwrite=overwrite, is_ours=Run.is_run)
    settings = settings or Settings()
    recipe = plan.recipe
    prepare_process(recipe.seed, settings.threads, deterministic=recipe.deterministic)
    dataset = load_dataset(data.resolve(), seed=recipe.seed, selection=plan.selection, reporter=reporter)
    inside = out.resolve() in (dataset.root, *dataset.root.parents) or dataset.root in out.resolve().parents
    # A CSV names its photos, so that pictures beside them are not taken for some.
    if inside and dataset.source == dataset.root:
        raise OutputError(
            f"{out} and the photos in {dataset.root} lie inside of each other",
            "a run folder outside of the photos, because its pictures would be taken for photos",
            "choose another place with --out",
        )
    architecture = choose(
        plan.backbone, len(dataset.labels), image_size=plan.image_size, counts=plan.blocks, dropout=plan.dropout
    )
    if recipe.unfreeze:
        check_point(architecture, recipe.unfreeze)
    photos = _load_photos(dataset, architecture.image_size, settings, reporter)
    model = _build(architecture, recipe)
    reporter.say(f"{architecture.known.title}, {architecture.image_size} px: {complexity(model)}")
    initial = load_initial(model, recipe.weights)
    config = Config(architecture, recipe, dataset.source, dataset.sha256, initial.sha256, plan.selection)
    # Nothing of an old run is touched until everything that can be wrong with the new one has been looked at.
    Run.clear(out)
    return _Training(Run.create(out, config, dataset), dataset, *photos, model, settings, reporter).execute(State())


def resume(out: Path, *, data: Path | None, reporter: Reporter, settings: Settings | None = None) -> Run:
    """Continue an interrupted training from its newest undamaged checkpoint.

    Args:
        out: the run folder.
        data: where the photos are now; None: where they were.
        reporter: is told about the progress.
        settings: how to run on this machine.

    Raises:
        ModelError: not a run folder.
        DataError: the photos are not the same as before.
    """
    settings = settings or Settings()
    run = Run.open(out)
    config, recipe = run.config, run.config.recipe
    prepare_process(recipe.seed, settings.threads, deterministic=recipe.deterministic)
    source = (data or config.data).resolve()
    dataset = load_dataset(source, seed=recipe.seed, selection=config.selection, reporter=reporter)
    if dataset.sha256 != config.data_sha256:
        raise DataError(
            f"the photos in {dataset.root} have changed since this run began",
            "the same photos",
            "train again into another --out",
        )
    # The photos may lie elsewhere now, or have other names; the run remembers where.
    run = Run.create(out, replace(config, data=dataset.source), dataset)
    photos = _load_photos(dataset, config.architecture.image_size, settings, reporter)
    model = _build(config.architecture, recipe)
    training = _Training(run, dataset, *photos, model, settings, reporter)
    found = newest_state(training.checkpoints)
    if found is None:
        load_initial(model, recipe.weights)
        return training.execute(State())
    path, state = found
    within = f" and {state.partial.step} steps" if state.partial else ""
    reporter.say(f"continuing after epoch {state.epoch} of {recipe.epochs}{within}")
    return training.execute(state, path)


def _build(architecture: Architecture, recipe: Recipe) -> Any:
    return build(architecture, momentum=SCRATCH_MOMENTUM if recipe.from_scratch else PRETRAINED_MOMENTUM)


def _load_photos(dataset: Dataset, size: int, settings: Settings, reporter: Reporter) -> tuple[Pixels, Pixels]:
    """The photos to train on and to validate with; those that are left out are named."""
    summary, *findings = quick_findings(dataset)
    for line in (f"{dataset.source}: {summary}", *findings):
        reporter.say(line)
    train, validation = (
        load_pixels(dataset.splits[split], size, name=f"{split} photos", reporter=reporter, cache=settings.cache)
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
    settings: Settings
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
        if checkpoint is None:
            state = self._begin(recipe)
        fitting = Fitting(
            self.model, recipe, self.train, self.validation, self.reporter, state.peak_rate, self.settings.save_every
        )
        if checkpoint is None:
            if state.head_accuracy is not None:
                self._keep(state)
            self._save(fitting, state)
        else:
            load_checkpoint(checkpoint, self.model, fitting.optimizer.state)
        state = fitting.run(state, self._keep, lambda reached: self._save(fitting, reached))
        self._finish(state)
        return self.run

    def _begin(self, recipe: Recipe) -> State:
        """What comes before the epochs of the whole network."""
        head_accuracy = peak_rate = None
        if not recipe.from_scratch and recipe.head_epochs:
            head_accuracy = fit_head(self.model, self.train, self.validation, recipe, self.reporter)
            self.reporter.say(f"head on the frozen backbone: validation accuracy {head_accuracy:.1%}")
        if recipe.learning_rate == AUTO:
            tested = find_rate(self.model, recipe, self.train, self.reporter)
            tested.save(self.run.path / RATES)
            peak_rate = tested.best
            self.reporter.say(f"learning rate: {peak_rate:.2g} (see {self.run.path / RATES})")
        return State(head_accuracy=head_accuracy, peak_rate=peak_rate)

    def _keep(self, state: State) -> None:
        """Called while the network has the weights that ``state`` was validated with."""
        if state.best_epoch == state.epoch:
            save_weights(self.model, self.run.weights_path)

    def _save(self, fitting: Fitting, state: State) -> None:
        save_checkpoint(self.checkpoints, self.model, fitting.optimizer.state, state)
        write_text(self.run.path / HISTORY, _csv([asdict(epoch) for epoch in state.history]))

    def _finish(self, state: State) -> None:
        """Measure the best weights on photos they have not seen, and fill the run folder."""
        load_weights(self.model, self.run.weights_path)
        size = self.run.config.architecture.image_size
        splits = held_out_photos(self.dataset, self.validation, size, self.reporter, self.settings.cache)
        report_skipped(splits["test"].skipped if "test" in splits else (), self.reporter)
        metrics = finish_run(self.run, self.model, state, splits, self.reporter, self.settings.explain)
        self.reporter.say(_result(metrics, "test" if "test" in splits else "validation", self.run.path))


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
