"""Photos as arrays: the same bits on every path to a network, and unreadable photos named."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.benchmarks import answers
from edgewise.benchmarks.answers import Listing, Sheet, collect
from edgewise.benchmarks.latency import MonotonicClock
from edgewise.benchmarks.networks import Network
from edgewise.benchmarks.stages import time_stages
from edgewise.runtime.classifier import Classifier
from edgewise.runtime.images import prepare
from edgewise.spec import DataError
from edgewise.train.dataset import Example
from edgewise.train.pixels import class_balanced, digest_of, load_pixels

TINY = Path(__file__).parents[1] / "data" / "tiny.tflite"
SIDE = 32  # of its input


def picture(height: int, width: int) -> NDArray[np.uint8]:
    """A lit surface with texture, BGR, so that any other way to decode or resize would show."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([np.sin(x / 3), np.cos(y / 5), np.sin((x + y) / 7)], axis=-1)
    noise = np.random.default_rng(0).normal(0, 12, waves.shape)
    return np.clip(128 + 90 * waves + noise, 0, 255).astype(np.uint8)


def exif_turned(jpeg: bytes, orientation: int) -> bytes:
    """A JPEG with an EXIF block that says how it was held."""
    block = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0) + bytes(4)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]


def encoded(suffix: str, pixels: NDArray[Any]) -> bytes:
    return bytes(cv2.imencode(suffix, pixels)[1])


PHOTOS = {
    "large.jpg": encoded(".jpg", picture(400, 530)),
    "small.jpg": encoded(".jpg", picture(20, 25)),
    "exact.png": encoded(".png", picture(SIDE, SIDE)),
    "turned.jpg": exif_turned(encoded(".jpg", picture(300, 200)), 6),
    "mirrored.jpg": exif_turned(encoded(".jpg", picture(150, 210)), 5),
    "photo.png": encoded(".png", picture(91, 120)),
    "clear.png": encoded(".png", np.dstack([picture(90, 120), picture(90, 120)[..., 0]])),
    "sixteen.png": encoded(".png", picture(90, 130).astype(np.uint16) * 257),
    "photo.webp": encoded(".webp", picture(95, 120)),
    "grey.jpg": encoded(".jpg", picture(90, 120)[..., 0]),
}


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier.open(TINY, threads=1)


@pytest.fixture
def seen_by_benchmark(classifier: Classifier) -> Any:
    """The pixels of one photo that the benchmark times, and those that it judges answers by."""

    def see(path: Path) -> list[NDArray[np.uint8]]:
        seen: list[NDArray[np.uint8]] = []

        def run(batch: NDArray[np.uint8]) -> NDArray[np.float32]:
            seen.append(batch[0])
            return classifier.probabilities(batch)

        network = Network(run, np.zeros(0), 1, labels=classifier.labels, height=SIDE, width=SIDE)
        assert time_stages(network, [str(path)], MonotonicClock(), 0).photos == 1
        listing = Listing(classifier.labels, (str(path),), (0,))
        prepared = [answers._prepare(str(path), network)]
        collect(Sheet(listing, classifier.labels), prepared, lambda batches: map(run, batches), 1)
        return seen

    return see


@pytest.mark.parametrize("name", PHOTOS)
def test_equal_bits_reach_the_network_on_every_path(
    name: str, tmp_path: Path, classifier: Classifier, seen_by_benchmark: Any
) -> None:
    path = tmp_path / name
    path.write_bytes(PHOTOS[name])
    inference = classifier.prepare(path)
    training = load_pixels([Example(path, "x", 0, "")], SIDE).images[0]
    assert inference.shape == (SIDE, SIDE, 3)
    for got in (
        training,
        prepare(path, SIDE, SIDE),
        prepare(PHOTOS[name], SIDE, SIDE),
        classifier.prepare(str(path)),
        classifier.prepare(PHOTOS[name]),
        *seen_by_benchmark(path),
    ):
        assert got.dtype == np.uint8
        np.testing.assert_array_equal(got, inference)


def test_the_photos_differ_so_that_the_comparison_says_something(classifier: Classifier) -> None:
    prepared = [classifier.prepare(content).tobytes() for content in PHOTOS.values()]
    assert len(set(prepared)) == len(PHOTOS)


def examples(folder: Path) -> Iterator[Example]:
    for number, name in enumerate(PHOTOS):
        (folder / name).write_bytes(PHOTOS[name])
        yield Example(folder / name, str(number), number, str(number))


def test_unreadable_photos_are_named_and_the_others_keep_their_order(tmp_path: Path) -> None:
    good = list(examples(tmp_path))
    for name, content in {"empty.jpg": b"", "cut.jpg": PHOTOS["large.jpg"][:800], "text.png": b"hello"}.items():
        (tmp_path / name).write_bytes(content)
    bad = [Example(tmp_path / name, "x", 99, name) for name in ("empty.jpg", "cut.jpg", "text.png", "nowhere.jpg")]
    pixels = load_pixels([bad[0], *good[:3], bad[1], *good[3:], bad[2], bad[3]], SIDE)
    assert pixels.examples == tuple(good)
    assert pixels.labels.tolist() == list(range(len(good)))
    assert pixels.images.shape == (len(good), SIDE, SIDE, 3)
    for example, image in zip(good, pixels.images, strict=True):
        np.testing.assert_array_equal(image, prepare(example.path, SIDE, SIDE))
    assert [skip.path.name for skip in pixels.skipped] == ["empty.jpg", "cut.jpg", "text.png", "nowhere.jpg"]
    assert all(str(skip.path) in skip.reason for skip in pixels.skipped)


def test_no_readable_photo_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"hello")
    with pytest.raises(DataError, match=r"none of the 1 test photos can be read\nDo: look at the files; .*a\.jpg"):
        load_pixels([Example(tmp_path / "a.jpg", "x", 0, "")], SIDE, name="test photos")


def choices(counts: dict[int, int]) -> list[Example]:
    return [
        Example(Path(f"{label}-{number}"), str(label), label, f"{label}-{number}")
        for label, count in counts.items()
        for number in range(count)
    ]


def test_a_balanced_choice_takes_equally_many_of_each_class() -> None:
    chosen = class_balanced(choices({0: 100, 1: 30, 2: 50}), 60, seed=0)
    assert [sum(e.index == label for e in chosen) for label in range(3)] == [20, 20, 20]


def test_others_make_up_for_a_class_with_few_photos() -> None:
    chosen = class_balanced(choices({0: 100, 1: 2, 2: 50}), 62, seed=0)
    assert [sum(e.index == label for e in chosen) for label in range(3)] == [30, 2, 30]
    assert len(class_balanced(choices({0: 3, 1: 2}), 300, seed=0)) == 5
    assert class_balanced([], 10, seed=0) == []


def test_a_choice_goes_by_content_and_seed() -> None:
    photos = choices({0: 50, 1: 50})
    first = class_balanced(photos, 20, seed=0)
    assert class_balanced(photos[::-1], 20, seed=0) == first
    assert class_balanced(photos, 20, seed=1) != first
    assert digest_of(first) == digest_of(class_balanced(photos[::-1], 20, seed=0))
    assert digest_of(first) != digest_of(first[::-1])
