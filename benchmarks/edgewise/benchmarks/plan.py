"""What there is to measure: the variants of a release on each backend, and the network they were made from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise.benchmarks.entry import Entry, Kind
from edgewise.benchmarks.model_info import ModelInfo, read_info
from edgewise.benchmarks.ways import Ways, check_ways, entries_of
from edgewise.runtime.cpu import usable_cores
from edgewise.spec import BackendError, EdgewiseError, Format, InputError, ModelError
from edgewise.spec.files import sha256_file

INDEX = "index.json"
SUFFIXES = tuple(f".{format_.value}" for format_ in Format)


@dataclass(frozen=True)
class Plan:
    """The rows to come."""

    name: str
    entries: tuple[Entry, ...]
    models: Mapping[str, ModelInfo]  # by path of each readable model file
    remarks: tuple[str, ...]  # why something that could be expected is not among the entries
    run: Path | None = None  # the run folder that the files were made from, where it is known

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names of all files: those of the first in its order, then what others have beside."""
        return tuple(dict.fromkeys(label for model in self.models.values() for label in model.labels))

    @property
    def threads(self) -> tuple[int, ...]:
        """Numbers of threads of rows that can be measured, ascending."""
        return tuple(sorted({entry.threads for entry in self.entries if not entry.error}))

    def groups(self) -> dict[tuple[str, str, str], list[int]]:
        """Indices of rows that share their accuracy: of the same file, backend and provider; the reference first."""
        groups: dict[tuple[str, str, str], list[int]] = {}
        order = sorted(enumerate(self.entries), key=lambda pair: not pair[1].is_reference)
        for index, entry in order:
            if entry.kind is not Kind.PLAIN and not entry.error:
                groups.setdefault((entry.path, entry.backend, entry.provider), []).append(index)
        return groups

    def widest(self) -> list[int]:
        """Indices of the rows that have the most threads of their like, without plain loops."""
        return [members[-1] for members in self.groups().values()]

    def macs(self, entry: Entry) -> int:
        """Multiply-accumulates of a photo; of the reference, those of a file with its own numbers; 0: not known."""
        if not entry.is_reference:
            return self.models[entry.path].macs if entry.path in self.models else 0
        return next((model.macs for model in self.models.values() if model.scheme == entry.scheme), 0)

    @property
    def most_macs(self) -> int:
        """Multiply-accumulates of a photo, of the largest network; 0: not known."""
        return max((model.macs for model in self.models.values()), default=0)


def make_plan(release: Path, reference: str | None, ways: Ways | None = None) -> Plan:
    """Find what to measure.

    Args:
        release: release folder, folder of model files, or one model file.
        reference: run folder; ``"none"``; None for the one that the release's index names.
        ways: how each file is measured; None: on every backend, with all cores.

    Raises:
        InputError: ``release`` has no model file, or ``reference`` is not a folder.
        ModelError: the index cannot be read, or not one model file can.
        BackendError: a backend or provider that was asked for is not there, or runs none of the files.
    """
    index = _read_index(release)
    files = _model_files(release, index)
    ways = ways or Ways((usable_cores(),))
    check_ways(ways)
    entries: list[Entry] = []
    models: dict[str, ModelInfo] = {}
    for path, digest, gzip_bytes in files:
        try:
            info = models[str(path)] = read_info(path, digest, gzip_bytes, INDEX)
            entries += entries_of(info, ways)
        except EdgewiseError as error:  # noqa: PERF203 - a few files
            entries.append(Entry(path.name, str(path), path.suffix[1:], "", "", "", _size(path), error=str(error)))
    if not models:
        raise ModelError(f"no model file of {release} can be read; the first: {entries[0].error}")
    if not entries:
        raise BackendError(
            f"--backend {' --backend '.join(ways.backends)} runs no file of {release}",
            "a backend for " + " or ".join(sorted({f".{info.format.value}" for info in models.values()})) + " files",
            "leave --backend out for all of them",
        )
    run, remark = _find_run(release, index, reference)
    if run is not None:
        entries += _references(run, ways)
    name = str(index.get("name") or release.resolve().stem)
    return Plan(name, tuple(entries), models, (remark,) if remark else (), run)


def _read_index(release: Path) -> Mapping[str, Any]:
    path = release / INDEX
    if not path.is_file():
        return {}
    try:
        index = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {error}", "a release's index", "export the release again") from error
    variants = index.get("variants") if isinstance(index, dict) else None
    if not isinstance(variants, list) or not all(isinstance(item, dict) and "file" in item for item in variants):
        raise ModelError(f"{path} has no list of variants", "a release's index", "export the release again")
    if not variants:
        raise ModelError(f"{path} lists no variant", "at least one", "export the release again")
    return dict(index)


def _model_files(release: Path, index: Mapping[str, Any]) -> list[tuple[Path, str, int]]:
    """Each model file with the SHA-256 and the compressed size that the index gives for it, or an empty text and 0."""
    if index:
        # Only the last part of a name counts, so that an index cannot reach outside of its folder.
        return [
            (release / Path(str(item["file"])).name, str(item.get("sha256", "")), _count(item.get("gzip_bytes")))
            for item in index["variants"]
        ]
    if release.is_file():
        return [(release, "", 0)]
    if not release.is_dir():
        raise InputError(f"{release} does not exist", "a release folder or a model file")
    there = (path for path in sorted(release.iterdir()) if path.suffix in SUFFIXES and path.is_file())
    files = [(path, "", 0) for path in there if ".rejected" not in path.suffixes]
    if not files:
        raise InputError(
            f"{release} has no model file",
            f"a release folder, or files that end in {' or '.join(SUFFIXES)}",
            "make one with: edgewise export release RUN",
        )
    return files


def _references(run: Path, ways: Ways) -> list[Entry]:
    """The Keras network, with each number of threads."""
    weights = run / "model.weights.h5"
    size, digest = _size(weights), sha256_file(weights) if weights.is_file() else ""
    many = len(ways.threads) > 1
    return [
        Entry(
            run.resolve().name, str(run), "run", "fp32", "keras", digest, size, Kind.REFERENCE,
            threads=threads, shows_threads=many,
        )
        for threads in ways.threads
    ]  # fmt: skip


def _find_run(release: Path, index: Mapping[str, Any], reference: str | None) -> tuple[Path | None, str]:
    """The reference's run folder, or None and why."""
    if reference == "none":
        return None, ""
    if reference is not None:
        if not Path(reference).is_dir():
            raise InputError(f"--reference {reference} is not a folder", "a run folder, or: none")
        return Path(reference), ""
    named = index.get("run")
    if not isinstance(named, str) or not named:
        return None, "The Keras reference was not measured: nothing here names its run folder (give --reference RUN)."
    is_folder: Callable[[Path], bool] = Path.is_dir
    for candidate in filter(is_folder, (release / named, Path(named))):
        return candidate, ""
    return None, f"The Keras reference was not measured: its run folder {named} is not here (give --reference RUN)."


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _count(value: object) -> int:
    """A number of an index, which may be anything; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
