"""Does `edgewise benchmark` stay the same with 200 classes and many photos: its memory, its page, its resuming?

    python benchmarks/benchmark_at_size.py --photos 3000 60000 --out sizes.md

Photos of 32 px and two networks that know their classes more or less are drawn and written first. Each size is
benchmarked once without interruption (`--quick`), while the memory of all processes is sampled. Then once more: killed
(SIGKILL) as soon as the second of the two files was answered about, and continued with ``--resume``; what had been
measured by then must not be measured again, and the accuracies must be those of the first time: otherwise it ends with
1. At the end the page is opened in a fresh Chromium, where there is one, until it is drawn.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edgewise.benchmarks.figures import Accuracy
from edgewise.benchmarks.memory import pss_bytes
from edgewise.benchmarks.results import read_results
from edgewise.export.metadata import embed_onnx
from edgewise.spec import InputSpec, Manifest, Scheme
from measure_runtime import EDGEWISE, write_table

SIDE, CLASSES = 32, 200


@dataclass(frozen=True)
class Ran:
    """One benchmark, or a part of one."""

    seconds: float
    peak: int  # bytes, of all its processes together
    own_peak: int  # bytes, of the largest process
    code: int
    messages: str


def patterns() -> NDArray[np.float32]:
    """What the photos of each class have in common: coarse patches of colour, 0-255."""
    coarse = np.random.default_rng(0).uniform(40, 215, (CLASSES, 4, 4, 3)).astype(np.float32)
    return coarse.repeat(SIDE // 4, axis=1).repeat(SIDE // 4, axis=2)


def write_photos(folder: Path, count: int) -> None:
    """A test folder of class folders, and one for training with a photo each."""
    known = patterns()

    def write(label: int) -> None:
        random = np.random.default_rng(label)
        for split, photos in (("train", 1), ("test", count // CLASSES)):
            inside = folder / split / f"c{label:03d}"
            inside.mkdir(parents=True)
            for number in range(photos):
                # Up to two thirds of another class, so that some answers are wrong, and some differ.
                part, other = random.uniform(0, 2 / 3), known[random.integers(CLASSES)]
                noisy = (1 - part) * known[label] + part * other + random.normal(0, 60, (SIDE, SIDE, 3))
                cv2.imwrite(str(inside / f"{number:05d}.jpg"), noisy.clip(0, 255)[..., ::-1].astype(np.uint8))

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(CLASSES)))


def write_models(folder: Path) -> None:
    """Two files that compare a photo with the patterns; the second one knows them less exactly."""
    folder.mkdir()
    centred = (patterns() - 127.5).reshape(CLASSES, -1).T / 255
    coarse = (centred * 2).round() / 2
    for scheme, weights in ((Scheme.FP32, centred), (Scheme.FP16, coarse)):
        values = {"middle": np.float32(127.5), "weights": weights / 64, "flat": np.array([-1, SIDE * SIDE * 3])}
        nodes = [
            helper.make_node("Cast", ["image"], ["pixels"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["pixels", "middle"], ["centred"]),
            helper.make_node("Reshape", ["centred", "flat"], ["row"]),
            helper.make_node("MatMul", ["row", "weights"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probability"]),
        ]
        graph = helper.make_graph(
            nodes,
            "patterns",
            [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
            [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch", CLASSES])],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        labels = tuple(f"c{label:03d}" for label in range(CLASSES))
        manifest = Manifest("patterns", labels, InputSpec(SIDE, SIDE), scheme, provenance={"data": "drawn"})
        (folder / f"patterns-{scheme.value}.onnx").write_bytes(embed_onnx(model.SerializeToString(), manifest))


def family(pid: int) -> Iterator[int]:
    """A process and all that descend from it."""
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(each) for task in tasks for each in (task / "children").read_text().split()]
    except OSError:
        return
    for child in children:
        yield from family(child)


def benchmark(
    models: Path, photos: Path, out: Path, count: int, *words: str, until: Callable[[], bool] = lambda: False
) -> Ran:
    """Run a benchmark, or a part of it: it is killed as soon as ``until`` holds."""
    command = [*EDGEWISE, "benchmark", str(models), "--data", str(photos), "--out", str(out), "--reference", "none"]
    command += ["--quick", "--limit", str(count), "--threads", "1", "--backend", "onnxruntime", *words]
    start, peak, largest = time.monotonic(), 0, 0
    with tempfile.TemporaryFile("w+") as messages:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=messages, start_new_session=True)
        while process.poll() is None:
            sizes = [pss_bytes(each) for each in family(process.pid)]
            peak, largest = max(peak, sum(sizes)), max(largest, *sizes)
            if until():
                os.killpg(process.pid, signal.SIGKILL)
            time.sleep(0.02)
        messages.seek(0)
        return Ran(time.monotonic() - start, peak, largest, process.returncode, messages.read())


def accuracies(out: Path) -> dict[Any, Accuracy | None]:
    """What was found out about the answers of each row."""
    return {row.key: row.accuracy for row in read_results(out / "results.json").rows}


def opening(page: Path) -> str:
    """Seconds until a page that was never opened is loaded and drawn, the median of five browsers; "" without one."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if find_spec("playwright") is None or browser is None:
        return ""
    from playwright.sync_api import sync_playwright

    drawn = (
        "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
    )
    times = []
    with sync_playwright() as started:
        for _ in range(5):
            chromium = started.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            tab = chromium.new_page()
            tab.goto(page.resolve().as_uri())
            times.append(tab.evaluate(drawn) / 1000)
            chromium.close()
    return f"{median(times):.2f} s"


