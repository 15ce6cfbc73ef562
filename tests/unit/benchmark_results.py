"""Results of a benchmark that nobody ran: figures that fit together, drawn from a seed, for any number of photos."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edgewise.benchmarks.environment import describe_machine
from edgewise.benchmarks.figures import (
    Accuracy,
    Bin,
    Ceiling,
    Contention,
    Difference,
    Disagreement,
    Reason,
    Stages,
    Sustained,
    Throughput,
)
from edgewise.benchmarks.results import Data, Entry, Kind, Results, Row, Settings
from edgewise.benchmarks.statistics import Interval, Latency, share
from edgewise.benchmarks.task import Measurement

LABELS = ("dress", "hat", "longsleeve", "outwear", "pants", "shirt", "shoes", "shorts", "skirt", "t-shirt")
BINS = 15


class Model(NamedTuple):
    """A file with what decides its figures."""

    name: str
    scheme: str
    backends: tuple[str, ...]
    megabytes: float
    ms: float  # on one thread
    noise: float  # of its logits, against the reference


MODELS = (
    Model("clothes-fp32.tflite", "fp32", ("litert", "openvino"), 217, 200, 0.001),
    Model("clothes-int8.tflite", "int8", ("litert", "openvino"), 56.5, 70, 0.5),
    Model("clothes-fp32.onnx", "fp32", ("onnxruntime", "openvino"), 217, 150, 0.001),
    Model("clothes-fp16.onnx", "fp16", ("onnxruntime", "openvino"), 109, 190, 0.01),
    Model("clothes-int8.onnx", "int8", ("onnxruntime", "openvino"), 55.9, 84, 0.2),
)
SPEED = {"litert": 1.0, "onnxruntime": 0.9, "openvino": 0.7}


class Seen(NamedTuple):
    """The photos' true classes and what the reference says, as logits."""

    truth: NDArray[np.int64]  # (n,)
    logits: NDArray[np.float32]  # (n, classes)


@lru_cache
def synthetic(
    photos: int = 700,
    labels: tuple[str, ...] = LABELS,
    threads: tuple[int, ...] = (1, 2),
    folder: str = "photos",
    models: tuple[Model, ...] = MODELS,
) -> Results:
    """Results of several files on their backends, the Keras network and a plain loop.

    Args:
        photos: count.
        labels: of the classes.
        threads: numbers of threads that are measured.
        folder: where the photos would lie.
        models: the files.
    """
    chance = np.random.default_rng(3)
    truth = chance.integers(0, len(labels), photos)
    logits = chance.standard_normal((photos, len(labels)), np.float32)
    logits[np.arange(photos), truth] += 3.0
    seen = Seen(truth, logits)
    rows = [*_rows(seen, labels, threads, folder, models), *_plain(models[0], threads)]
    entry = Entry(
        "clothes", "runs/clothes", "run", "fp32", "keras", "", 219_000_000, Kind.REFERENCE, threads=threads[-1]
    )
    rows.append(_row(entry, 400, _accuracy(seen, 0, labels, folder), 0))
    machine = replace(describe_machine(Path("/nowhere")), cpu="Fast CPU", board="", cores=4, memory_bytes=8 << 30)
    return Results(
        name="clothes",
        release="release",
        started="2026-01-02T03:04:05+00:00",
        took_seconds=912.3,
        command=("edgewise", "benchmark", "my release"),
        edgewise="0.1.0",
        machine=machine,
        versions={"python": "3.11.0", "numpy": "2.0"},
        settings=Settings(threads=threads, seconds=10, rounds=4, seed=0, limit=None),
        data=Data(folder, "test", photos, photos, len(labels), "ab" * 32),
        labels=labels,
        rows=tuple(sorted(rows, key=lambda row: row.latency.p50)),
        failures=(),
        remarks=("Measured on a quiet machine.",),
        ceilings=tuple(Ceiling(n, 60.0 * n, 190.0 * n, "numpy (OpenBLAS), 2048 x 2048") for n in threads),
    )


def _rows(
    seen: Seen, labels: Sequence[str], threads: tuple[int, ...], folder: str, models: Sequence[Model]
) -> Iterator[Row]:
    for number, model in enumerate(models):
        accuracy = _accuracy(seen, model.noise, labels, folder, number + 1)
        for backend in model.backends:
            for count in threads:
                entry = Entry(
                    model.name, f"release/{model.name}", model.name.rpartition(".")[2], model.scheme, backend,
                    "cd" * 32, int(model.megabytes * 1e6), Kind.VARIANT, "cpu", count, shows_threads=len(threads) > 1,
                )  # fmt: skip
                ms = model.ms * SPEED[backend] / count**0.8
                yield _row(entry, ms, accuracy, len(model.name) + count)


def _plain(model: Model, threads: tuple[int, ...]) -> Iterator[Row]:
    entry = Entry(
        model.name, f"release/{model.name}", "tflite", model.scheme, "litert", "cd" * 32, int(model.megabytes * 1e6),
        Kind.PLAIN, "cpu", threads[-1], shows_threads=len(threads) > 1,
    )  # fmt: skip
    yield replace(_row(entry, 0.99 * model.ms / threads[-1] ** 0.8, None, 5), stages=None, reasons=())


