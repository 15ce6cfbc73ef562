"""Files that are fast and wrong: the accuracy side of the benchmark has to say so."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgewise.benchmarks.accuracy import make_accuracy
from edgewise.benchmarks.answers import Answers, Listing, answer_all, arrays_of
from edgewise.benchmarks.remarks import make_remarks
from edgewise.benchmarks.task import Job, Task

TESTS = Path(__file__).parents[1]
TINY = TESTS / "data/tiny.onnx"
LABELS = ("blue", "green", "red")


def module(path: Path) -> Any:
    spec = spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


PROOF = module(TESTS.parent / "benchmarks/prove_benchmark.py")
DRAWN = module(TESTS / "unit/benchmark_results.py")


@pytest.fixture(scope="module")
def listing(tmp_path_factory: pytest.TempPathFactory) -> Listing:
    """Twenty photos of each colour."""
    return drawn(tmp_path_factory.mktemp("photos"), others=(20, 110), own=(150, 220))


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Listing:
    """The same, so bright that a little more makes all of them white."""
    return drawn(tmp_path_factory.mktemp("bright"), others=(192, 215), own=(235, 250))


def drawn(folder: Path, *, others: tuple[int, int], own: tuple[int, int]) -> Listing:
    chance = np.random.default_rng(0)
    paths, classes = list[str](), list[int]()
    for number in range(60):
        color = chance.integers(*others, 3)  # OpenCV's order: blue, green, red
        color[number % 3] = chance.integers(*own)
        path = folder / f"{number}.png"
        path.write_bytes(cv2.imencode(".png", np.full((40, 40, 3), color, np.uint8))[1].tobytes())
        paths.append(str(path))
        classes.append(number % 3)
    return Listing(LABELS, tuple(paths), tuple(classes))


def answers(model: Path, listing: Listing, folder: Path) -> Answers:
    """What the benchmark's own process would answer."""
    written = folder / "listing.json"
    listing.write(written)
    result = str(folder / f"{model.stem}.json")
    answer_all(
        Task(
            Job.ACCURACY, path=str(model), backend="onnxruntime", photos=listing.photos[:1], listing=str(written),
            result=result,
        )
    )  # fmt: skip
    return Answers.read(arrays_of(result))


@pytest.mark.parametrize(
    ("fault", "photos"),
    [
        ("swapped_labels", "listing"), ("brighter", "bright"), ("normalized_twice", "listing"),
        ("wrong_colours", "listing"),
    ],
)  # fmt: skip
def test_a_faulty_copy_is_caught(fault: str, photos: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    listing: Listing = request.getfixturevalue(photos)
    right = answers(TINY, listing, tmp_path)
    copy = PROOF.faulty(TINY, getattr(PROOF, fault), tmp_path)
    accuracy = make_accuracy(listing, answers(copy, listing, tmp_path), right, None)
    assert accuracy
    assert accuracy.difference
    assert accuracy.agreement
    assert accuracy.agreement.share < 0.5
    assert accuracy.difference.points.high < 0
    results = DRAWN.synthetic(photos=60)
    row = replace(results.rows[0], accuracy=accuracy)
    told = make_remarks((row,), results.data, results.machine)
    assert any("is less often right than the reference, beyond chance" in remark for remark in told)


def test_the_file_itself_is_not_blamed(listing: Listing, tmp_path: Path) -> None:
    right = answers(TINY, listing, tmp_path)
    accuracy = make_accuracy(listing, right, right, None)
    assert accuracy
    assert accuracy.top1.share == 1
    assert accuracy.difference
    assert accuracy.difference.points.low < 0 < accuracy.difference.points.high
