"""The photo cache: the same bits from disk, bounded, shared, and never trusted blindly."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edgewise.runtime.images import prepare
from edgewise.spec import DataError, PhotoError
from edgewise.spec.files import sha256_file
from edgewise.spec.progress import Step
from edgewise.train import cache as cache_module
from edgewise.train import pixels as pixels_module
from edgewise.train import shards
from edgewise.train.cache import PhotoCache, cache_folder
from edgewise.train.dataset import Example
from edgewise.train.pixels import Images, Pixels, load_pixels

SIZE = 40
COUNT = 20
ROW = shards.row_bytes(SIZE)


class Listener:
    """Remembers what it is told; `stop_after` photos it presses Ctrl-C."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.messages: list[str] = []
        self.tasks: list[tuple[str, int]] = []
        self._stop_after = stop_after

    def say(self, message: str) -> None:
        self.messages.append(message)

    @contextmanager
    def task(self, name: str, total: int) -> Iterator[Step]:
        self.tasks.append((name, total))
        count = 0

        def step(done: int = 1, note: str = "") -> None:
            nonlocal count
            count += done
            if count == self._stop_after:
                raise KeyboardInterrupt

        yield step


def write_photos(folder: Path, count: int, seed: int = 0) -> list[Example]:
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    return [write_photo(folder / f"{number}.png", random, number % 3) for number in range(count)]


def write_photo(path: Path, random: np.random.Generator, label: int) -> Example:
    path.write_bytes(bytes(cv2.imencode(".png", random.integers(0, 256, (32, 50, 3), np.uint8))[1]))
    return Example(path, f"class {label}", label, sha256_file(path))


@pytest.fixture
def photos(tmp_path: Path) -> list[Example]:
    return write_photos(tmp_path / "data", COUNT)


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "MAX_ROWS", 4)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def load(examples: list[Example], cache: PhotoCache | None, listener: Listener | None = None) -> Pixels:
    return load_pixels(examples, SIZE, name="train photos", reporter=listener or Listener(), cache=cache)


def expected(examples: list[Example]) -> NDArray[np.uint8]:
    return np.stack([prepare(example.path, SIZE, SIZE) for example in examples])


def decoded(examples: list[Example], cache: PhotoCache) -> int:
    """Load the photos, check every bit, and tell how many of them had to be decoded for it."""
    listener = Listener()
    np.testing.assert_array_equal(load(examples, cache, listener).images[:], expected(examples))
    assert listener.messages == []
    return sum(total for _, total in listener.tasks)


def shard_files(home: Path) -> list[Path]:
    return sorted(home.rglob(f"*{shards.SUFFIX}"))


def test_photos_are_decoded_once_and_read_from_disk_ever_after(photos: list[Example], home: Path) -> None:
    listener = Listener()
    first = load(photos, PhotoCache(home), listener)
    assert listener.tasks == [("decoding train photos", COUNT)]
    np.testing.assert_array_equal(first.images[:], expected(photos))
    again = Listener()
    second = load(photos, PhotoCache(home), again)
    assert (again.tasks, again.messages) == ([], [])
    np.testing.assert_array_equal(second.images[:], expected(photos))
    assert second.examples == tuple(photos)
    assert second.labels.tolist() == [example.index for example in photos]


def test_the_pixels_come_from_the_cache_and_not_from_the_files(photos: list[Example], home: Path) -> None:
    want = expected(photos)
    load(photos, PhotoCache(home))
    images = load(photos, PhotoCache(home)).images
    shutil.rmtree(photos[0].path.parent)
    np.testing.assert_array_equal(images[:], want)


