"""Compare `edgewise train` with the notebook recipe that people use instead, on the same photos.

    python benchmarks/compare_training.py PHOTOS --weights WEIGHTS.h5 --image-size 96 --out training.json

PHOTOS has train and validation folders of class folders; WEIGHTS is an InceptionResNetV2 without classifier in the
official Keras layout. Both sides get the same backbone, first weights, size, batch, number of epochs and peak learning
rates. They take turns, each in a process of its own, so that a machine whose speed changes changes it for both.

The notebook recipe is that of Keras' transfer learning guide (https://keras.io/guides/transfer_learning/):
``image_dataset_from_directory``, random flips and zooms as layers, a frozen backbone under a new head, then everything
with a lower rate.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HEAD_RATE, FINE_RATE = 1e-3, 1e-4


def plain(photos: Path, weights: Path, size: int, batch: int, head_epochs: int, epochs: int) -> dict[str, Any]:
    """The notebook's way."""
    begin = time.monotonic()
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf

    keras, layers = tf.keras, tf.keras.layers
    train, validation = (
        keras.utils.image_dataset_from_directory(
            photos / split, image_size=(size, size), batch_size=batch, shuffle=split == "train", seed=0
        ).prefetch(tf.data.AUTOTUNE)
        for split in ("train", "validation")
    )
    classes = len(list((photos / "train").iterdir()))
    base = keras.applications.InceptionResNetV2(
        include_top=False, weights=None, pooling="avg", input_shape=(size, size, 3)
    )
    base.load_weights(weights)
    base.trainable = False
    inputs = keras.Input((size, size, 3))
    x = layers.RandomZoom(0.15)(layers.RandomFlip("horizontal")(inputs))
    x = base(layers.Rescaling(1 / 127.5, -1)(x), training=False)
    model = keras.Model(inputs, layers.Dense(classes, activation="softmax")(layers.Dropout(0.2)(x)))
    clock = _Clock(keras)
    model.compile(keras.optimizers.Adam(HEAD_RATE), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train, epochs=head_epochs, validation_data=validation, verbose=0, callbacks=[clock.callback])
    base.trainable = True
    model.compile(keras.optimizers.Adam(FINE_RATE), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train, epochs=epochs, validation_data=validation, verbose=0, callbacks=[clock.callback])
    ends = [moment - begin for moment, _ in clock.epochs]
    return {
        "first_step_s": clock.first - begin,
        "head_s": ends[head_epochs - 1],
        "fine_s": ends[-1] - ends[head_epochs - 1],
        "validation": [accuracy for _, accuracy in clock.epochs],
        "ends_s": ends,
    }


class _Clock:
    """When the first step and every epoch ended."""

    def __init__(self, keras: Any) -> None:
        self.first = 0.0
        self.epochs: list[tuple[float, float]] = []
        self.callback = keras.callbacks.LambdaCallback(on_batch_end=self._batch, on_epoch_end=self._epoch)

    def _batch(self, *_: Any) -> None:
        self.first = self.first or time.monotonic()

    def _epoch(self, _: int, logs: dict[str, float]) -> None:
        self.epochs.append((time.monotonic(), logs["val_accuracy"]))


def edgewise(photos: Path, weights: Path, size: int, batch: int, head_epochs: int, epochs: int) -> dict[str, Any]:
    """Edgewise's way, with an empty photo cache."""
    begin = time.monotonic()
    from edgewise.spec.progress import Silent
    from edgewise.train.cache import PhotoCache
    from edgewise.train.recipe import Recipe
    from edgewise.train.trainer import Plan, Settings, train

    moments: dict[str, float] = {}

    class Listener(Silent):
        def say(self, message: str) -> None:
            moments.setdefault(message.split(":")[0].split(",")[0], time.monotonic() - begin)

        @contextmanager
        def task(self, name: str, total: int) -> Any:
            with super().task(name, total) as inner:

                def step(done: int = 1, note: str = "") -> None:
                    moments.setdefault(f"first of {name}", time.monotonic() - begin)
                    inner(done, note)

                yield step

    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(
            weights=str(weights), epochs=epochs, head_epochs=head_epochs, batch_size=batch, learning_rate=FINE_RATE,
            patience=epochs + head_epochs,
        )  # fmt: skip
        settings = Settings(cache=PhotoCache(Path(folder, "cache")))
        run = train(
            photos, Path(folder, "run"), Plan(recipe, size), overwrite=False, reporter=Listener(), settings=settings
        )
        history = (run.path / "history.csv").read_text().splitlines()[1:]
    ends = [value for name, value in moments.items() if name.startswith("epoch ")]
    head = moments["head on the frozen backbone"]
    return {
        "first_step_s": moments["first of features of training photos"],
        "head_s": head,
        "fine_s": ends[-1] - head,
        "validation": [float(row.split(",")[4]) for row in history],
        "ends_s": ends,
    }


def main() -> None:
    """Run both sides in turns and print how they compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--head-epochs", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("training.json"))
    parser.add_argument("--side", choices=("plain", "edgewise"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    work = (
        options.photos,
        options.weights,
        options.image_size,
        options.batch_size,
        options.head_epochs,
        options.epochs,
    )
    if options.side:
        sys.stdout.write(json.dumps({"plain": plain, "edgewise": edgewise}[options.side](*work)) + "\n")
        return
    results: dict[str, list[dict[str, Any]]] = {"plain": [], "edgewise": []}
    for _ in range(options.rounds):
        for side in results:
            command = [sys.executable, *sys.argv, "--side", side]
            printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            results[side].append(json.loads(printed.splitlines()[-1]))
            sys.stdout.write(f"{side}: {results[side][-1]}\n")
    options.out.write_text(json.dumps(results, indent=2))
    for phase in ("first_step_s", "head_s", "fine_s"):
        slow, fast = (sorted(each[phase] for each in results[side])[options.rounds // 2] for side in results)
        sys.stdout.write(f"{phase}: plain {slow:.1f} s, edgewise {fast:.1f} s, {slow / fast:.2f} times as fast\n")


if __name__ == "__main__":
    main()