def measure(count: int, models: Path, folder: Path) -> str:
    """One line of the table."""
    photos, whole, broken = (folder / f"{name}-{count}" for name in ("photos", "whole", "broken"))
    write_photos(photos, count)
    ran = benchmark(models, photos, whole, count)
    killed = benchmark(models, photos, broken, count, until=lambda: len(list(broken.rglob("answers-*.npz"))) > 1)
    resumed = benchmark(models, photos, broken, count, "--resume")
    for each in (ran, resumed):
        if each.code:
            raise SystemExit(f"the benchmark ended with {each.code}: {each.messages[-1000:]}")
    if accuracies(whole) != accuracies(broken):
        raise SystemExit("the benchmark that was continued found other accuracies than the one that was not killed")
    measured = read_results(whole / "results.json").data
    if (measured.photos, measured.classes) != (count, CLASSES):
        raise SystemExit(f"{measured.photos} photos of {measured.classes} classes were measured, not all")
    if not any("Continued after an interruption" in remark for remark in read_results(broken / "results.json").remarks):
        raise SystemExit("nothing of the killed benchmark was taken over")
    page, results = (whole / name for name in ("report.html", "results.json"))
    return (
        f"| {count:,} | {ran.seconds:.0f} s | {ran.peak / 1e6:.0f} MB | {ran.own_peak / 1e6:.0f} MB | "
        f"{page.stat().st_size / 1e6:.2f} MB | {opening(page)} | {results.stat().st_size / 1e6:.2f} MB | "
        f"{killed.seconds:.0f} s | {resumed.seconds:.0f} s | the same |"
    )


def main() -> None:
    """Draw, measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, nargs="+", default=[3000, 60000])
    parser.add_argument("--folder", type=Path, help="where photos and reports are left; a new one is made")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="edgewise-"))
    folder.mkdir(exist_ok=True)
    write_models(folder / "models")
    lines = [
        "| photos | took | peak of all processes | of the largest | page | opens in | results | killed at | resumed "
        "| answers |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for count in options.photos:
        lines.append(measure(count, folder / "models", folder))
        sys.stderr.write(lines[-1] + "\n")
    write_table(lines, options.out)


if __name__ == "__main__":
    main()
