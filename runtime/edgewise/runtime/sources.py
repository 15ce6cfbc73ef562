"""Where photos come from: files, folders, patterns, lists, URLs and videos in; prepared pictures, in order, out.

Reading and decoding run ahead in a few threads, a bounded number of photos at a time, so that a folder of a million
photos needs little more memory than a folder of ten: their names.
"""

from __future__ import annotations

import glob
import io
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, Generic, TypeAlias, TypeVar

from edgewise.runtime.ahead import Ahead
from edgewise.runtime.cpu import usable_cores
from edgewise.runtime.folders import PHOTO_SUFFIXES
from edgewise.runtime.items import VIDEO_SUFFIXES, Broken, Item, Photo, Video, Web
from edgewise.runtime.limits import Limits
from edgewise.runtime.listing import LIST_SUFFIXES, lines
from edgewise.spec import InputError, PhotoError
from edgewise.spec.files import path_text

T = TypeVar("T")

STDIN = "-"
"""The source that stands for paths on standard input."""

_SOURCE = "a photo, a folder or a pattern such as 'photos/**/*.jpg'"


@dataclass(frozen=True)
class Rules:
    """How sources are read. What is not said is neither fetched nor expected."""

    every: int | None = None  # of a video each n-th frame; None: each frame, and videos in folders are left alone
    limits: Limits | None = None  # of URLs; None: they are refused
    null: bool = False  # lists of paths are separated by zero bytes instead of line ends
    without: tuple[Path, ...] = ()  # folders that are not searched, where they lie in others


PLAIN = Rules()
"""Files only."""


@dataclass(frozen=True)
class Piped:
    """Paths on standard input."""

    null: bool


Entry: TypeAlias = Photo | Web | Video | Broken | Piped


@dataclass(frozen=True)
class Found:
    """What the sources hold."""

    entries: tuple[Entry, ...]  # in the order of the sources; those of one folder or pattern sorted by path
    ignored: int  # count of other files in the folders and patterns
    rules: Rules

    def items(self) -> Iterator[Item]:
        """Yield what is to be classified, in order; a video is read and standard input is listened to as they come."""
        for entry in self.entries:
            if isinstance(entry, Piped):
                for name in lines(_standard_input(), "standard input", null=entry.null):
                    yield from _expanded(_entry(name, self.rules))
            else:
                yield from _expanded(entry)

    @property
    def waits(self) -> bool:
        """Whether items may come slowly, as those on standard input."""
        return any(isinstance(entry, Piped) for entry in self.entries)

    @property
    def has_videos(self) -> bool:
        """Whether some entries hold many items."""
        return any(isinstance(entry, Video) for entry in self.entries)

    def total(self) -> int | None:
        """How many items there will be; None where that is not known before."""
        counts = [
            entry.count() if isinstance(entry, Video) else None if isinstance(entry, Piped) else 1
            for entry in self.entries
        ]
        return None if None in counts else sum(count or 0 for count in counts)

    def names(self) -> Iterator[str]:
        """Names of all entries that are known; those of a video's frames are a little longer."""
        return (entry.name for entry in self.entries if not isinstance(entry, Piped))


def _standard_input() -> BinaryIO | io.RawIOBase:
    try:
        # Not through Python's own buffer: its lock would be held by a thread that waits for ever.
        return io.FileIO(sys.stdin.fileno(), closefd=False)
    except (OSError, ValueError):  # it is no file, as in a notebook
        return sys.stdin.buffer


def _expanded(entry: Photo | Web | Video | Broken) -> Iterator[Item]:
    if isinstance(entry, Video):
        yield from entry.frames()
    else:
        yield entry


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """One photo: either what was read, or why it could not be."""

    path: Path
    content: T | None
    error: PhotoError | None


def find(sources: Sequence[str], rules: Rules = PLAIN) -> Found:
    """List what ``sources`` name.

    Args:
        sources: each a file (taken for a photo whatever its suffix, unless that is one of a video or a list), a folder
            (searched with all its subfolders; hidden files are left out, links to folders not followed), a pattern with
            ``*``, ``?``, ``[...]`` or ``**``, a list of paths (``@list`` or ``list.txt``), a URL, or ``-`` for paths on
            standard input. Paths in lists are relative to the current folder and are neither folders nor patterns.
        rules: how they are read.

    Raises:
        InputError: a source does not exist, holds no photo, or is not allowed; the message names it.
    """
    parts = [_find(source, rules) for source in sources]
    if list(sources).count(STDIN) > 1:
        raise InputError("- is given twice, and standard input can be read once")
    return Found(tuple(entry for part in parts for entry in part.entries), sum(part.ignored for part in parts), rules)


def _find(source: str, rules: Rules) -> Found:
    if source == STDIN:
        return Found((Piped(rules.null),), 0, rules)
    if _is_url(source):
        if rules.limits is None:
            raise InputError(f"{Web(source, None).name} is a URL", "files", "allow URLs with --allow-url")
        return Found((Web(source, rules.limits),), 0, rules)
    if os.path.isdir(source):
        return _choose(_walk(source, rules), f"the folder {source}", rules)
    if os.path.lexists(source):
        is_list = Path(source).suffix.lower() in LIST_SUFFIXES
        return _listed(source, rules) if is_list else Found((_entry(source, rules),), 0, rules)
    if source.startswith("@"):
        return _listed(source[1:], rules)
    return _matching(source, rules)


