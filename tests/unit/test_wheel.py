"""The wheel that is made of an installation: complete, installable, and refused where the installation is damaged."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import subprocess
import sys
import zipfile
from importlib.metadata import PathDistribution, distribution
from pathlib import Path

import pytest

from edgewise.export.wheel import build_wheel
from edgewise.spec import EdgewiseError

ROOT = Path(__file__).resolve().parents[2]
PORTIONS = ("runtime", "train", "export", "benchmarks")


def contents(wheel: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def installation(folder: Path, *more: str) -> PathDistribution:
    """An installation as pip leaves it: packages, metadata, a script, compiled files, and a RECORD of all of it."""
    files = {
        "edgewise/runtime/__init__.py": '"""Runtime."""\n',
        "edgewise/export/board/install.sh.in": "#!/bin/sh\n",
        "edgewise/runtime/__pycache__/__init__.cpython-311.pyc": "",
        "edgewise-9.8.dist-info/METADATA": "Metadata-Version: 2.4\nName: edgewise\nVersion: 9.8\n\nText\n",
        "edgewise-9.8.dist-info/entry_points.txt": "[console_scripts]\nedgewise = edgewise.cli.main:main\n",
        "edgewise-9.8.dist-info/licenses/LICENSE": "Apache\n",
        "edgewise-9.8.dist-info/WHEEL": "Wheel-Version: 1.0\n",
        "edgewise-9.8.dist-info/INSTALLER": "pip\n",
        "edgewise-9.8.dist-info/direct_url.json": '{"url": "file:///home/someone"}',
        "edgewise-9.8.dist-info/RECORD": "",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    record = "".join(f"{name},,\n" for name in [*files, "../../../bin/edgewise", "other/file.py", *more])
    (folder / "edgewise-9.8.dist-info/RECORD").write_text(record, encoding="utf-8")
    return PathDistribution(folder / "edgewise-9.8.dist-info")


def test_an_installation_is_repacked(tmp_path: Path) -> None:
    wheel = build_wheel(installation(tmp_path))
    assert wheel.name == "edgewise-9.8-py3-none-any.whl"
    assert wheel.version == "9.8"
    found = contents(wheel.content)
    assert sorted(found) == [
        "edgewise-9.8.dist-info/METADATA",
        "edgewise-9.8.dist-info/RECORD",
        "edgewise-9.8.dist-info/WHEEL",
        "edgewise-9.8.dist-info/entry_points.txt",
        "edgewise-9.8.dist-info/licenses/LICENSE",
        "edgewise/export/board/install.sh.in",
        "edgewise/runtime/__init__.py",
    ]
    assert b"Tag: py3-none-any\n" in found["edgewise-9.8.dist-info/WHEEL"]
    assert not any(b"someone" in content for content in found.values())
    assert build_wheel(installation(tmp_path)).content == wheel.content


def test_the_checkout_is_packed_whole() -> None:
    found = contents(build_wheel().content)
    code = {
        path.relative_to(ROOT / top).as_posix(): path.read_bytes()
        for top in PORTIONS
        for path in (ROOT / top / "edgewise").rglob("*.py")
    }
    assert {name: content for name, content in found.items() if name.endswith(".py")} == code
    assert {"edgewise/export/board/pins.json", "edgewise/spec/py.typed"} <= set(found)
    assert "edgewise/__init__.py" not in found
    assert not any("__pycache__" in name or "tests" in name.split("/") for name in found)


def test_the_record_lists_every_file_with_its_digest() -> None:
    found = contents(build_wheel().content)
    (record,) = (name for name in found if name.endswith("/RECORD"))
    rows = {name: (digest, size) for name, digest, size in csv.reader(io.StringIO(found[record].decode()))}
    assert rows.pop(record) == ("", "")
    assert rows == {
        name: ("sha256=" + base64.urlsafe_b64encode(hashlib.sha256(c).digest()).decode().rstrip("="), str(len(c)))
        for name, c in found.items()
        if name != record
    }


def test_the_wheel_is_imported_without_the_checkout(tmp_path: Path) -> None:
    wheel = build_wheel()
    (tmp_path / wheel.name).write_bytes(wheel.content)
    with zipfile.ZipFile(tmp_path / wheel.name) as archive:
        archive.extractall(tmp_path / "site")
    code = f"""
import sys
sys.path[:] = [{str(tmp_path / "site")!r}] + [path for path in sys.path if not path.startswith({str(ROOT)!r} + "/")
                                             or "site-packages" in path]
from importlib.metadata import distribution
import edgewise.export.targets as targets
from edgewise.spec import Format
print(targets.__file__, len(targets.pins(targets.Target.JETSON, Format.ONNX)) > 0)
print([entry.value for entry in distribution("edgewise").entry_points if entry.name == "edgewise"])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    lines = run.stdout.splitlines()
    assert lines[0] == f"{tmp_path}/site/edgewise/export/targets.py True", run.stderr
    assert lines[1] == "['edgewise.cli.main:main']"
    assert wheel.version == distribution("edgewise").version


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(EdgewiseError, match=r"damaged: .*gone\.py: No such file.*\nExpected: .*\nDo: install Edgewise"):
        build_wheel(installation(tmp_path, "edgewise/spec/gone.py"))


def test_an_installation_without_a_list_is_refused(tmp_path: Path) -> None:
    installed = installation(tmp_path)
    (tmp_path / "edgewise-9.8.dist-info/RECORD").unlink()
    with pytest.raises(EdgewiseError, match="does not list its files\nExpected: METADATA and RECORD"):
        build_wheel(installed)
