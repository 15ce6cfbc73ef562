"""On which backends, with what computing and with how many threads each file is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from edgewise.benchmarks.entry import Entry, Kind
from edgewise.benchmarks.model_info import ModelInfo
from edgewise.benchmarks.plain import LOOPS
from edgewise.runtime.cpu import usable_cores
from edgewise.runtime.engines import KINDS, is_installed, kinds_for
from edgewise.runtime.engines.base import CPU, not_installed
from edgewise.runtime.engines.base import Kind as Engine
from edgewise.spec import BackendError, InputError
from edgewise.spec.opening import MOST_THREADS

ALL = "all"


@dataclass(frozen=True)
class Ways:
    """What is asked for."""

    threads: tuple[int, ...]  # numbers of threads, ascending
    backends: tuple[str, ...] = ()  # only these; empty: every one that is installed
    providers: tuple[str, ...] = ()  # only these; empty: every one that a backend offers here
    plain: bool = True  # plain loops, too


def parse_threads(text: str, cores: int | None = None) -> tuple[int, ...]:
    """Read ``1,2,all``: numbers of threads with commas between them, ``all`` for every usable core.

    Raises:
        InputError: something else is written there.
    """
    found = set()
    for part in text.split(","):
        word = part.strip().lower()
        number = (cores or usable_cores()) if word == ALL else int(word) if word.isascii() and word.isdigit() else 0
        if not 1 <= number <= MOST_THREADS:
            raise InputError(f"--threads {text}", f"numbers from 1 to {MOST_THREADS} or 'all', such as 1,2,all")
        found.add(number)
    return tuple(sorted(found))


def check_ways(ways: Ways) -> None:
    """Raise BackendError where a backend or provider that was asked for is not there at all."""
    names = [kind.name for kind in KINDS]
    for name in ways.backends:
        if name not in names:
            raise BackendError(f"--backend {name}", "one of " + ", ".join(names), "leave --backend out for all of them")
    chosen = [kind for kind in KINDS if kind.name in (ways.backends or names)]
    for kind in chosen:
        if ways.backends and not is_installed(kind):
            raise not_installed(kind.name, kind.install)
    there = {provider for kind in chosen if is_installed(kind) for provider in kind.providers()}
    for provider in ways.providers:
        if provider not in there:
            raise BackendError(
                f"--provider {provider} is not there on this machine", "one of " + ", ".join(sorted(there))
            )


def entries_of(info: ModelInfo, ways: Ways) -> Iterator[Entry]:
    """Every row that one file gets: through the runtime, and in plain loops on the CPU."""
    for kind in kinds_for(info.format):
        if is_installed(kind) and kind.name in (ways.backends or (kind.name,)):
            for provider in _providers(kind, ways):
                yield from _with_threads(info, kind.name, provider, _threads(ways, provider), Kind.VARIANT)
            if ways.plain and kind.name in LOOPS and CPU in _providers(kind, ways):
                yield from _with_threads(info, kind.name, CPU, ways.threads, Kind.PLAIN)


def _providers(kind: Engine, ways: Ways) -> Sequence[str]:
    return [name for name in kind.providers() if name in (ways.providers or (name,))]


def _threads(ways: Ways, provider: str) -> Sequence[int]:
    """What is not the CPU computes the same with any number of threads."""
    return ways.threads if provider == CPU else ways.threads[-1:]


def _with_threads(info: ModelInfo, backend: str, provider: str, threads: Iterable[int], kind: Kind) -> Iterator[Entry]:
    counts = tuple(threads)
    for count in counts:
        yield Entry(
            name=info.path.name,
            path=str(info.path),
            format=info.format.value,
            scheme=info.scheme,
            backend=backend,
            sha256=info.sha256,
            bytes=info.bytes,
            kind=kind,
            provider=provider,
            threads=count,
            gzip_bytes=info.gzip_bytes,
            shows_threads=len(counts) > 1,
        )