def _is_url(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def _entry(name: str, rules: Rules) -> Photo | Web | Video:
    if _is_url(name):
        return Web(name, rules.limits)
    if os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES:
        return Video(name, rules.every or 1)
    return Photo(name)


def _listed(path: str, rules: Rules) -> Found:
    try:
        with open(path, "rb", buffering=0) as stream:
            entries = tuple(_entry(name, rules) for name in lines(stream, path, null=rules.null))
    except OSError as error:
        raise InputError(
            f"the list {path!r} cannot be read: {error.strerror}", "text with one path per line"
        ) from error
    if not entries:
        raise InputError(f"the list {path!r} is empty", "text with one path per line")
    return Found(entries, 0, rules)


def _matching(pattern: str, rules: Rules) -> Found:
    if not glob.has_magic(pattern):
        raise InputError(f"there is no {pattern!r}", _SOURCE)
    matches = _recursive(pattern, rules) if "**" in pattern.split(os.sep) else glob.iglob(pattern)
    files = [match for match in matches if not os.path.isdir(match)]
    if not files:
        raise InputError(
            f"nothing fits the pattern {pattern!r}",
            _SOURCE,
            "put the pattern in quotes, and use ** where photos may be in subfolders",
        )
    return _choose(iter(files), f"the pattern {pattern!r}", rules)


def _recursive(pattern: str, rules: Rules) -> Iterator[str]:
    """Yield the files that fit a pattern with ``**``; unlike `glob`, no link to a folder is followed, so no circle."""
    parts = pattern.split(os.sep)
    first = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    base, wanted = os.sep.join([*parts[:first], ""]), parts[first:]
    hidden = any(part.startswith(".") for part in wanted)
    for path in _walk(base or ".", rules, hidden=hidden):
        inner = os.path.relpath(path, base or ".")
        if _fits(inner.split(os.sep), wanted):
            yield base + inner


def _fits(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    """Whether a path fits a pattern, both cut into parts; ``*`` and ``**`` do not stand for hidden names."""
    reached = {0}  # how much of the pattern can be behind us
    for part in parts:
        reached = {after for at in reached for after in _steps(part, wanted, at)}
    return any(all(rest == "**" for rest in wanted[at:]) for at in reached)


def _steps(part: str, wanted: Sequence[str], at: int) -> Iterator[int]:
    while at < len(wanted) and wanted[at] == "**":
        if not part.startswith("."):
            yield at
        at += 1
    if at < len(wanted) and fnmatchcase(part, wanted[at]) and part.startswith(".") <= wanted[at].startswith("."):
        yield at + 1


def _walk(folder: str, rules: Rules, *, hidden: bool = False) -> Iterator[str]:
    """Yield every file under ``folder``, and each subfolder that cannot be listed (reading it tells why).

    Links to folders are not followed. Not recursive, because a folder may be deeper than Python's stack.
    """
    waiting = [folder]
    without = {path.resolve() for path in rules.without}
    while waiting:
        parent = waiting.pop()
        if without and Path(parent).resolve() in without:
            continue
        try:
            with os.scandir(parent) as entries:
                for entry in entries:
                    if entry.name.startswith(".") and not hidden:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif not (entry.is_symlink() and os.path.isdir(entry.path)):
                        yield entry.path
        except OSError:
            yield parent


def _choose(files: Iterator[str], where: str, rules: Rules) -> Found:
    suffixes = PHOTO_SUFFIXES if rules.every is None else PHOTO_SUFFIXES | VIDEO_SUFFIXES
    every = sorted(files, key=lambda path: path.split(os.sep))
    chosen = [path for path in every if os.path.splitext(path)[1].lower() in suffixes or os.path.isdir(path)]
    if not chosen:
        raise InputError(
            f"{where} holds no photo" + (f", only other files: {len(every)}" if every else ""),
            "files that end in .jpg, .png, .webp, .tif or another picture suffix",
            "" if rules.every or not any(map(_is_video, every)) else "for the videos in it say --every N",
        )
    return Found(tuple(_chosen(path, rules) for path in chosen), len(every) - len(chosen), rules)


def _chosen(path: str, rules: Rules) -> Entry:
    if os.path.isdir(path):
        return Broken(path, PhotoError(f"{path_text(path)} cannot be listed", "a folder that this user may read"))
    return _entry(str(Path(path)), rules)  # without the ./ of the current folder


def _is_video(path: str) -> bool:
    return os.path.splitext(path)[1].lower() in VIDEO_SUFFIXES


def load_ahead(paths: Iterable[Path], load: Callable[[Path], T], workers: int | None = None) -> Iterator[Loaded[T]]:
    """Apply ``load`` to each path in threads and yield the results in the order of ``paths``.

    At most three photos per thread are held at a time, however slowly the results are taken.

    Args:
        paths: the photos.
        load: reads one; a PhotoError that it raises becomes a result, anything else is raised here.
        workers: threads, at least 1; None: as `reading_threads`.
    """

    def attempt(path: Path) -> Loaded[T]:
        try:
            return Loaded(path, load(path), None)
        except PhotoError as error:
            return Loaded(path, None, error)

    workers = workers or reading_threads()
    with Ahead(attempt, paths, workers=workers, ahead=3 * workers) as loaded:
        yield from loaded


def reading_threads() -> int:
    """Threads that read photos: one per usable core, at most 4."""
    return min(4, usable_cores())
