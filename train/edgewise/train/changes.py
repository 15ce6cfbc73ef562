"""What has become of the photos of a run since it began, in words."""

from __future__ import annotations

from pathlib import Path

from edgewise.runtime.folders import shortened
from edgewise.spec import ModelError
from edgewise.train.dataset import Dataset
from edgewise.train.run import PHOTOS, photo_rows


def changes(run: Path, dataset: Dataset, fraction: float) -> str:
    """Name the photos that differ from those a run began with, as far as its list tells.

    A photo that only has another name is not named: it changes nothing.

    Args:
        run: the run folder.
        dataset: what is there now.
        fraction: share of the training photos that the run uses; below 1 its list lacks some.

    Returns:
        ``": "`` and the changes; nothing where the list is not there, or does not hold the photos that differ.
    """
    try:
        old = {row["path"]: row for row in photo_rows(run / PHOTOS)}
    except ModelError:
        return ""
    now = [example for part in dataset.splits.values() for example in part]
    new = {str(example.path.relative_to(dataset.root)): example.sha256 for example in now}
    labels = {example.sha256: example.label for example in now}
    known = {row["sha256"] for row in old.values()}
    kinds = {
        "with other content": [path for path, row in old.items() if new.get(path, row["sha256"]) != row["sha256"]],
        "of another class": [
            path for path, row in old.items() if labels.get(row["sha256"], row["label"]) != row["label"]
        ],
        "gone": [path for path, row in old.items() if path not in new and row["sha256"] not in labels],
        "new": [path for path, digest in new.items() if path not in old and digest not in known],
    }
    if fraction < 1:
        # A change of one photo makes the choice of others another one.
        kinds["gone"] = [path for path in kinds["gone"] if not (dataset.root / path).exists()]
        del kinds["new"]
    found = ", ".join(f"{len(paths)} {kind} ({shortened(sorted(paths), 3)})" for kind, paths in kinds.items() if paths)
    return f": {found}" if found else ""
