"""``edgewise train``."""

from __future__ import annotations

import sys
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from edgewise.cli import train_options as options
from edgewise.cli.backbones import list_backbones
from edgewise.cli.console import command_line, interrupted, load, reporter
from edgewise.spec.errors import InputError

if TYPE_CHECKING:
    from edgewise.train.recipe import Recipe
    from edgewise.train.trainer import Plan, Settings

CONTINUING = {"data", "out", "threads", "cache_limit", "checkpoint_minutes", "distribute", "explain", "resume"}
"""Options that go together with --resume; the others are what the run was begun with."""

REPEATING = CONTINUING - {"resume"} | {"config", "overwrite"}
"""Options that go together with --config."""

RECIPE = (
    "weights", "epochs", "head_epochs", "head_passes", "batch_size", "optimizer", "weight_decay", "layer_decay",
    "unfreeze", "label_smoothing", "mixup", "cutmix", "ema", "clip_norm", "class_weights", "precision", "patience",
    "seed", "deterministic",
)  # fmt: skip
"""Options that are fields of `edgewise.train.recipe.Recipe` as they are."""


def train(
    context: typer.Context,
    data: options.Data = None,
    out: options.Out = Path("runs/latest"),
    resume: options.Resume = False,
    config: options.Config = None,
    overwrite: options.Overwrite = False,
    seed: options.Seed = 0,
    class_names: options.ClassNames = None,
    fraction: options.Fraction = 1.0,
    val_split: options.ValSplit = 0.15,
    test_split: options.TestSplit = 0.15,
    class_weights: options.ClassWeights = "none",
    backbone: options.Backbone = "inception_resnet_v2",
    show_backbones: options.ShowBackbones = False,
    weights: options.Weights = "imagenet",
    image_size: options.ImageSize = None,
    blocks: options.Blocks = None,
    dropout: options.Dropout = 0.2,
    epochs: options.Epochs = 10,
    head_epochs: options.HeadEpochs = 30,
    head_passes: options.HeadPasses = 1,
    batch_size: options.BatchSize = 32,
    optimizer: options.Optimizer = "adamw",
    learning_rate: options.LearningRate = None,
    weight_decay: options.WeightDecay = 1e-4,
    layer_decay: options.LayerDecay = 1.0,
    unfreeze: options.Unfreeze = None,
    label_smoothing: options.LabelSmoothing = 0.0,
    ema: options.Ema = 0.0,
    clip_norm: options.ClipNorm = 1.0,
    patience: options.Patience = 5,
    deterministic: options.Deterministic = False,
    flip: options.Flip = False,
    zoom: options.Zoom = 0.0,
    light: options.Light = 0.0,
    operations: options.Operations = 0,
    magnitude: options.Magnitude = 0.5,
    mixup: options.Mixup = 0.0,
    cutmix: options.Cutmix = 0.0,
    distribute: options.Distribute = "auto",
    precision: options.Precision = "auto",
    threads: options.Threads = None,
    cache_limit: options.CacheLimit = 20.0,
    checkpoint_minutes: options.CheckpointMinutes = 10.0,
    explain: options.Explain = 0,
) -> None:
    """Fine-tune InceptionResNetV2, or another backbone, on labelled photos."""
    values = dict(locals())
    if show_backbones:
        list_backbones()
        return
    if resume:
        _refuse_others(context, "--resume", CONTINUING, "a run continues with the options it was begun with")
    elif config is not None:
        _refuse_others(context, "--config", REPEATING, "it repeats a run with the options it was begun with")
    _run(load("edgewise.train.trainer", "train"), values)
    typer.echo("next: " + command_line("export", "release", out), err=True)


def _run(trainer: Any, values: dict[str, Any]) -> None:
    """Begin, repeat or continue a training, as the options say."""
    data, out, config = values["data"], values["out"], values["config"]
    settings = _settings(trainer, values)
    try:
        if values["resume"]:
            trainer.resume(out, data=data, reporter=reporter(), settings=settings)
            return
        source, plan = _repeated(trainer, config, data) if config else (data, _plan(trainer, values))
        if source is None:
            raise typer.BadParameter("say which folder of photos to train on", param_hint="DATA")
        trainer.train(source, out, plan, overwrite=values["overwrite"], reporter=reporter(), settings=settings)
    except trainer.Interrupted:
        hint = "continue with: " + command_line("train", "--out", out, "--resume")
        raise typer.Exit(interrupted(hint)) from None
    except KeyboardInterrupt:
        raise typer.Exit(interrupted("nothing was begun or changed")) from None


def _settings(trainer: Any, values: dict[str, Any]) -> Settings:
    caches = load("edgewise.train.cache", "train")
    for name in ("cache_limit", "checkpoint_minutes"):
        if isnan(values[name]):
            raise InputError(f"--{name.replace('_', '-')} nan", "a number")
    settings: Settings = trainer.Settings(
        threads=values["threads"],
        cache=caches.PhotoCache(limit=int(min(values["cache_limit"] * 1e9, sys.maxsize))),
        distribute=values["distribute"],
        save_every=values["checkpoint_minutes"] * 60,
        explain=values["explain"],
    )
    return settings


def _plan(trainer: Any, values: dict[str, Any]) -> Plan:
    datasets = load("edgewise.train.dataset", "train")
    names = values["class_names"] and datasets.read_class_names(values["class_names"])
    selection = datasets.Selection(names, values["fraction"], values["val_split"], values["test_split"])
    plan: Plan = trainer.Plan(
        _recipe(values), values["image_size"], _counts(values["blocks"]), values["backbone"], values["dropout"],
        selection,
    )  # fmt: skip
    return plan


def _recipe(values: dict[str, Any]) -> Recipe:
    recipes, augmentation = load("edgewise.train.recipe", "train"), load("edgewise.train.augmentation", "train")
    varied = {name: values[name] for name in ("flip", "zoom", "light", "operations", "magnitude")}
    recipe: Recipe = recipes.Recipe(
        **{name: values[name] for name in RECIPE},
        learning_rate=_rate(values["learning_rate"]),
        augmentation=augmentation.Augmentation(**varied),
    )
    return recipe


def _rate(text: str | None) -> float | str | None:
    """A number where it is one; the recipe says what else may stand there."""
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def _repeated(trainer: Any, config: Path, data: Path | None) -> tuple[Path, Plan]:
    """The data and the plan of the run that a config.yaml belongs to."""
    read = load("edgewise.train.run", "train").read_config(config)
    plan: Plan = trainer.Plan.repeating(read)
    weights = plan.recipe.weights
    if weights not in ("imagenet", "none") and not Path(weights).exists():
        raise InputError(f"the first weights of that run, {weights}, are not there", "the same file at the same place")
    return data or read.data, plan


def _typed(context: typer.Context, name: str) -> bool:
    """Whether an option stands on the command line."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _refuse_others(context: typer.Context, option: str, fitting: set[str], reason: str) -> None:
    given = [f"--{name.replace('_', '-')}" for name in context.params if name not in fitting and _typed(context, name)]
    if given:
        raise InputError(
            f"{option} together with {', '.join(given)}", f"{option} without them, because {reason}",
            "leave them out, or begin another run",
        )  # fmt: skip


def _counts(blocks: str | None) -> tuple[int, ...] | None:
    if blocks is None:
        return None
    try:
        return tuple(int(part) for part in blocks.split(","))
    except ValueError:
        raise InputError(
            f"--blocks {blocks}", "three numbers from 1,1,1 (smallest) to 10,20,10 (the full network)"
        ) from None