def test_it_is_indexed_like_an_array(photos: list[Example], home: Path) -> None:
    array = load(photos, None).images
    images: Images = load(photos, PhotoCache(home)).images
    assert (len(images), images.shape, images.dtype) == (COUNT, (COUNT, SIZE, SIZE, 3), np.uint8)
    order = np.random.default_rng(0).permutation(COUNT)
    for index in (0, -1, slice(3, 9), slice(None, None, -2), slice(50, 60), order, order[:0], np.array([5, 5, -2])):
        got = images[index]
        assert got.dtype == np.uint8
        assert got.flags.c_contiguous
        np.testing.assert_array_equal(got, array[index])
    for index in (COUNT, np.array([0, COUNT])):
        with pytest.raises(IndexError):
            images[index]
    assert len(list(images)) == COUNT  # type: ignore[call-overload]


def test_what_is_asked_for_is_the_callers_own(photos: list[Example], home: Path) -> None:
    images = load(photos, PhotoCache(home)).images
    images[:4].fill(0)
    np.testing.assert_array_equal(images[:4], expected(photos[:4]))


def test_a_subset_keeps_photos_labels_and_examples_together(photos: list[Example], home: Path) -> None:
    chosen = np.array([7, 2, 11])
    subset = load(photos, PhotoCache(home)).subset(chosen)
    wanted = [photos[number] for number in chosen]
    np.testing.assert_array_equal(subset.images[:], expected(wanted))
    assert subset.examples == tuple(wanted)
    assert subset.labels.tolist() == [example.index for example in wanted]


def test_photos_are_known_by_content_wherever_they_lie(photos: list[Example], home: Path, tmp_path: Path) -> None:
    load(photos, PhotoCache(home))
    moved = []
    for number, example in enumerate(reversed(photos)):
        path = tmp_path / "elsewhere" / f"renamed {number}.png"
        path.parent.mkdir(exist_ok=True)
        shutil.copy(example.path, path)
        moved.append(Example(path, "another class", 0, example.sha256))
    new = write_photos(tmp_path / "new", 3, seed=1)
    assert decoded(moved, PhotoCache(home)) == 0
    assert decoded(moved + new, PhotoCache(home)) == 3
    assert decoded(new + photos, PhotoCache(home)) == 0


def test_another_size_is_another_photo(photos: list[Example], home: Path) -> None:
    load(photos, PhotoCache(home))
    listener = Listener()
    other = load_pixels(photos, SIZE + 1, reporter=listener, cache=PhotoCache(home))
    assert listener.tasks == [("decoding photos", COUNT)]
    np.testing.assert_array_equal(other.images[3], prepare(photos[3].path, SIZE + 1, SIZE + 1))


