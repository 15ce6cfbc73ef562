"""Kill a training at random moments, continue it, and compare it with one that nobody disturbed.

    python benchmarks/attack_training.py --backbone mobilenet_v3_small --kills 20 --chains 3 --out attack.json

The training is small, of drawn signs on a small network with random first weights, and has every phase: reading
photos, a head on the frozen backbone, a range test, epochs with checkpoints within them, and the report. It is
``--deterministic``, so that after ``kill -9`` and ``--resume`` everything has to be equal to the last bit: weights,
history, figures and predictions; and nothing else may lie in the run folder. No epoch that was told as done may be
trained again. Where there is no run folder yet, ``--resume`` has to say so, and a new start has to work. A chain is one
training that is killed several times. The default backbone keeps one block per stage.

Every training is a process of its own, forked from one that has imported TensorFlow already and computed nothing.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import itertools
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.context import ForkProcess
from pathlib import Path

import numpy as np

from edgewise.spec.files import sha256_file, write_text

EPOCHS = 3
NETWORKS = {
    "inception_resnet_v2": ("InceptionResNetV2", "75", "--blocks", "1,1,1"),
    "mobilenet_v3_small": ("MobileNetV3Small", "32"),
}
"""The original's name in Keras, the smallest size in pixels, and options that make it small."""

OPTIONS = (
    "--batch-size", "8", "--epochs", str(EPOCHS), "--head-epochs", "5",
    "--learning-rate", "auto", "--checkpoint-minutes", "0.02", "--ema", "0.9", "--mixup", "0.2", "--deterministic",
)  # fmt: skip
DRAWN = {"train": 60, "validation": 20, "test": 20}
PATIENCE = 600.0
"""Seconds after which a phase that does not come, or a training that does not end, is an error."""

LINKS = 6
"""Most kills in one chain."""


def has(*patterns: str) -> Callable[[Path], bool]:
    """Whether a run folder has a file of one of these patterns."""
    return lambda run: any(any(run.glob(pattern)) for pattern in patterns)


PHASES: dict[str, Callable[[Path], bool]] = {
    "loading": lambda _: True,
    "head": has("config.yaml"),
    "range test": has("checkpoints/epoch-00000-head/state.json"),
    # Of the checkpoints only the newest are kept.
    "epochs": has("checkpoints/epoch-00000-rate/state.json", "checkpoints/*-step-*", "checkpoints/epoch-*[1-9]"),
    "finishing": has(f"checkpoints/epoch-{EPOCHS:05d}/state.json"),
    "report": has("predictions.csv"),
}
"""In their order, by what is there when they begin."""

WRITING = "writing"
"""The moments while a checkpoint is written."""


@dataclass
class Attack:
    """One training that was killed at least once."""

    aims: list[str]
    hits: list[str] = field(default_factory=list)  # the phases it was really killed in
    epochs_done: list[int] = field(default_factory=list)  # at these moments
    problems: list[str] = field(default_factory=list)


def phase_of(run: Path) -> str:
    """The phase that a training is in, or was killed in."""
    return [name for name, begun in PHASES.items() if begun(run)][-1]


def start(log: Path, *words: str) -> ForkProcess:
    """Begin ``edgewise train``; what it tells goes to ``log``."""
    process = multiprocessing.get_context("fork").Process(target=_train, args=(log, words))
    process.start()
    return process


def _train(log: Path, words: Sequence[str]) -> None:
    from edgewise.cli.main import main

    with log.open("ab", 0) as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    sys.argv = ["edgewise", "train", *words]
    main()


def prepare(photos: Path, weights: Path, backbone: str) -> None:
    """Draw photos and make first weights, in a process that ends: its threads would not survive the forks."""
    process = multiprocessing.get_context("fork").Process(target=_prepare, args=(photos, weights, backbone))
    process.start()
    if ended(process):
        raise SystemExit("the photos could not be drawn")


def _prepare(photos: Path, weights: Path, backbone: str) -> None:
    from edgewise.train.framework import keras, seed_everything
    from edgewise.train.signs import write_signs

    write_signs(photos, DRAWN, seed=3, size=80)
    seed_everything(3)
    name, size, *_ = NETWORKS[backbone]
    shape = (int(size), int(size), 3)
    getattr(keras.applications, name)(include_top=False, weights=None, input_shape=shape).save_weights(weights)


def ended(process: ForkProcess) -> int:
    """Wait for the end of a training; gives its exit code."""
    process.join(PATIENCE)
    return -1 if process.exitcode is None else process.exitcode


def wait_for(condition: Callable[[], bool], process: ForkProcess) -> bool:
    """Wait until something is so; False where the process ends before that."""
    deadline = time.monotonic() + PATIENCE
    while process.is_alive():
        if condition():
            return True
        if time.monotonic() > deadline:
            process.kill()
            raise SystemExit(f"nothing happened in {PATIENCE:.0f} s")
        time.sleep(0.002)
    return False


def writes(run: Path) -> bool:
    """Whether a file of a checkpoint is being written."""
    return any(run.glob("checkpoints/*/.*"))


def kill_within(process: ForkProcess, run: Path, aim: str, delay: float) -> None:
    """Kill a training ``delay`` seconds after a phase has begun."""
    begun = writes if aim == WRITING else PHASES[aim]
    if wait_for(lambda: begun(run), process):
        until = time.monotonic() + delay
        wait_for(lambda: time.monotonic() >= until, process)
    process.kill()
    process.join()


