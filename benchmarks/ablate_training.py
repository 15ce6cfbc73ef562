"""Measure what each part of the training recipe earns: test accuracy with it and without it, for several seeds.

    python benchmarks/ablate_training.py PHOTOS --weights WEIGHTS.h5 --share 3 --out ablation.json

PHOTOS has train, validation and test folders of class folders. Every third training photo (``--share 3``) is used, so
that a run takes minutes. Without ``--weights`` all variants begin from scratch, on a network of one block per stage.
``plain`` is the notebook recipe of ``compare_training.py``, for as many epochs; ``plain, measured`` (from scratch only)
measures its normalization statistics again before the test, as Edgewise does. What is in the output file already is
not measured again, so the script can be stopped and gone on with.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from compare_training import Turns, plain

VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "rate 0.0001": {"learning_rate": 1e-4},
    "photos mirrored": {"augmentation": {"flip": True}},
    "zoom 0.15, light 0.2": {"augmentation": {"zoom": 0.15, "light": 0.2}},
    "no head first": {"head_epochs": 0},
    "mixup 0.2": {"mixup": 0.2},
    "averaged weights 0.98": {"ema": 0.98},
    "label smoothing 0.1": {"label_smoothing": 0.1},
}
"""Changes of one part each."""

NEEDS_WEIGHTS = frozenset({"rate 0.0001", "no head first"})
"""Variants that say nothing about a training from scratch."""

MEASURED = "plain, measured"

SCRATCH_BLOCKS = (1, 1, 1)


def edgewise(photos: Path, variant: str, options: argparse.Namespace) -> float:
    """Test accuracy of one variant."""
    from edgewise.spec.progress import Silent
    from edgewise.train.augmentation import Augmentation
    from edgewise.train.recipe import Recipe
    from edgewise.train.trainer import Plan, train

    changes = dict(VARIANTS[variant])
    if "augmentation" in changes:
        changes["augmentation"] = Augmentation(**changes["augmentation"])
    changes.setdefault("precision", "float32")
    weights = str(options.weights) if options.weights else "none"
    changes.setdefault("head_epochs", options.head_epochs)
    recipe = Recipe(
        weights=weights, epochs=options.epochs, seed=options.seed, patience=options.epochs, **changes,
    )  # fmt: skip
    plan = Plan(recipe, options.image_size, None if options.weights else SCRATCH_BLOCKS)
    with tempfile.TemporaryDirectory() as folder:
        run = train(photos, Path(folder, "run"), plan, overwrite=False, reporter=Silent())
        return float(json.loads((run.path / "metrics.json").read_text())["top1"])


def notebook(photos: Path, options: argparse.Namespace) -> float:
    """Test accuracy of the notebook recipe."""
    import tf_keras

    tf_keras.utils.set_random_seed(options.seed)
    if not options.weights:
        return from_scratch(photos, options)
    with tempfile.NamedTemporaryFile("w") as never_stopped:
        turns = Turns(Path(never_stopped.name))
        result = plain(turns, photos, options.weights, options.image_size, 32, options.head_epochs, options.epochs)
    return float(result["test"])


def from_scratch(photos: Path, options: argparse.Namespace) -> float:
    """Test accuracy of what a notebook does without first weights: flips, zooms and Adam, on the same small network."""
    import tensorflow as tf
    import tf_keras as keras

    from edgewise.train.architecture import choose
    from edgewise.train.backbones import DEFAULT_BACKBONE
    from edgewise.train.network import build
    from edgewise.train.normalization import StatisticsEstimator

    size, classes = options.image_size, len(list((photos / "train").iterdir()))
    train, validation, test = (
        keras.utils.image_dataset_from_directory(
            photos / split, image_size=(size, size), batch_size=32, shuffle=split == "train", seed=options.seed
        ).prefetch(tf.data.AUTOTUNE)
        for split in ("train", "validation", "test")
    )
    network = build(choose(DEFAULT_BACKBONE, classes, image_size=size, counts=SCRATCH_BLOCKS))
    inputs = keras.Input((size, size, 3))
    varied = keras.layers.RandomZoom(0.15)(keras.layers.RandomFlip("horizontal")(inputs))
    model = keras.Model(inputs, network(keras.layers.Rescaling(1 / 127.5, -1)(varied)))
    model.compile(keras.optimizers.Adam(), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train, epochs=options.epochs, validation_data=validation, verbose=0)
    if options.variant == MEASURED:
        images = np.concatenate([batch for batch, _ in train]).astype(np.uint8)
        StatisticsEstimator(network).estimate(images, options.seed)
    return float(model.evaluate(test, verbose=0)[1])


def share_of(photos: Path, share: int, folder: Path) -> Path:
    """A folder of links to every ``share``-th training photo of each class, and all others."""
    for split in ("train", "validation", "test"):
        for group in sorted((photos / split).iterdir()):
            target = folder / split / group.name
            target.mkdir(parents=True)
            for photo in sorted(group.iterdir())[:: share if split == "train" else 1]:
                os.symlink(photo.resolve(), target / photo.name)
    return folder


def main() -> None:
    """Measure what is not measured yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--image-size", type=int, default=75)
    parser.add_argument("--head-epochs", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--share", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("ablation.json"))
    parser.add_argument("--only", nargs="+", choices=["plain", MEASURED, *VARIANTS], help="Variants to measure now.")
    parser.add_argument("--variant", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.variant:
        if options.variant in ("plain", MEASURED):
            accuracy = notebook(options.photos, options)
        else:
            accuracy = edgewise(options.photos, options.variant, options)
        sys.stdout.write(f"{accuracy}\n")
        return
    results: dict[str, dict[str, float]] = json.loads(options.out.read_text()) if options.out.exists() else {}
    left_out = {MEASURED} if options.weights else NEEDS_WEIGHTS
    names = [name for name in ("plain", MEASURED, *VARIANTS) if name not in left_out]
    names = [name for name in names if name in (options.only or names)]
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.argv[0], str(share_of(options.photos, options.share, Path(folder))), *sys.argv[2:]]
        # All variants of a seed before the next seed, so that what there is can be compared at any time.
        for seed in range(options.seeds):
            for name in names:
                if str(seed) in results.setdefault(name, {}):
                    continue
                begin = time.monotonic()
                command = [sys.executable, *words, "--variant", name, "--seed", str(seed)]
                printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
                results[name][str(seed)] = float(printed.splitlines()[-1])
                options.out.write_text(json.dumps(results, indent=1) + "\n")
                sys.stderr.write(f"{name}, seed {seed}: {printed.strip()} ({time.monotonic() - begin:.0f} s)\n")
    for name, found in results.items():
        values = [100 * value for value in found.values()]
        sys.stdout.write(f"{name:22} {statistics.mean(values):5.1f}% ({min(values):.1f} to {max(values):.1f})\n")


if __name__ == "__main__":
    main()
