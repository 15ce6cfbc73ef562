"""What is pinned for each kind of board, and the requirements that come of it."""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path

import pytest

from edgewise.export.targets import (
    BACKENDS,
    BOARDS,
    Target,
    base_requirements,
    download_bytes,
    pin_date,
    pins,
    requirement_name,
    requirements,
)
from edgewise.spec import Format

ROOT = Path(__file__).resolve().parents[2]
PINNED = [target for target in Target if target is not Target.GENERIC]
METADATA = """Metadata-Version: 2.4
Name: edgewise
Requires-Dist: ai-edge-litert>=2.1
Requires-Dist: numpy>=1.26
Requires-Dist: onnxruntime>=1.20
Requires-Dist: tomli>=2; python_version < '3.11'
Provides-Extra: train
Requires-Dist: numpy>=2; extra == 'train'
Requires-Dist: tensorflow<2.22,>=2.21; (python_version < '3.14') and extra == 'train'

Requires-Dist: not-a-header
"""


def number(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))


@pytest.mark.parametrize("form", Format)
def test_only_the_base_and_one_backend_are_needed(form: Format) -> None:
    backend = "ai-edge-litert>=2.1" if form is Format.TFLITE else "onnxruntime>=1.20"
    others = ["numpy>=1.26", "tomli>=2; python_version < '3.11'"]
    assert sorted(base_requirements(METADATA, form)) == sorted([backend, *others])
    assert requirements(Target.GENERIC, form, METADATA).splitlines()[1:] == base_requirements(METADATA, form)


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("target", PINNED)
def test_every_requirement_is_pinned_for_every_python(target: Target, form: Format) -> None:
    metadata = distribution("edgewise").read_text("METADATA") or ""
    needed = base_requirements(metadata, form)
    assert len(needed) >= 5
    for python in BOARDS[target].pythons:
        versions = {pin.name: pin.version for pin in pins(target, form) if python in pin.pythons}
        for need in needed:
            (lowest,) = re.findall(r">=([0-9.]+)", need)
            assert number(versions[requirement_name(need)]) >= number(lowest), need
        (absent,) = (package for model_format, package in BACKENDS.items() if model_format is not form)
        assert absent not in versions


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("target", PINNED)
def test_every_pin_is_a_wheel_for_its_machine_and_python(target: Target, form: Format) -> None:
    machine = BOARDS[target].platform.removeprefix("linux-")
    for python in BOARDS[target].pythons:
        found = [pin for pin in pins(target, form) if python in pin.pythons]
        assert len({pin.name for pin in found}) == len(found)
        for pin in found:
            *_, interpreter, _, platform = pin.file.removesuffix(".whl").split("-")
            assert platform == "any" or platform.endswith(f"_{machine}"), pin.file
            own = f"cp{python.replace('.', '')}"
            assert "py3" in interpreter.split(".") or own in interpreter.split(".") or "abi3" in pin.file, pin.file
            assert re.fullmatch("[0-9a-f]{64}", pin.sha256)


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("target", PINNED)
def test_requirements_name_a_version_with_digests_for_every_python(target: Target, form: Format) -> None:
    text = requirements(target, form, METADATA)
    lines = text.replace("\\\n", " ").splitlines()[1:]
    for python in BOARDS[target].pythons:
        taken = [line for line in lines if ";" not in line or f'python_version == "{python}"' in line]
        names = [line.partition("==")[0] for line in taken]
        assert sorted(names) == sorted(pin.name for pin in pins(target, form) if python in pin.pythons)
        assert all(re.search(r"^\S+==\S+ .*--hash=sha256:[0-9a-f]{64}$", line) for line in taken)


def test_a_package_that_all_pythons_take_has_no_marker() -> None:
    lines = requirements(Target.JETSON, Format.ONNX, METADATA).splitlines()
    (rich,) = (line for line in lines if line.startswith("rich=="))
    assert rich.endswith(" \\")
    assert ";" not in rich
    marked = [line for line in lines if line.startswith("numpy==")]
    assert len(marked) == 2
    assert all(line.count("python_version") == 1 for line in marked)


def test_what_is_downloaded_is_counted_for_the_worst_python() -> None:
    found = pins(Target.RASPBERRY_PI, Format.TFLITE)
    sums = [sum(pin.bytes for pin in found if python in pin.pythons) for python in ("3.11", "3.13")]
    assert download_bytes(Target.RASPBERRY_PI, Format.TFLITE) == max(sums)
    assert 50e6 < max(sums) < 300e6
    assert download_bytes(Target.GENERIC, Format.TFLITE) == 0
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", pin_date())


def test_the_pythons_are_those_that_the_package_takes() -> None:
    requires = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', (ROOT / "pyproject.toml").read_text("utf-8"))
    assert requires
    supported = [f"3.{minor}" for minor in range(int(requires[1]), int(requires[2]))]
    assert list(BOARDS[Target.GENERIC].pythons) == supported
    assert all(set(BOARDS[target].pythons) <= set(supported) for target in PINNED)


def test_names_are_compared_as_registries_do() -> None:
    assert requirement_name("Backports_StrEnum>=1; x") == "backports-strenum"
    assert requirement_name("") == ""