def test_another_way_to_prepare_is_another_photo(
    photos: list[Example], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(photos, PhotoCache(home))
    monkeypatch.setattr(shards, "PREPROCESSING_VERSION", "2 opencv-6.0.0")
    assert decoded(photos, PhotoCache(home)) == COUNT
    assert decoded(photos, PhotoCache(home)) == 0
    monkeypatch.undo()
    assert decoded(photos, PhotoCache(home)) == 0


def test_equal_photos_are_stored_once(photos: list[Example], home: Path, tmp_path: Path) -> None:
    copy = Example(tmp_path / "copy.png", "x", 1, photos[0].sha256)
    shutil.copy(photos[0].path, copy.path)
    both = [*photos[:2], copy]
    np.testing.assert_array_equal(load(both, PhotoCache(home)).images[:], expected(both))
    assert PhotoCache(home).size() == shards.shard_bytes(2, SIZE)


def test_unreadable_photos_are_named_each_time_and_the_others_keep_their_order(
    photos: list[Example], home: Path
) -> None:
    damaged = photos[1].path.read_bytes()[:60]
    (photos[0].path.parent / "cut.png").write_bytes(damaged)
    cut = Example(photos[0].path.parent / "cut.png", "x", 0, sha256_file(photos[0].path.parent / "cut.png"))
    gone = Example(photos[0].path.parent / "gone.png", "x", 0, "0" * 64)
    changed = Example(photos[4].path, "x", 0, "1" * 64)
    for expected_work in (COUNT + 3, 3):
        listener = Listener()
        pixels = load([cut, *photos[:5], gone, *photos[5:], changed], PhotoCache(home), listener)
        assert listener.tasks == [("decoding train photos", expected_work)]
        assert pixels.examples == tuple(photos)
        np.testing.assert_array_equal(pixels.images[:], expected(photos))
        reasons = [skip.reason for skip in pixels.skipped]
        assert "cut.png: the photo is truncated or damaged" in reasons[0]
        assert "gone.png cannot be read: No such file" in reasons[1]
        assert reasons[2] == f"{photos[4].path} has changed since it was first read"
    with pytest.raises(DataError, match=r"none of the 1 train photos can be read\nDo: .*gone\.png"):
        load([gone], PhotoCache(home))


@pytest.mark.usefixtures("small_shards")
def test_it_keeps_its_limit_and_streams_the_rest(photos: list[Example], home: Path) -> None:
    limit = shards.shard_bytes(4, SIZE) * 2 + ROW
    for work in (COUNT, COUNT - 8):
        listener = Listener()
        pixels = load(photos, PhotoCache(home, limit), listener)
        assert listener.tasks == [("decoding train photos", work)]
        assert listener.messages == [
            "12 of 20 train photos do not fit into the photo cache of 4.39e-05 GB or would fill the disk: "
            "they are decoded again each time they are needed"
        ]
        assert PhotoCache(home, limit).size() <= limit
        order = np.random.default_rng(1).permutation(COUNT)
        np.testing.assert_array_equal(pixels.images[order], expected(photos)[order])


@pytest.mark.usefixtures("small_shards")
def test_what_was_unused_for_longest_gives_way(home: Path, tmp_path: Path) -> None:
    sets = [write_photos(tmp_path / str(seed), 4, seed) for seed in range(3)]
    limit = 2 * shards.shard_bytes(4, SIZE)
    for age, examples in enumerate(sets[:2]):
        known = set(shard_files(home))
        assert decoded(examples, PhotoCache(home, limit)) == 4
        (new,) = set(shard_files(home)) - known
        os.utime(new, (1000 + age, 1000 + age))
    assert decoded(sets[0], PhotoCache(home, limit)) == 0  # and it is now the one used last
    assert decoded(sets[2], PhotoCache(home, limit)) == 4
    assert decoded(sets[0], PhotoCache(home, limit)) == 0
    assert decoded(sets[1], PhotoCache(home, limit)) == 4


def test_what_is_in_use_stays(home: Path, tmp_path: Path) -> None:
    used, other = write_photos(tmp_path / "used", 4, 1), write_photos(tmp_path / "other", 4, 2)
    limit = shards.shard_bytes(4, SIZE)
    pixels = load(used, PhotoCache(home, limit))
    listener = Listener()
    np.testing.assert_array_equal(load(other, PhotoCache(home, limit), listener).images[:], expected(other))
    assert listener.messages[0].startswith("4 of 4 train photos do not fit")
    assert PhotoCache(home).clear() == 0
    np.testing.assert_array_equal(pixels.images[:], expected(used))
    del pixels
    assert PhotoCache(home).clear() == limit
    assert PhotoCache(home).size() == 0


def test_a_lower_limit_makes_it_smaller_at_the_next_start(photos: list[Example], home: Path) -> None:
    load(photos[:10], PhotoCache(home))
    load(photos[10:], PhotoCache(home))
    limit = shards.shard_bytes(10, SIZE)
    load(photos[:1], PhotoCache(home, limit))
    assert 0 < PhotoCache(home).size() <= limit


def test_it_leaves_others_their_share_of_the_disk(
    photos: list[Example], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "DISK_SHARE", 0.0)
    listener = Listener()
    np.testing.assert_array_equal(load(photos, PhotoCache(home), listener).images[:], expected(photos))
    assert "do not fit into the photo cache of 20 GB or would fill the disk" in listener.messages[0]
    assert PhotoCache(home).size() == 0


def test_a_limit_of_zero_turns_it_off(photos: list[Example], home: Path) -> None:
    assert decoded(photos, PhotoCache(home, 0)) == COUNT
    assert decoded(photos, PhotoCache(home, 0)) == COUNT
    assert not home.exists()


def test_streamed_photos_are_those_the_run_began_with(photos: list[Example], home: Path) -> None:
    images = load(photos, PhotoCache(home, 1)).images
    shutil.copy(photos[1].path, photos[0].path)
    with pytest.raises(PhotoError, match=r"0\.png has changed since it was first read\nExpected: the photos as they"):
        images[:3]
    photos[0].path.unlink()
    with pytest.raises(PhotoError, match=r"0\.png cannot be read: No such file"):
        images[0]
    np.testing.assert_array_equal(images[1:3], expected(photos[1:3]))


@pytest.mark.usefixtures("small_shards")
def test_ctrl_c_loses_no_photo_that_was_decoded(photos: list[Example], home: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        load(photos, PhotoCache(home), Listener(stop_after=7))
    assert decoded(photos, PhotoCache(home)) == COUNT - 7


PROGRAM = """
import os, resource, signal, sys
from contextlib import contextmanager
from pathlib import Path
from edgewise.spec.files import sha256_file
from edgewise.train import shards
from edgewise.train.cache import PhotoCache
from edgewise.train.dataset import Example
from edgewise.train.pixels import load_pixels
shards.MAX_ROWS = 4
class Listener:
    def say(self, message): print(message)
    @contextmanager
    def task(self, name, total):
        count = 0
        def step(done=1, note=""):
            nonlocal count
            count += 1
            if str(count) == os.environ.get("KILL_AFTER"): os.kill(os.getpid(), signal.SIGKILL)
        yield step
if limit := os.environ.get("LONGEST_FILE"): resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
paths = sorted(Path(sys.argv[1]).iterdir(), key=lambda path: int(path.stem))
examples = [Example(path, "x", 0, sha256_file(path)) for path in paths]
images = load_pixels(examples, 40, reporter=Listener(), cache=PhotoCache()).images
sys.stdout.flush()
sys.stdout.buffer.write(images[:].tobytes())
"""


@pytest.fixture
def start(photos: list[Example], home: Path) -> Callable[..., subprocess.Popen[bytes]]:
    def start(**environment: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(photos[0].path.parent)],
            env={**os.environ, "EDGEWISE_CACHE": str(home), **environment},
            stdout=subprocess.PIPE,
        )

    return start


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("after", [1, 6, 8, 19])
def test_kill_9_loses_less_than_a_shard(
    after: int, photos: list[Example], home: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    process = start(KILL_AFTER=str(after))
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert decoded(photos, PhotoCache(home)) == COUNT - after // 4 * 4
    assert decoded(photos, PhotoCache(home)) == 0
    assert [path for path in shard_files(home) if path.name.startswith(".")] == []


def test_several_trainings_at_the_same_time(
    photos: list[Example], home: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    outputs = [process.communicate()[0] for process in [start() for _ in range(3)]]
    assert outputs == [expected(photos).tobytes()] * 3
    assert decoded(photos, PhotoCache(home)) == 0


def test_a_disk_that_takes_no_more_is_told_once(
    photos: list[Example], home: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    """A limit on the length of files fails as a full disk does: the system refuses the write."""
    process = start(LONGEST_FILE="3000")
    message, _, content = process.communicate()[0].partition(b"\n")
    assert process.returncode == 0
    assert message.decode() == f"the photo cache {home}/photos-1 takes no photos: File too large; this only costs time"
    assert content == expected(photos).tobytes()
    assert shard_files(home) == []


def test_a_full_disk_leaves_what_was_stored_before(photos: list[Example], home: Path) -> None:
    cache = PhotoCache(home)
    load(photos[:5], cache)
    cache.stop(OSError(28, "No space left on device"))
    listener = Listener()
    np.testing.assert_array_equal(load(photos, cache, listener).images[:], expected(photos))
    assert listener.tasks == [("decoding train photos", COUNT - 5)]
    load(photos, cache, listener)
    assert listener.messages == [
        f"the photo cache {cache.folder} takes no photos: No space left on device; this only costs time"
    ]


def spoil_pixels(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    path.write_bytes(content)


def spoil_records(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[COUNT * SIZE * SIZE * 3 + 3] ^= 1
    path.write_bytes(content)


def huge_count(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-8:-4] = b"\xff\xff\xff\x7f"
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut short": lambda path: os.truncate(path, path.stat().st_size // 2),
    "longer": lambda path: os.truncate(path, path.stat().st_size + 1),
    "empty": lambda path: path.write_bytes(b""),
    "no photos": lambda path: path.write_bytes(path.read_bytes()[-56:]),
    "other content": lambda path: path.write_text("hello " * 100),
    "pixels": spoil_pixels,
    "records": spoil_records,
    "huge count": huge_count,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_shard_is_made_anew(damage: str, photos: list[Example], home: Path) -> None:
    load(photos, PhotoCache(home))
    (path,) = shard_files(home)
    DAMAGE[damage](path)
    decoded(photos, PhotoCache(home))  # compares every bit
    assert not path.exists()
    decoded(photos, PhotoCache(home))
    assert decoded(photos, PhotoCache(home)) == 0


def test_a_shard_cut_short_while_it_is_in_use_kills_nobody(photos: list[Example], home: Path) -> None:
    images = load(photos, PhotoCache(home)).images
    images[:]
    (path,) = shard_files(home)
    os.truncate(path, 0)
    np.testing.assert_array_equal(images[:], expected(photos))


def test_neither_links_nor_pipes_are_followed(photos: list[Example], home: Path, tmp_path: Path) -> None:
    load(photos, PhotoCache(home))
    (path,) = shard_files(home)
    path.rename(tmp_path / "precious")
    path.symlink_to(tmp_path / "precious")
    os.mkfifo(path.with_name(f"{SIZE}-0{shards.SUFFIX}"))
    assert decoded(photos, PhotoCache(home)) == COUNT
    load(photos[:1], PhotoCache(home, 1))
    PhotoCache(home).clear()
    assert (tmp_path / "precious").stat().st_size == shards.shard_bytes(COUNT, SIZE)


def test_other_files_in_the_folder_are_left_alone(photos: list[Example], home: Path) -> None:
    cache = PhotoCache(home)
    (home / "notes.txt").write_text("mine")
    (cache.folder / "notes.txt").write_text("mine")
    load(photos, cache)
    PhotoCache(home).clear()
    load(photos, PhotoCache(home, 1))
    assert [path.read_text() for path in (home / "notes.txt", cache.folder / "notes.txt")] == ["mine", "mine"]


def test_a_cache_that_cannot_be_used_costs_only_time(
    photos: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    cache = PhotoCache(tmp_path / "file")
    listener = Listener()
    pixels = load(photos, cache, listener)
    assert isinstance(pixels.images, np.ndarray)
    np.testing.assert_array_equal(pixels.images, expected(photos))
    monkeypatch.setattr(pixels_module, "IN_MEMORY", 1000)
    streamed = load(photos, cache, listener)
    assert not isinstance(streamed.images, np.ndarray)
    np.testing.assert_array_equal(streamed.images[:], expected(photos))
    assert listener.messages == [
        f"the photo cache {tmp_path / 'file' / 'photos-1'} takes no photos: Not a directory; this only costs time"
    ]


def test_the_folder_is_private(home: Path, photos: list[Example]) -> None:
    cache = PhotoCache(home / "deep")
    assert [path.stat().st_mode & 0o777 for path in (home, home / "deep", cache.folder)] == [0o700] * 3
    cache.folder.chmod(0o777)
    opened = PhotoCache(home / "deep")
    assert (opened.usable, opened.problem) == (False, "others can write to it")


def test_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("EDGEWISE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "edgewise"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_folder() == tmp_path / ".cache" / "edgewise"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "edgewise"
    monkeypatch.setenv("EDGEWISE_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    assert PhotoCache().folder == tmp_path / "own" / "photos-1"
