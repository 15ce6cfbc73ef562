"""A release that several test files share, and exporting again without waiting for the converters."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from edgewise.train.reference import KerasReference


@pytest.fixture(scope="session")
def small_release(small_run: Path, once: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """All four files of ``small_run``, converted for real: ``small-fp32.tflite`` and so on. Do not change it."""
    from edgewise.export.release import Request, export
    from edgewise.export.variants import variants
    from edgewise.spec import Format, Scheme
    from edgewise.spec.progress import Silent

    # So little training makes no network that int8 could do justice to.
    made = variants(list(Format), [Scheme.FP32, Scheme.INT8])
    return once("release", lambda out: export(Request(small_run, out, "small", made, max_drop=100), Silent()))


@pytest.fixture(scope="session")
def reference(small_run: Path) -> KerasReference:
    """The Keras network of ``small_run``, loaded once."""
    from edgewise.train.reference import open_reference

    return open_reference(small_run)


@pytest.fixture
def converted(reference: KerasReference, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The network is loaded already."""
    from edgewise.export import preparation

    monkeypatch.setattr(preparation, "KerasReference", lambda *_: reference)
    return monkeypatch


@pytest.fixture
def run_copy(small_run: Path, tmp_path: Path) -> Path:
    """A copy of ``small_run`` in a folder ``run``, to be changed."""
    return shutil.copytree(small_run, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints", "*.png"))


@pytest.fixture
def edgewise(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a command line in this process, where TensorFlow is loaded already; gives its exit code."""
    from edgewise.cli.main import main

    def run(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["edgewise", *map(str, words)])
        try:
            main()
        except SystemExit as stopped:
            return int(stopped.code or 0)
        return 0

    return run


@pytest.fixture
def sums_fit() -> Callable[[Path], None]:
    """Asserts that every file of a release fits its sum, for the tool that users have and for Edgewise itself."""
    from edgewise.runtime.modelfile import read_model

    def check(folder: Path) -> None:
        listed = [line.split("  ")[1] for line in (folder / "SHA256SUMS").read_text().splitlines()]
        rows = json.loads((folder / "index.json").read_text())["variants"]
        assert [(row["file"], row["sha256"]) for row in rows] == [
            (name, read_model(folder / name).sha256) for name in listed
        ]
        if tool := shutil.which("sha256sum"):
            result = subprocess.run([tool, "-c", "SHA256SUMS"], cwd=folder, capture_output=True, text=True, check=False)
            assert result.returncode == 0, result.stdout + result.stderr

    return check
