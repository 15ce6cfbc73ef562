"""What each package lets out: everything in ``__all__`` is there, and nothing else is public."""

from __future__ import annotations

import inspect
import pkgutil
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

import edgewise
from edgewise import runtime, spec

PACKAGES = sorted(f"edgewise.{entry.name}" for entry in pkgutil.iter_modules(edgewise.__path__) if entry.ispkg)
MODULES = sorted(entry.name for entry in pkgutil.walk_packages(edgewise.__path__, "edgewise.") if not entry.ispkg)


def public_names(module: ModuleType) -> set[str]:
    """Names without underscore that are neither modules nor ``from __future__``."""
    names = {name for name in dir(module) if not name.startswith("_") and name != "annotations"}
    return {name for name in names if not inspect.ismodule(getattr(module, name))}


def test_the_four_portions_and_the_leaf_make_one_namespace() -> None:
    assert [f"edgewise.{name}" for name in ("benchmarks", "cli", "export", "runtime", "spec", "train")] == PACKAGES
    assert getattr(edgewise, "__file__", None) is None  # no portion owns it


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_what_is_public(name: str) -> None:
    package = import_module(name)
    declared = list(getattr(package, "__all__", []))
    assert public_names(package) == set(declared)
    assert declared == sorted(declared, key=lambda word: (not word.isupper(), word))
    assert len(set(declared)) == len(declared)


def test_the_names_that_users_build_on() -> None:
    assert set(runtime.__all__) == {
        "UNKNOWN", "Bulk", "Classifier", "Opening", "Prediction", "Row", "Score", "open_bulk",
    }  # fmt: skip
    assert {"EdgewiseError", "ModelError", "PhotoError", "Manifest", "InputSpec"} <= set(spec.__all__)


@pytest.mark.parametrize("name", [*PACKAGES, *MODULES])
def test_every_module_says_what_it_is_for(name: str) -> None:
    module = import_module(name)
    assert (module.__doc__ or "").strip(), name


@pytest.mark.parametrize("name", MODULES)
def test_every_name_in_all_of_a_module_is_there(name: str) -> None:
    module = import_module(name)
    assert [word for word in getattr(module, "__all__", []) if not hasattr(module, word)] == []


@pytest.mark.parametrize("package", [runtime, spec])
def test_what_users_see_is_documented(package: ModuleType) -> None:
    for name in package.__all__:
        value = getattr(package, name)
        if not inspect.isclass(value):
            continue
        assert inspect.getdoc(value), name
        methods = inspect.getmembers(value, lambda member: inspect.isfunction(member) or isinstance(member, property))
        for method, member in methods:
            if not method.startswith("_") and method in vars(value):
                assert inspect.getdoc(member), f"{name}.{method}"


def test_the_leaf_and_the_packages_import_nothing_heavy() -> None:
    code = f"""
import sys
for name in {[name for name in PACKAGES if name != "edgewise.runtime"]!r}:
    __import__(name)
print(sorted({{"numpy", "cv2", "tensorflow", "tf_keras", "onnx", "onnxruntime", "matplotlib"}} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.stdout == "[]\n", result.stderr