def _row(entry: Entry, ms: float, accuracy: Accuracy | None, seed: int) -> Row:
    chance = np.random.default_rng(seed)
    rounds = tuple(tuple(int(1e6 * ms * (1 + 0.04 * each)) for each in chance.gamma(1.5, 1.0, 200)) for _ in range(4))
    contended = entry.scheme == "fp16"
    return Row(
        entry=entry,
        threads=entry.threads,
        provider="cpu",
        precision="fp32",
        latency=_latency(np.concatenate(rounds) / 1e6),
        contention=Contention(contended, ("other processes took 34% of a core",) if contended else (), int(contended)),
        accuracy=accuracy,
        offline=Throughput(Interval(1400 / ms, 1350 / ms, 1450 / ms), batch=8, streams=1),
        stages=Stages(read=0.1, decode=4.2, resize=0.8, inference=ms, rest=0.3),
        start_ms=Interval(500 + ms, 480 + ms, 530 + ms),
        memory_bytes=300_000_000,
        sustained=_sustained(ms) if entry.scheme == "int8" else None,
        ceiling_share=min(0.9, 20 / ms),
        reasons=_reasons(entry),
        rounds=tuple(Measurement(threads=entry.threads, stable=True, samples_ns=samples) for samples in rounds),
        macs=1_300_000_000,
    )


def _latency(times: NDArray[np.float64]) -> Latency:
    p10, p50, p90, p99 = (float(np.quantile(times, share, method="inverted_cdf")) for share in (0.1, 0.5, 0.9, 0.99))
    return Latency(len(times), p10, p50, p90, p99, float(times.min()), Interval(p50, 0.993 * p50, 1.006 * p50))


def _reasons(entry: Entry) -> tuple[Reason, ...]:
    if entry.scheme != "int8":
        return ()
    return (
        Reason("cpu-lacks", "the CPU has no VNNI, so that int8 products take three instructions in place of one"),
        Reason("operator", "41% of its time goes into 12 of 244 convolutions", 0.41),
    )


def _sustained(ms: float) -> Sustained:
    series = tuple(ms * (1 + 0.002 * step) for step in range(60))
    return Sustained(5, series[0], series[-1], throttled=True, celsius_first=51.0, celsius_last=78.5, series_ms=series)


def _accuracy(seen: Seen, noise: float, labels: Sequence[str], folder: str, seed: int = 0) -> Accuracy:
    chance = np.random.default_rng(seed)
    logits = seen.logits + noise * chance.standard_normal(seen.logits.shape, np.float32)
    if noise > 0.3:  # int8 takes many of the last class for the one before
        logits[seen.truth == len(labels) - 1, len(labels) - 2] += 1.0
    before, after = _softmax(seen.logits), _softmax(logits)
    said, expected, truth = after.argmax(1), before.argmax(1), seen.truth
    right, confident = said == truth, after.max(1)
    confusion = np.zeros((len(labels), len(labels)), int)
    np.add.at(confusion, (truth, said), 1)
    return Accuracy(
        photos=len(truth),
        top1=share(int(right.sum()), len(truth)),
        top5=share(int((np.argpartition(-after, 5, 1)[:, :5] == truth[:, None]).any(1).sum()), len(truth)),
        macro_f1=float(right.mean()),
        ece=0.031,
        nll=float(-np.log(after[np.arange(len(truth)), truth]).mean()),
        unknown_share=0.08,
        agreement=share(int((said == expected).sum()), len(truth)) if noise else None,
        difference=_difference(right, expected == truth) if noise else None,
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        reliability=tuple(_bins(confident, right)),
        worst=tuple(_worst(before, after, truth, labels, folder)) if noise else (),
    )


def _difference(right: NDArray[np.bool_], before: NDArray[np.bool_]) -> Difference:
    gained, lost = int((right & ~before).sum()), int((before & ~right).sum())
    value, spread = 100 * (gained - lost) / len(right), 196 * (gained + lost + 1) ** 0.5 / len(right)
    return Difference(Interval(value, value - spread, value + spread), gained, lost)


def _bins(confident: NDArray[np.float32], right: NDArray[np.bool_]) -> Iterator[Bin]:
    place = np.minimum((confident * BINS).astype(int), BINS - 1)
    for number in np.unique(place):
        inside = place == number
        yield Bin(float(confident[inside].mean()), float(right[inside].mean()), int(inside.sum()))


def _worst(
    before: NDArray[np.float32], after: NDArray[np.float32], truth: NDArray[np.int64], labels: Sequence[str],
    folder: str,
) -> Iterator[Disagreement]:  # fmt: skip
    said, expected = after.argmax(1), before.argmax(1)
    differ = np.flatnonzero(said != expected)
    surest = differ[np.argsort(-np.minimum(after.max(1), before.max(1))[differ], kind="stable")[:12]]
    for n in surest:
        yield Disagreement(
            f"{folder}/{labels[truth[n]]}/{n}.jpg", labels[truth[n]], labels[expected[n]],
            float(before[n, expected[n]]), labels[said[n]], float(after[n, said[n]]),
        )  # fmt: skip


def _softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(raised / raised.sum(1, keepdims=True))
