"""What is classified, one by one, before it is read: a photo file, a photo at a URL, a frame, a picture in memory.

A Protocol and not a base class, because the kinds share nothing but how they are asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.camera import mask, pace, video
from edgewise.runtime.images import Picture, read
from edgewise.runtime.limits import Limits
from edgewise.spec import EdgewiseError, InputError, SourceError
from edgewise.spec.files import path_text, sha256

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv"})
"""Suffixes, in lower case, of files that are taken for videos."""

_WHOLE = 0.95  # the share of a video's announced frames from which it counts as whole: headers only estimate


class Item(Protocol):
    """One thing to classify."""

    @property
    def name(self) -> str:
        """How it is called in the output."""

    def content(self) -> bytes | Picture:
        """Read it: a whole image file, or ``(height, width, 3)`` uint8 RGB. Raises EdgewiseError."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo file."""

    name: str  # its path

    def content(self) -> bytes:
        """See `Item.content`."""
        return read(Path(self.name))


@dataclass(frozen=True, slots=True)
class Web:
    """A photo at a URL."""

    url: str = field(repr=False)  # may hold a password
    limits: Limits | None  # None: URLs are not allowed

    @property
    def name(self) -> str:
        """The URL without what may be secret in it."""
        return mask(self.url)

    def content(self) -> bytes:
        """See `Item.content`."""
        if self.limits is None:
            raise InputError(f"{self.name} is a URL", "files", "allow URLs with --allow-url")
        from edgewise.runtime.download import download  # brings HTTP and TLS, which files do not need

        return download(self.url, self.limits)


def hidden_part(item: Item) -> str:
    """What tells an item from others of the same name: a digest of a URL, whose name is masked; "" for all others."""
    return sha256(item.url.encode("utf-8", "surrogatepass"))[:16] if isinstance(item, Web) else ""


@dataclass(frozen=True, slots=True)
class Given:
    """A picture in memory, or one frame of a video."""

    name: str
    picture: bytes | Picture = field(repr=False)

    def content(self) -> bytes | Picture:
        """See `Item.content`."""
        return self.picture


@dataclass(frozen=True, slots=True)
class Broken:
    """Something that cannot be read, as is known already."""

    name: str
    error: EdgewiseError

    def content(self) -> bytes:
        """Raise the error."""
        raise self.error


@dataclass(frozen=True, slots=True)
class Video:
    """A video file, of which each ``every``-th frame is classified, from the first one on."""

    name: str  # its path
    every: int  # > 0

    def count(self) -> int | None:
        """How many frames will be classified, as its header says; None where it does not say."""
        try:
            source = video(self.name)
            capture = source.open()
            announced = pace(source, capture).announced if capture.isOpened() else 0
            capture.release()
        except (SourceError, cv2.error):
            return None
        return -(-announced // self.every) if announced else None

    def frames(self) -> Iterator[Item]:
        """Yield the frames; where it cannot be opened or ends early, the last item is a `Broken` that says so."""
        try:
            source = video(self.name)
            capture = source.open()
            if not capture.isOpened():
                raise source.refusal()
            announced, at = pace(source, capture).announced, 0
            while (picture := self._next(capture, at)) is not None:
                if picture.size:
                    yield Given(f"{self.name}#frame={at}", picture)
                at += 1
            capture.release()
            if at < _WHOLE * announced or not at:
                raise SourceError(
                    f"{path_text(self.name)} ends or is damaged after {at} of {announced} frames", "a whole video"
                )
        except SourceError as error:
            yield Broken(self.name, error)
        except cv2.error as error:
            yield Broken(self.name, SourceError(f"OpenCV failed on {path_text(self.name)}: {error.err or error}"))

    def _next(self, capture: cv2.VideoCapture, at: int) -> NDArray[np.uint8] | None:
        """Read frame number ``at`` as RGB; an empty array stands for one that is passed over, None for the end."""
        if not capture.grab():
            return None
        if at % self.every:
            return np.empty(0, np.uint8)
        good, picture = capture.retrieve()
        if not good or picture is None or not picture.size:
            return None
        return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
