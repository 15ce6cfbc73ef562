"""Compare `edgewise train` with the notebook recipe that people use instead, on the same photos.

    python benchmarks/compare_training.py PHOTOS --weights WEIGHTS.h5 --image-size 96 --out training.json

PHOTOS has train and validation folders of class folders; WEIGHTS is an InceptionResNetV2 without classifier in the
official Keras layout. Both sides get the same backbone, first weights, size, batch, number of epochs and peak learning
rates. Each runs in a process of its own, and they take turns every few seconds: one is stopped while the other runs, so
that a machine whose speed changes changes it for both. The times are those in which a side was running.

The notebook recipe is that of Keras' transfer learning guide (https://keras.io/guides/transfer_learning/):
``image_dataset_from_directory``, random flips and zooms as layers, a frozen backbone under a new head, then everything
with a lower rate.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HEAD_RATE, FINE_RATE = 1e-3, 1e-4
TURN = 4.0
"""Seconds that a side runs while the other is stopped."""


class Turns:
    """The seconds in which this process was not stopped, as its parent counts them."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.begin = time.monotonic() - self.stopped()

    def stopped(self) -> float:
        """Seconds so far."""
        return float(self.file.read_text() or 0)

    def now(self) -> float:
        """Seconds since the beginning, without those in which the process was stopped."""
        return time.monotonic() - self.begin - self.stopped()


def plain(
    turns: Turns, photos: Path, weights: Path, size: int, batch: int, head_epochs: int, epochs: int
) -> dict[str, Any]:
    """The notebook's way."""
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
    clock = _Clock(keras, turns)
    model.compile(keras.optimizers.Adam(HEAD_RATE), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train, epochs=head_epochs, validation_data=validation, verbose=0, callbacks=[clock.callback])
    base.trainable = True
    model.compile(keras.optimizers.Adam(FINE_RATE), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(train, epochs=epochs, validation_data=validation, verbose=0, callbacks=[clock.callback])
    ends = [moment for moment, _ in clock.epochs]
    test = keras.utils.image_dataset_from_directory(
        photos / "test", image_size=(size, size), batch_size=batch, shuffle=False
    )
    return {
        "first_step_s": clock.first,
        "head_s": ends[head_epochs - 1],
        "fine_s": ends[-1] - ends[head_epochs - 1],
        "validation": [accuracy for _, accuracy in clock.epochs],
        "test": model.evaluate(test, verbose=0)[1],
        "ends_s": ends,
    }


class _Clock:
    """When the first step and every epoch ended."""

    def __init__(self, keras: Any, turns: Turns) -> None:
        self.first, self.turns = 0.0, turns
        self.epochs: list[tuple[float, float]] = []
        self.callback = keras.callbacks.LambdaCallback(on_batch_end=self._batch, on_epoch_end=self._epoch)

    def _batch(self, *_: Any, **__: Any) -> None:
        self.first = self.first or self.turns.now()

    def _epoch(self, _: int, logs: dict[str, float]) -> None:
        self.epochs.append((self.turns.now(), logs["val_accuracy"]))


def edgewise(
    turns: Turns, photos: Path, weights: Path, size: int, batch: int, head_epochs: int, epochs: int
) -> dict[str, Any]:
    """Edgewise's way, with an empty photo cache."""
    from edgewise.spec.progress import Silent
    from edgewise.train.cache import PhotoCache
    from edgewise.train.recipe import Recipe
    from edgewise.train.trainer import Plan, Settings, train

    moments: dict[str, float] = {}
    accuracies: list[float] = []

    class Listener(Silent):
        def say(self, message: str) -> None:
            moments.setdefault(message.split(":")[0].split(",")[0], turns.now())
            if message.startswith(("head on", "epoch ")):
                accuracies.append(float(message.split("accuracy ")[-1].split("%")[0]) / 100)

        @contextmanager
        def task(self, name: str, total: int | None) -> Any:
            with super().task(name, total) as inner:

                def step(done: int = 1, note: str = "") -> None:
                    moments.setdefault(f"first of {name}", turns.now())
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
        metrics = json.loads((run.path / "metrics.json").read_text())
    head = moments["head on the frozen backbone"]
    ends = [head, *(value for name, value in moments.items() if name.startswith("epoch "))]
    return {
        "first_step_s": moments["first of features of training photos"],
        "head_s": head,
        "fine_s": ends[-1] - head,
        "validation": accuracies,
        "test": metrics["top1"],
        "ends_s": ends,
    }


def in_turns(commands: dict[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Run commands side by side, one at a time for `TURN` seconds, and read what each prints last."""
    with tempfile.TemporaryDirectory() as folder:
        files = {side: Path(folder, side) for side in commands}
        stopped = dict.fromkeys(commands, 0.0)
        running = {}
        for side, command in commands.items():
            files[side].write_text("0")
            running[side] = subprocess.Popen([*command, "--turns", str(files[side])], stdout=subprocess.PIPE, text=True)
            running[side].send_signal(signal.SIGSTOP)
        since = dict.fromkeys(commands, time.monotonic())
        while any(process.poll() is None for process in running.values()):
            for side, process in running.items():
                if process.poll() is not None:
                    continue
                stopped[side] += time.monotonic() - since[side]
                files[side].write_text(str(stopped[side]))
                process.send_signal(signal.SIGCONT)
                try:
                    process.wait(TURN)
                except subprocess.TimeoutExpired:
                    process.send_signal(signal.SIGSTOP)
                since[side] = time.monotonic()
        return {side: json.loads(process.communicate()[0].splitlines()[-1]) for side, process in running.items()}


def seconds_to(result: dict[str, Any], accuracy: float) -> float:
    """When a side first reached a validation accuracy."""
    ends: list[float] = [
        end for end, reached in zip(result["ends_s"], result["validation"], strict=True) if reached >= accuracy
    ]
    return ends[0]


def main() -> None:
    """Run both sides in turns and print how they compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--head-epochs", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("training.json"))
    parser.add_argument("--side", choices=("plain", "edgewise"), help=argparse.SUPPRESS)
    parser.add_argument("--turns", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    case = (
        options.photos,
        options.weights,
        options.image_size,
        options.batch_size,
        options.head_epochs,
        options.epochs,
    )
    if options.side:
        work = {"plain": plain, "edgewise": edgewise}[options.side]
        sys.stdout.write(json.dumps(work(Turns(options.turns), *case)) + "\n")
        return
    results = in_turns({side: [sys.executable, *sys.argv, "--side", side] for side in ("plain", "edgewise")})
    options.out.write_text(json.dumps(results, indent=2) + "\n")
    slow, fast = results["plain"], results["edgewise"]
    for phase in ("first_step_s", "head_s", "fine_s"):
        ratio = slow[phase] / fast[phase]
        sys.stdout.write(
            f"{phase}: plain {slow[phase]:.1f} s, edgewise {fast[phase]:.1f} s, {ratio:.2f} times as fast\n"
        )
    common = min(max(slow["validation"]), max(fast["validation"]))
    late, early = seconds_to(slow, common), seconds_to(fast, common)
    sys.stdout.write(f"to {common:.1%} validation accuracy: plain {late:.0f} s, edgewise {early:.0f} s\n")


if __name__ == "__main__":
    main()
