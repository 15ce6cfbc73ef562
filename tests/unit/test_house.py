"""The house rules: layout, sizes, documented commands, and files that must agree with each other."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

ROOT = Path(__file__).resolve().parents[2]
PORTIONS = {
    "spec": "runtime/edgewise/spec",
    "runtime": "runtime/edgewise/runtime",
    "cli": "runtime/edgewise/cli",
    "train": "train/edgewise/train",
    "export": "export/edgewise/export",
    "benchmarks": "benchmarks/edgewise/benchmarks",
}
MOST_LINES_OF_A_FILE = 300
MOST_LINES_OF_A_FUNCTION = 60
LONGER_FOR_A_REASON: dict[str, str] = {}  # "path" or "path:function" -> why


def source_files() -> list[Path]:
    return sorted(path for folder in PORTIONS.values() for path in (ROOT / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_namespace_has_no_init_file() -> None:
    found = [
        path
        for top in ("runtime", "train", "export", "benchmarks")
        for path in (ROOT / top).glob("edgewise/__init__.py")
    ]
    assert found == []


@pytest.mark.parametrize("portion", PORTIONS)
def test_each_portion_is_a_typed_package_with_a_docstring(portion: str) -> None:
    folder = ROOT / PORTIONS[portion]
    assert (folder / "py.typed").is_file()
    assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))


@pytest.mark.parametrize("portion", PORTIONS)
def test_every_name_in_all_exists(portion: str) -> None:
    for init in (ROOT / PORTIONS[portion]).rglob("__init__.py"):
        package = "edgewise." + ".".join((portion, *init.parent.relative_to(ROOT / PORTIONS[portion]).parts))
        module = importlib.import_module(package)
        names = getattr(module, "__all__", ())
        assert [name for name in names if not hasattr(module, name)] == [], package
        assert sorted(names) == sorted(set(names)), package


def too_long(path: Path) -> Iterator[tuple[str, int]]:
    """Yields the file, and each function in it, that has more lines than the house allows."""
    source = path.read_text(encoding="utf-8")
    if (lines := len(source.splitlines())) > MOST_LINES_OF_A_FILE:
        yield relative(path), lines
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > MOST_LINES_OF_A_FUNCTION:
                yield f"{relative(path)}:{node.name}", lines


def test_files_and_functions_stay_short() -> None:
    found = dict(entry for path in source_files() for entry in too_long(path))
    assert {name: lines for name, lines in found.items() if name not in LONGER_FOR_A_REASON} == {}
    assert [name for name in LONGER_FOR_A_REASON if name not in found] == []


def test_readme_starts_with_make() -> None:
    assert "make demo" in text("README.md")
    assert "make test" in text("README.md")


def test_python_versions_agree() -> None:
    """The installer takes what the training extra can be installed on; the package itself reaches further."""
    lowest, highest = re.findall(r"\((3, \d+)\)", text(".ci/install"))
    low, high = (int(version.split(", ")[1]) for version in (lowest, highest))
    candidates = re.search(r"for candidate in python3 (.*); do", text(".ci/install"))
    requires = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', text("pyproject.toml"))
    assert candidates
    assert candidates[1].split() == [f"python3.{minor}" for minor in range(high, low - 1, -1)]
    assert requires
    assert int(requires[1]) == low
    assert int(requires[2]) > high
    assert set(re.findall(r"python_version < '3\.(\d+)'", text("pyproject.toml"))) == {str(high + 1)}
    for name in ("Makefile", "README.md", "CONTRIBUTING.md"):
        assert (str(low), str(high)) in re.findall(r"3\.(\d+)\s*(?:-|–|to)\s*3\.(\d+)", text(name)), name


def test_the_workflow_runs_what_anyone_can_run() -> None:
    workflow = yaml.safe_load(text(".github/workflows/ci.yml"))
    steps = [step.get("run") for step in workflow["jobs"]["everything"]["steps"]]
    assert "bash .ci/run" in steps
    assert workflow["permissions"] == {"contents": "read"}
    assert "secrets." not in text(".github/workflows/ci.yml")
    assert [f"step make {target}" in text(".ci/run") for target in ("install", "lint", "test")] == [True] * 3


def documented_commands() -> list[str]:
    """Every ``edgewise ...`` line of the README's code blocks and every such inline code span."""
    readme = text("README.md").replace("\\\n", " ")
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", readme, flags=re.MULTILINE | re.DOTALL)
    lines = [line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", readme, flags=re.MULTILINE | re.DOTALL))
    commands = [re.sub(r"^\.venv/bin/", "", line) for line in lines + spans]
    return [re.split(r"\s[#|>&]", command)[0] for command in commands if command.startswith("edgewise ")]


def unknown_words(words: list[str], command: Any) -> list[str]:
    """The sub-command or options in ``words`` that ``command``, a command of the application, does not have."""
    while words and getattr(command, "commands", None):
        if words[0].startswith("-"):
            break
        if words[0] not in command.commands:
            return [words[0]]
        command, words = command.commands[words[0]], words[1:]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)} | {
        "--help"
    }
    options = [found for word in words for found in re.findall(r"^\[?(--?[a-z][a-z0-9-]*)", word)]
    return [option for option in options if option not in known]


def test_every_documented_command_exists() -> None:
    from edgewise.cli.main import app

    root = typer.main.get_command(app)
    commands = documented_commands()
    assert {"demo", "train", "evaluate", "export", "predict", "live", "benchmark"} <= {
        line.split()[1] for line in commands
    }
    wrong = {line: unknown for line in commands if (unknown := unknown_words(line.split()[1:], root))}
    assert wrong == {}
