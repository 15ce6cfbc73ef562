"""What is classified before it is read: above all the frames of a video."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edgewise.runtime.items import Broken, Given, Video
from edgewise.spec import SourceError

FRAMES = 11


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video whose frames get redder."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(FRAMES):
        writer.write(np.full((48, 64, 3), (0, 0, 20 * number), np.uint8))
    writer.release()
    return path


@pytest.mark.parametrize("every", [1, 4, 100])
def test_each_nth_frame_is_an_item_with_its_number(clip: Path, every: int) -> None:
    video = Video(str(clip), every)
    items = list(video.frames())
    assert [item.name for item in items] == [f"{clip}#frame={number}" for number in range(0, FRAMES, every)]
    assert video.count() == len(items)
    for number, item in zip(range(0, FRAMES, every), items, strict=True):
        picture = item.content()
        assert isinstance(picture, np.ndarray)
        assert picture.shape == (48, 64, 3)
        # Red comes first.
        np.testing.assert_allclose(picture.mean(axis=(0, 1)), (20 * number, 0, 0), atol=6)


def test_a_video_that_ends_early_says_so_after_its_frames(clip: Path, tmp_path: Path) -> None:
    content = clip.read_bytes()
    at = content.rindex(b"00dc", 0, content.rindex(b"idx1") - 2000)  # one of the last frames
    (tmp_path / "cut.avi").write_bytes(content[:at])
    items = list(Video(str(tmp_path / "cut.avi"), 1).frames())
    assert len(items) > 2
    assert isinstance(items[-1], Broken)
    assert items[-1].name == str(tmp_path / "cut.avi")
    with pytest.raises(
        SourceError, match=r"cut\.avi ends or is damaged after \d+ of 11 frames\nExpected: a whole video"
    ):
        items[-1].content()


@pytest.mark.parametrize("content", [None, b"", b"no video"])
def test_what_is_no_video_is_one_item_with_the_reason(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "bad.mp4"
    if content is not None:
        path.write_bytes(content)
    (item,) = Video(str(path), 1).frames()
    with pytest.raises(SourceError, match=r"bad\.mp4.* cannot be (read as a video|played: no such file)"):
        item.content()
    assert Video(str(path), 1).count() is None


def test_a_picture_in_memory_is_given_back_as_it_is() -> None:
    picture = np.zeros((4, 4, 3), np.uint8)
    assert Given("#0", picture).content() is picture