def told(log: Path) -> list[int]:
    """Numbers of the epochs that were told as done, head as 0."""
    text = log.read_text(errors="replace")
    return [int(number or 0) for number in re.findall(r"^(?:epoch (\d+)/\d+: loss|head on the frozen)", text, re.M)]


def content(run: Path) -> dict[str, str]:
    """What has to be equal, by file: digests; of the history all but the seconds; of pictures and logs the names.

    Of the checkpoints only the last one is the same each time, and how many there are.
    """
    kept = sorted((run / "checkpoints").iterdir())
    result = {"checkpoints": str(len(kept))}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if name in result or (path.is_relative_to(run / "checkpoints") and not path.is_relative_to(kept[-1])):
            continue
        if path.is_dir() or name == "report.html":
            result[name] = "is there"
        elif path.name == "history.csv":
            rows = list(csv.DictReader(path.open(newline="")))
            result[name] = str([{key: value for key, value in row.items() if key != "seconds"} for row in rows])
        elif path.name == "state.json" or path.suffix in (".png", ".edgewise"):
            result[name] = "is there"
        else:
            result[name] = sha256_file(path)
    return result


class Arena:
    """The photos, the undisturbed training, and how long its phases took."""

    def __init__(self, folder: Path, backbone: str) -> None:
        self.folder = folder
        photos, weights = folder / "signs", folder / "official.h5"
        prepare(photos, weights, backbone)
        _, size, *small = NETWORKS[backbone]
        network = ("--backbone", backbone, "--image-size", size, *small, "--weights", str(weights))
        self.words = (str(photos), *network, *OPTIONS)
        self.lengths = dict.fromkeys((*PHASES, WRITING), 0.5)
        self.expected = self._undisturbed(folder / "whole")

    def _undisturbed(self, run: Path) -> dict[str, str]:
        log = run.with_suffix(".log")
        process = start(log, *self.words, "--out", str(run))
        begun = {}
        for name, condition in PHASES.items():
            wait_for(lambda condition=condition: condition(run), process)  # type: ignore[misc]
            begun[name] = time.monotonic()
        if ended(process):
            raise SystemExit(log.read_text())
        times = [*begun.values(), time.monotonic()]
        self.lengths.update(zip(begun, (after - before for before, after in itertools.pairwise(times)), strict=True))
        return content(run)

    def attack(self, name: str, aims: list[str], random: np.random.Generator) -> Attack:
        """Kill one training as often as there are aims, let it end, and look at what is there."""
        run, attack = self.folder / name, Attack(aims)
        log, before = run.with_suffix(".log"), 0
        for aim in aims:
            begun = (run / "config.yaml").is_file()
            process = start(log, *(() if begun else self.words), "--out", str(run), *(["--resume"] if begun else []))
            kill_within(process, run, aim, float(random.uniform(0, self.lengths[aim])))
            attack.hits.append(phase_of(run) if run.is_dir() else "loading")
            attack.epochs_done.append(_done(run))
            if (now := attack.epochs_done[-1]) < before:
                attack.problems.append(f"{before} epochs were done, and now {now} are")
            before = now
        self._continue(run, log, attack)
        return attack

    def _continue(self, run: Path, log: Path, attack: Attack) -> None:
        code = ended(start(log, "--out", str(run), "--resume"))
        if not (run / "config.yaml").is_file():
            if code != 1 or "there is no run in" not in log.read_text():
                attack.problems.append(f"--resume without a run ended with {code}")
            code = ended(start(log, *self.words, "--out", str(run)))
        if code:
            attack.problems.append(f"it ended with {code}: {log.read_text()[-600:]}")
        epochs = told(log)
        if sorted(set(epochs)) != sorted(epochs):
            attack.problems.append(f"told as done: {epochs}")
        found = content(run)
        different = [name for name in {*found, *self.expected} if found.get(name) != self.expected.get(name)]
        if different:
            attack.problems.append(f"different: {', '.join(sorted(different))}")


def _done(run: Path) -> int:
    """How many epochs the newest whole checkpoint has."""
    states = run.glob("checkpoints/*/state.json")
    return max((len(json.loads(path.read_text())["history"]) for path in states), default=0)


def main() -> None:
    """Attack, and write down what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", choices=NETWORKS, default="inception_resnet_v2")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--chains", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    for module in ("trainer", "finishing", "range_test", "signs"):
        importlib.import_module(f"edgewise.train.{module}")
    random = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as name:
        os.environ["EDGEWISE_CACHE"] = str(Path(name) / "cache")
        arena = Arena(Path(name), options.backbone)
        aims = [[aim] for aim in itertools.islice(itertools.cycle([*PHASES, WRITING]), options.kills)]
        aims += [[str(random.choice([*PHASES, WRITING])) for _ in range(LINKS)] for _ in range(options.chains)]
        attacks: list[Attack] = []
        for number, each in enumerate(aims):
            attacks.append(arena.attack(f"run-{number}", each, random))
            sys.stderr.write(f"{number + 1}/{len(aims)} {attacks[-1]}\n")
            report = {"seconds": arena.lengths, "attacks": [asdict(attack) for attack in attacks]}
            write_text(options.out, json.dumps(report, indent=1))
    sys.exit(any(attack.problems for attack in attacks))


if __name__ == "__main__":
    main()
