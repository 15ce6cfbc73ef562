"""What there is to measure: the variants of a release on each backend, and the network they were made from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgewise.benchmarks.results import Entry, Kind
from edgewise.spec import EdgewiseError, Format, InputError, ModelError
from edgewise.spec.files import sha256_file

INDEX = "index.json"
SUFFIXES = tuple(f".{format_.value}" for format_ in Format)


@dataclass(frozen=True)
class Plan:
    """The rows to come."""

    name: str
    entries: tuple[Entry, ...]
    labels: Mapping[str, tuple[str, ...]]  # by path of each readable model file
    remarks: tuple[str, ...]  # why something that could be expected is not among the entries
    run: Path | None = None  # the run folder that the files were made from, where it is known


def make_plan(release: Path, reference: str | None) -> Plan:
    """Find what to measure.

    Args:
        release: release folder, folder of model files, or one model file.
        reference: run folder; ``"none"``; None for the one that the release's index names.

    Raises:
        InputError: ``release`` has no model file, or ``reference`` is not a folder.
        ModelError: the index cannot be read, or not one model file can.
    """
    index = _read_index(release)
    files = _model_files(release, index)
    entries: list[Entry] = []
    labels: dict[str, tuple[str, ...]] = {}
    for path, digest in files:
        found, known = _variants(path, digest)
        entries += found
        if known:
            labels[str(path)] = known
    if not labels:
        raise ModelError(f"no model file of {release} can be read; the first: {entries[0].error}")
    run, remark = _find_run(release, index, reference)
    if run is not None:
        entries.append(_reference(run))
    name = str(index.get("name") or release.resolve().stem)
    return Plan(name, tuple(entries), labels, (remark,) if remark else (), run)


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


def _model_files(release: Path, index: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """Each model file with the SHA-256 that the index gives for it, or an empty text."""
    if index:
        # Only the last part of a name counts, so that an index cannot reach outside of its folder.
        return [(release / Path(str(item["file"])).name, str(item.get("sha256", ""))) for item in index["variants"]]
    if release.is_file():
        return [(release, "")]
    if not release.is_dir():
        raise InputError(f"{release} does not exist", "a release folder or a model file")
    there = (path for path in sorted(release.iterdir()) if path.suffix in SUFFIXES and path.is_file())
    files = [(path, "") for path in there if ".rejected" not in path.suffixes]
    if not files:
        raise InputError(
            f"{release} has no model file",
            f"a release folder, or files that end in {' or '.join(SUFFIXES)}",
            "make one with: edgewise export release RUN",
        )
    return files


def _variants(path: Path, digest: str) -> tuple[list[Entry], tuple[str, ...]]:
    """One entry per backend and the labels; where the file cannot be read, one entry with the error and no labels."""
    try:
        return _readable(path, digest)
    except EdgewiseError as error:
        return [Entry(path.name, str(path), path.suffix[1:], "", "", "", _size(path), error=str(error))], ()


def _readable(path: Path, digest: str) -> tuple[list[Entry], tuple[str, ...]]:
    from edgewise.runtime.backends import backends_for
    from edgewise.runtime.modelfile import read_model

    if digest and path.is_file() and sha256_file(path) != digest:
        raise ModelError(
            f"{path} is not the file that {INDEX} describes: its SHA-256 differs", do="copy or export the release again"
        )
    model = read_model(path)
    entries = [
        Entry(
            name=path.name,
            path=str(path),
            format=model.format.value,
            scheme=model.manifest.scheme.value,
            backend=backend,
            sha256=model.sha256,
            bytes=len(model.content),
        )
        for backend in backends_for(model.format)
    ]
    return entries, tuple(model.manifest.labels)


def _reference(run: Path) -> Entry:
    weights = run / "model.weights.h5"
    return Entry(run.resolve().name, str(run), "run", "fp32", "keras", "", _size(weights), Kind.REFERENCE)


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
