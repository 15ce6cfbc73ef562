"""The child process that measures one row: ``python -m edgewise.benchmarks.worker`` with a task as JSON on stdin.

The answer goes to the file that the task names, because libraries chat on stdout. Everything heavy is imported after
the memory of the bare interpreter has been noted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgewise.benchmarks.latency import Clock, MonotonicClock, measure, warm_up
from edgewise.benchmarks.task import Measurement, Task
from edgewise.spec import EdgewiseError, ExtraMissingError, InputError, PhotoError
from edgewise.spec.files import write_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

WARM_UP_SHARE = 0.3
"""Part of a round's time that the warm-up may take."""

REFERENCES = "edgewise.references"
"""Entry point group of networks to compare with; `name = module:open(run: Path, threads: int | None)`."""


@dataclass(frozen=True)
class Network:
    """A loaded variant or reference."""

    labels: tuple[str, ...]
    height: int  # pixels
    width: int  # pixels
    threads: int
    sha256: str
    run: Callable[[NDArray[Any]], NDArray[Any]]  # (n, h, w, 3) uint8 -> (n, classes) float32


def main() -> None:
    """Measure the task on stdin and write the answer."""
    bare = peak_memory()
    task = Task.from_json(sys.stdin.read())
    try:
        measurement = measure_task(task, MonotonicClock(), bare)
    except EdgewiseError as error:
        measurement = Measurement(error=str(error))
    write_text(Path(task.result), measurement.to_json())


def measure_task(task: Task, clock: Clock, bare_bytes: int) -> Measurement:
    """Load the network, then measure latency, accuracy and memory.

    Raises:
        EdgewiseError: the model cannot be loaded, or no photo can be read.
    """
    start = clock.now()
    network = _open(task)
    from edgewise.benchmarks.photos import check_labels

    check_labels((label for _, label in task.photos), network.labels, task.path)
    photo = _first_readable(task, network)
    network.run(photo)
    load_ns = clock.now() - start
    limit = int(task.seconds * 1e9)
    warm = warm_up(lambda: network.run(photo), clock, int(limit * WARM_UP_SHARE))
    samples = measure(lambda: network.run(photo), clock, int(limit * (1 - WARM_UP_SHARE)))
    photo_ns, correct, unreadable = _classify(task, network, clock)
    return Measurement(
        threads=network.threads,
        sha256=network.sha256,
        load_ns=load_ns,
        warm_up_calls=warm.calls,
        stable=warm.stable,
        samples_ns=samples,
        photo_ns=photo_ns,
        correct=correct,
        unreadable=unreadable,
        bare_bytes=bare_bytes,
        peak_bytes=peak_memory(),
    )


def _open(task: Task) -> Network:
    if task.backend is None:
        return _open_reference(Path(task.path), task.threads)
    from edgewise.runtime.classifier import Classifier

    classifier = Classifier.open(task.path, backend=task.backend, threads=task.threads)
    size = classifier.manifest.input
    return Network(
        tuple(classifier.labels),
        size.height,
        size.width,
        classifier.backend.threads,
        classifier.model.sha256,
        classifier.probabilities,
    )


def _open_reference(run: Path, threads: int) -> Network:
    for entry in entry_points(group=REFERENCES, name="keras"):
        try:
            opened = entry.load()(run, threads)
        except ModuleNotFoundError as error:
            raise ExtraMissingError("train", error.name or str(error)) from error
        return Network(
            tuple(opened.labels), opened.input.height, opened.input.width, opened.threads, sha256="", run=opened.run
        )
    raise ExtraMissingError("train", "edgewise.train.reference")


def _first_readable(task: Task, network: Network) -> NDArray[Any]:
    from edgewise.runtime.images import prepare

    reasons: list[str] = []
    for path, _ in task.photos:
        try:
            return prepare(Path(path), network.height, network.width)[None]
        except PhotoError as error:  # noqa: PERF203 - the first readable photo ends the loop
            reasons.append(error.got)
    raise InputError(
        f"none of the {len(task.photos)} photos can be read; the first: {reasons[0]}", do="look at the files"
    )


def _classify(task: Task, network: Network, clock: Clock) -> tuple[tuple[int, ...], int, tuple[str, ...]]:
    """Label this round's photos from their files on: times in ns, count of right answers, unreadable photos."""
    from edgewise.runtime.images import prepare

    times: list[int] = []
    unreadable: list[str] = []
    correct = 0
    for path, label in task.photos[task.part :: task.parts]:
        start = clock.now()
        try:
            picture = prepare(Path(path), network.height, network.width)
        except PhotoError as error:
            unreadable.append(error.got)
            continue
        answer = network.labels[int(network.run(picture[None])[0].argmax())]
        times.append(clock.now() - start)
        correct += answer == label
    return tuple(times), correct, tuple(unreadable)


def peak_memory(status: Path = Path("/proc/self/status")) -> int:
    """Largest resident memory of this process so far, in bytes.

    Linux tells it as VmHWM. `getrusage` would not do there: its maximum survives exec, so that a child starts with
    that of its parent. Elsewhere (macOS) it is what there is.
    """
    if status.is_file():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
