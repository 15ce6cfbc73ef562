"""One training, from labelled photos to a run folder."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgewise.spec import DataError, InputError, ModelError, OutputError
from edgewise.spec.files import refuse_overwrite
from edgewise.spec.progress import Reporter
from edgewise.train.architecture import Architecture, choose
from edgewise.train.audit import quick_findings
from edgewise.train.backbones import DEFAULT_BACKBONE
from edgewise.train.changes import changes
from edgewise.train.checkpoint import drop_newer, newest_state
from edgewise.train.complexity import complexity
from edgewise.train.dataset import Dataset, Selection, load_dataset, report_skipped, require_every_class
from edgewise.train.devices import Devices, choose_devices
from edgewise.train.framework import prepare_process, use_threads
from edgewise.train.network import build
from edgewise.train.pixels import Pixels, load_pixels
from edgewise.train.recipe import Recipe
from edgewise.train.run import CHECKPOINTS, CONFIG, METRICS, WEIGHTS, Config, Run, read_config
from edgewise.train.stages import check_point
from edgewise.train.training import Interrupted, Settings, Training
from edgewise.train.weights import load_initial

__all__ = ["Interrupted", "Plan", "Settings", "resume", "train"]

SCRATCH_MOMENTUM = 0.9
"""Of the moving statistics from scratch; they are measured again after each epoch anyway."""

PRETRAINED_MOMENTUM = 0.99


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
        DataError, InputError, ModelError, OutputError, WorkerError: see the message.
    """
    settings = settings or Settings()
    recipe = plan.recipe
    devices = _prepare(settings, reporter)
    if devices.leads:
        _refuse_overwrite(out, overwrite=overwrite)
    prepare_process(recipe.seed, deterministic=recipe.deterministic)
    dataset = load_dataset(_resolved(data), seed=recipe.seed, selection=plan.selection, reporter=reporter)
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
    devices.check_batch(min(recipe.batch_size, len(photos[0].labels)))
    model = _build(architecture, recipe)
    reporter.say(f"{architecture.known.title}, {architecture.image_size} px: {complexity(model)}")
    initial = load_initial(model, recipe.weights)
    config = Config(architecture, recipe, dataset.source, dataset.sha256, initial.sha256, plan.selection)
    _check_equal(config, devices)
    # Nothing of an old run is touched until everything that can be wrong with the new one has been looked at.
    if devices.leads:
        Run.clear(out)
    run = _begun(out, config, dataset, devices)
    return Training(run, dataset, *photos, model, settings, reporter, devices.computing(recipe.precision)).execute()


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
    devices = _prepare(settings, reporter)
    config = Config.from_yaml(devices.agree(lambda: _begun_config(out).to_yaml()), str(out))
    recipe = config.recipe
    prepare_process(recipe.seed, deterministic=recipe.deterministic)
    source = _resolved(data or config.data)
    dataset = load_dataset(source, seed=recipe.seed, selection=config.selection, reporter=reporter)
    if dataset.sha256 != config.data_sha256:
        told = changes(out, dataset, config.selection.fraction)
        raise DataError(
            f"the photos in {dataset.root} have changed since this run began{told}",
            "the same photos",
            "put them back as they were, or train again into another --out; nothing was changed",
        )
    found = newest_state(out / CHECKPOINTS) if devices.leads else None
    if devices.leads and found is None:
        _refuse_repeating(out)
    # The photos may lie elsewhere now, or have other names; the run remembers where.
    run = _begun(out, replace(config, data=dataset.source), dataset, devices)
    photos = _load_photos(dataset, config.architecture.image_size, settings, reporter)
    model = _build(config.architecture, recipe)
    training = Training(run, dataset, *photos, model, settings, reporter, devices.computing(recipe.precision))
    if found is None:
        if load_initial(model, recipe.weights).sha256 != config.weights_sha256:
            raise InputError(
                f"the first weights of this run, {recipe.weights}, have changed since it began", "the same file",
                "bring it back, or train again into another --out; nothing was changed",
            )  # fmt: skip
        return training.execute()
    path, state = found
    drop_newer(path)
    within = f" and {state.partial.step} steps" if state.partial else ""
    reporter.say(f"continuing after epoch {state.epoch} of {recipe.epochs}{within}")
    return training.execute(found)


def _prepare(settings: Settings, reporter: Reporter) -> Devices:
    """Set TensorFlow up, before it computes anything."""
    use_threads(settings.threads)
    devices = choose_devices(settings.distribute, reporter)
    if devices.count > 1:
        reporter.say(f"training on {devices.count} devices as one")
    return devices


def _resolved(data: Path) -> Path:
    """An absolute path. A CSV file stays where it is though it be a link: its paths start from its folder."""
    return data.resolve() if data.is_dir() else data.parent.resolve() / data.name


def _refuse_repeating(out: Path) -> None:
    """Raise ModelError where a training without a checkpoint would write over what one with checkpoints has made."""
    if (out / WEIGHTS).is_file() or (out / METRICS).is_file():
        raise ModelError(
            f"the checkpoints of the run in {out} are gone or damaged",
            f"{out / CHECKPOINTS} as the training wrote it",
            "bring them back, or train again into another --out; nothing was changed",
        )


def _refuse_overwrite(out: Path, *, overwrite: bool) -> None:
    """Raise OutputError where something is in the way of a new run."""
    if overwrite or not Run.is_begun(out) or Run.is_finished(out):
        refuse_overwrite(out, overwrite=overwrite, is_ours=Run.is_begun)
        return
    raise OutputError(
        f"{out} holds a run that has not come to its end",
        do="continue it with --resume, replace it with --overwrite, or choose another --out",
    )


def _begun_config(out: Path) -> Config:
    """The configuration of a run that is to be continued, which may have nothing else yet."""
    if not (out / CONFIG).is_file():
        raise ModelError(
            f"there is no run in {out} to continue: it has no {CONFIG}",
            "a folder that `edgewise train` has begun",
            "check --out, or begin the training, without --resume",
        )
    return read_config(out / CONFIG)


def _check_equal(config: Config, devices: Devices) -> None:
    """Refuse to help the leading machine with another training than its own."""
    theirs = Config.from_yaml(devices.agree(config.to_yaml), "what the leading machine trains")
    if replace(theirs, data=config.data) != config:
        raise InputError(
            "this machine was given other photos, options or first weights than the leading one",
            "the same on all",
            "start all of them with the same command and the same photos",
        )


def _begun(out: Path, config: Config, dataset: Dataset, devices: Devices) -> Run:
    """The run; its folder is the leading machine's to write."""
    return Run.create(out, config, dataset) if devices.leads else Run(out, config, dataset.labels)


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
