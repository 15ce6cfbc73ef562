"""Measure what the runtime takes beside the network: decoding, start, memory, and throughput against a plain loop.

    python benchmarks/measure_runtime.py RELEASE PHOTOS --out runtime.md

RELEASE is a folder that `edgewise export release` made, with an int8 file of each format; PHOTOS any folder of photos.
What is compared takes turns in one run, and medians are given. Times are told twice: as a clock shows them, and as
seconds of CPU, which hold on a busy machine too. Each process finds its byte code compiled and its files in the page
cache, as from the second start on; the cache folder of Edgewise is one of its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgewise.runtime.images import Picture, decode, fit, prepare
from edgewise.runtime.modelfile import read_model
from measure_runtime_scripts import BARE, HOLD, PLAIN, PLAIN_HOLD, RAW

EDGEWISE = [sys.executable, "-c", "from edgewise.cli.main import main; main()"]
AUTO = ["--backend", "auto"]
LONG, SHORT = 4000, 3000  # pixels, of 12 megapixels


@dataclass(frozen=True)
class Took:
    """One process or one call."""

    seconds: float
    cpu: float  # seconds, of all threads
    output: str = ""


def child(command: Sequence[str], environment: dict[str, str]) -> Took:
    """Run a process to its end."""
    start = time.perf_counter()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as it:
        assert it.stdout is not None
        output = it.stdout.read()
        _, status, usage = os.wait4(it.pid, 0)
        it.returncode = os.waitstatus_to_exitcode(status)
    if it.returncode:
        raise SystemExit(f"{command} ended with {it.returncode}")
    return Took(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, output)


def here(action: Callable[[], object]) -> Took:
    """Call something in this process."""
    start, cpu = time.perf_counter(), time.process_time()
    action()
    return Took(time.perf_counter() - start, time.process_time() - cpu)


def in_turn(ways: dict[str, Callable[[], Took]], rounds: int, warm_up: int = 1) -> dict[str, Took]:
    """Medians of each way; all take turns, after some rounds that do not count."""
    taken: dict[str, list[Took]] = {name: [] for name in ways}
    for number in range(-warm_up, rounds):
        for name, way in ways.items():
            took = way()
            if number >= 0:
                taken[name].append(took)
    return {name: middle(all_of_it) for name, all_of_it in taken.items()}


def middle(taken: Sequence[Took]) -> Took:
    """Medians."""
    seconds, cpu = (statistics.median(getattr(took, part) for took in taken) for part in ("seconds", "cpu"))
    return Took(seconds, cpu, taken[-1].output)


def enlarge(photo: Path, folder: Path) -> Path:
    """A photo at 12 megapixels, as JPEG of quality 90 with halved colours, as phones write them."""
    picture: Any = cv2.imdecode(np.frombuffer(photo.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    size = (LONG, SHORT) if picture.shape[1] >= picture.shape[0] else (SHORT, LONG)
    path = folder / f"{len(list(folder.iterdir())):04d}.jpg"
    if not cv2.imwrite(
        str(path), cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC),
        [cv2.IMWRITE_JPEG_QUALITY, 90, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420],
    ):  # fmt: skip
        raise SystemExit(f"{path} cannot be written")
    return path


def decoding(photos: Sequence[Path], model: Path, folder: Path) -> list[str]:
    """Decode and resize photos of 12 megapixels, and classify what comes out of it."""
    from edgewise.runtime import Classifier

    classifier = Classifier.open(model)
    height, width = classifier.manifest.input.height, classifier.manifest.input.width
    plain, ours = [], []
    same = {"all pixels, same resize": 0, "cv2.imread and cv2.resize": 0}
    for photo in photos:
        path = enlarge(photo, folder)

        def ordinary(path: Path = path) -> Picture:
            stored: Any = cv2.imread(str(path))
            return np.ascontiguousarray(cv2.resize(stored, (width, height))[..., ::-1], np.uint8)

        reduced = prepare(path, height, width)
        plain.append(here(ordinary))
        ours.append(here(partial(prepare, path, height, width)))
        whole = fit(decode(path.read_bytes(), path.name), height, width)
        first, *others = (int(classifier.probabilities(p[None])[0].argmax()) for p in (reduced, whole, ordinary()))
        for name, other in zip(same, others, strict=True):
            same[name] += first == other
        path.unlink()
    a, b = middle(plain), middle(ours)
    return [
        row("12 MP JPEG to network input, `cv2.imread` and `cv2.resize`", a),
        row("12 MP JPEG to network input, Edgewise", b, times(a, b)),
        *(f"| top-1 as from {name} | {n} of {len(photos)} | | {n / len(photos):.1%} |" for name, n in same.items()),
    ]


def starting(model: Path, photo: Path, environment: dict[str, str], rounds: int) -> list[str]:
    """From the start of a process to the first label."""
    kind = model.suffix[1:]
    found = in_turn(
        {
            "plain": lambda: child([sys.executable, "-c", PLAIN[kind], str(model), str(photo)], environment),
            "ours": lambda: child([*EDGEWISE, "predict", str(model), str(photo)], environment),
            "help": lambda: child([*EDGEWISE, "--help"], environment),
        },
        rounds,
    )
    load = float(found["plain"].output.split()[-1])
    return [
        row(f"start to first label, .{kind}, shortest plain script", found["plain"], f"of it loading {load:.2f} s"),
        row(f"start to first label, .{kind}, `edgewise predict`", found["ours"], times(found["plain"], found["ours"])),
        row("`edgewise --help`", found["help"]),
    ]


def pss(pids: Sequence[int]) -> float:
    """Proportional set size in MB (1,000,000 bytes), together."""
    total = 0
    for pid in pids:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024 / 1e6


class Held:
    """A process that classifies a photo and then waits; its largest PSS is sampled every 2 ms."""

    def __init__(self, code: str, words: Sequence[str], environment: dict[str, str]) -> None:
        self.peak = 0.0
        pipe = subprocess.PIPE
        command = [sys.executable, "-c", code, *words]
        started: Any = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        self.process = started
        self._ready = False
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        if not self.process.stdout.readline():
            raise SystemExit(f"{words} failed")
        self._ready = True
        watcher.join()
        self.peak = max(self.peak, pss([self.process.pid]))

    def _watch(self) -> None:
        while not self._ready and self.process.poll() is None:
            self.peak = max(self.peak, pss([self.process.pid]))
            time.sleep(0.002)

    def end(self) -> None:
        """Let it go."""
        self.process.communicate()


def memory(model: Path, photo: Path, environment: dict[str, str]) -> list[str]:
    """Peak of one process, and what a second one adds."""
    kind, megabytes = model.suffix[1:], model.stat().st_size / 1e6
    bare = Held(BARE, (), environment)
    base = pss([bare.process.pid])
    bare.end()
    rows = [f"| the file, .{kind} | {megabytes:.1f} MB | | |"]
    for name, code in ((f"Edgewise, .{kind}", HOLD), (f"plain script, .{kind}", PLAIN_HOLD[kind])):
        words = (str(model), str(photo))
        Held(code, words, environment).end()  # what is kept for the next start is made now
        first = Held(code, words, environment)
        alone = pss([first.process.pid])
        second = Held(code, words, environment)
        both = pss([first.process.pid, second.process.pid])
        first.end()
        second.end()
        over = first.peak - base
        rows += [
            f"| peak PSS over a bare Python, {name} | {over:.1f} MB | | {over / megabytes:.2f} times the file |",
            f"| a second process adds, {name} | {both - alone:.1f} MB | | {(both - alone) / megabytes:.2f} times |",
        ]
    return rows


def bulk(model: Path, photos: Sequence[Path], folder: Path, environment: dict[str, str], rounds: int) -> list[str]:
    """Many photos, against the raw engine on prepared arrays and against a plain loop."""
    kind, count = model.suffix[1:], len(photos)
    listed, arrays = folder / "photos.txt", folder / "arrays.npy"
    listed.write_text("".join(f"{photo}\n" for photo in photos))
    size = read_model(model).manifest.input
    np.save(arrays, np.stack([prepare(photo, size.height, size.width) for photo in photos]))
    threads = str(len(os.sched_getaffinity(0)))

    def raw(way: str) -> Took:
        took = child([sys.executable, "-c", RAW[kind], way, str(model), str(arrays), str(listed), threads], environment)
        seconds, cpu = map(float, took.output.split())
        return Took(seconds, cpu)

    folder_of_photos = folder / "photos"
    folder_of_photos.mkdir(exist_ok=True)
    for number, photo in enumerate(photos):
        link = folder_of_photos / f"{number:05d}{photo.suffix}"
        if not link.exists():
            link.symlink_to(photo.resolve())
    command = [*EDGEWISE, "predict", str(model), str(folder_of_photos), "--threads", threads, "--json"]
    ways = {
        "raw engine on prepared arrays": lambda: raw("arrays"),
        "plain loop of imread, resize and engine": lambda: raw("photos"),
        "`edgewise predict`, start included": lambda: child(command, environment),
        "the same with `--backend auto`, measured before": lambda: child([*command, *AUTO], environment),
    }
    child([*EDGEWISE, "predict", str(model), str(photos[0]), "--threads", threads, *AUTO], environment)
    found = in_turn(ways, rounds, warm_up=0)
    base, loop, *ours = found.values()
    about = f"| .{kind}, {count} photos, {threads} threads"
    each = [(name, f"{count / took.seconds:.2f}/s | {took.cpu / count:.3f} s each") for name, took in found.items()]
    rows = [f"{about}, {name} | {figures} | |" for name, figures in each]
    for name, took in zip(("", ", auto"), ours, strict=True):
        rate = f"{base.seconds / took.seconds:.1%} | {base.cpu / took.cpu:.1%}"
        gain = f"{loop.seconds / took.seconds:.2f} | {loop.cpu / took.cpu:.2f}"
        rows += [f"| of the raw engine's rate{name} | {rate} | |", f"| against the plain loop{name} | {gain} | |"]
    return rows


def row(name: str, took: Took, note: str = "") -> str:
    """One line of the table."""
    return f"| {name} | {took.seconds:.3f} s | {took.cpu:.3f} s | {note} |"


def times(slow: Took, fast: Took) -> str:
    """How many times as fast, by the clock and by CPU."""
    return f"{slow.seconds / fast.seconds:.2f} times as fast ({slow.cpu / fast.cpu:.2f} by CPU)"


def write_table(lines: Sequence[str], out: Path | None) -> None:
    """Print a table, and keep it where that is asked for."""
    text = "\n".join(lines) + "\n"
    sys.stdout.write(text)
    if out:
        out.write_text(text)


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("release", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--only", nargs="+", default=["decoding", "starting", "memory", "bulk"])
    parser.add_argument("--large", type=int, default=300, help="photos that are enlarged to 12 megapixels")
    parser.add_argument("--many", type=int, default=1000, help="photos in bulk")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    photos = sorted(path for path in options.photos.rglob("*.jpg") if path.is_file())
    photos = [photos[i] for i in np.random.default_rng(0).permutation(len(photos))]
    models = [next(options.release.glob(f"*-int8.{kind}")) for kind in ("tflite", "onnx")]
    lines = ["| | clock | CPU | |", "|---|--:|--:|---|"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment = {**kept, "EDGEWISE_CACHE": str(folder / "kept"), "PYTHONPYCACHEPREFIX": str(folder / "code")}
        (folder / "large").mkdir()
        if "decoding" in options.only:
            lines += decoding(photos[: options.large], models[0], folder / "large")
        for model in models:
            if "starting" in options.only:
                lines += starting(model, photos[0], environment, options.rounds)
            if "memory" in options.only:
                lines += memory(model, photos[0], environment)
            if "bulk" in options.only:
                lines += bulk(model, photos[: options.many], folder, environment, min(options.rounds, 3))
    write_table(lines, options.out)


if __name__ == "__main__":
    main()
