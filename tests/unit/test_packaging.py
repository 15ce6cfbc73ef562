"""`edgewise package`: what is in the zip, that names cannot break it, and what it refuses."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgewise.export.handout import escaped, readme
from edgewise.export.packaging import INSTALL, SUMS, Package, package, plain_name, template
from edgewise.export.targets import BOARDS, Target
from edgewise.export.wheel import build_wheel
from edgewise.runtime.modelfile import read_model
from edgewise.spec import InputError, ModelError, OutputError
from edgewise.spec.files import sha256

DATA = Path(__file__).parent.parent / "data"
AWKWARD = ["it's a model", 'say "hi"', "50% off", "schöner Käfer", "$HOME `id` ; rm", "-rf", "..", "a\nb", "100%n%h"]


def unpacked(made: Package, folder: Path) -> Path:
    with zipfile.ZipFile(made.path) as archive:
        archive.extractall(folder)
    return folder / made.folder


def packed(tmp_path: Path, model: Path = DATA / "tiny.tflite", target: Target = Target.RASPBERRY_PI) -> Path:
    return unpacked(package(model, target, tmp_path / "p.zip"), tmp_path / "out")


@pytest.fixture
def edgewise(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a command line in this process; gives its exit code."""
    from edgewise.cli.main import main

    def run(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["edgewise", *map(str, words)])
        try:
            main()
        except SystemExit as stopped:
            return int(stopped.code or 0)
        return 0

    return run


@pytest.mark.parametrize("model", ["tiny.tflite", "tiny.onnx"])
@pytest.mark.parametrize("target", Target)
def test_the_zip_holds_what_a_board_needs(tmp_path: Path, model: str, target: Target) -> None:
    made = package(DATA / model, target, tmp_path / "p.zip")
    folder = unpacked(made, tmp_path / "out")
    names = sorted(path.name for path in folder.iterdir())
    (wheel,) = folder.glob("edgewise-*-py3-none-any.whl")
    others = ["README.md", "SHA256SUMS", "classify.py", "edgewise-live.service", "install.sh", "requirements.txt"]
    assert names == sorted([*others, wheel.name, model])
    assert list(made.names) == names
    assert made.folder == f"tiny-{target.value}"
    assert made.sha256 == sha256(made.path.read_bytes())
    assert made.bytes == made.path.stat().st_size
    assert read_model(folder / model).content == (DATA / model).read_bytes()
    assert "@{" not in "".join((folder / name).read_text(encoding="utf-8") for name in others)


def test_equal_input_gives_an_equal_zip(tmp_path: Path) -> None:
    first = package(DATA / "tiny.onnx", Target.JETSON, tmp_path / "a.zip")
    second = package(DATA / "tiny.onnx", Target.JETSON, tmp_path / "b.zip")
    assert first.path.read_bytes() == second.path.read_bytes()
    with zipfile.ZipFile(first.path) as archive:
        entries = archive.infolist()
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    modes = {entry.filename.rpartition("/")[2]: stat.filemode(entry.external_attr >> 16) for entry in entries}
    assert modes.pop(INSTALL) == "-rwxr-xr-x"
    assert set(modes.values()) == {"-rw-r--r--"}


def test_the_sums_cover_every_other_file(tmp_path: Path) -> None:
    folder = packed(tmp_path)
    sums = {name: digest for digest, name in (line.split("  ") for line in (folder / SUMS).read_text().splitlines())}
    assert sums == {path.name: sha256(path.read_bytes()) for path in folder.iterdir() if path.name != SUMS}


@pytest.mark.parametrize("stem", AWKWARD)
def test_a_name_can_break_nothing(tmp_path: Path, stem: str) -> None:
    model = tmp_path / f"{stem}.tflite"
    shutil.copy(DATA / "tiny.tflite", model)
    made = package(model, Target.GENERIC, tmp_path / "p.zip")
    folder = unpacked(made, tmp_path / "out")
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*\.tflite", made.model)
    assert read_model(folder / made.model).manifest.labels == ("blue", "green", "red")
    assert subprocess.run(["sh", "-n", folder / INSTALL], check=False).returncode == 0
    ast.parse((folder / "classify.py").read_text(encoding="utf-8"))
    assert f'live {made.model} --camera 0 --no-window --json"' in (folder / "edgewise-live.service").read_text()
    (line,) = [line for line in (folder / "README.md").read_text("utf-8").splitlines() if "was named" in line]
    assert line == f"| was named | {escaped(model.name)} |"


def test_a_plain_name_is_kept() -> None:
    assert plain_name(Path("x/clothes-int8_v1.2.tflite")) == "clothes-int8_v1.2.tflite"
    assert plain_name(Path("M.ONNX")) == "M.onnx"
    assert plain_name(Path("日本.onnx")) == "model.onnx"
    assert len(plain_name(Path("a" * 200 + ".onnx"))) == 105


def test_labels_are_shown_letter_by_letter() -> None:
    assert escaped("a|b") == r"a\|b"
    assert escaped("<b>*x*</b> [l](u)") == r"\<b\>\*x\*\<\/b\> \[l\]\(u\)"
    assert escaped("a\nb`") == r"a\\nb\`"
    assert escaped("Käfer, T-shirt") == "Käfer, T-shirt"


def test_the_readme_tells_the_facts_of_the_manifest() -> None:
    model = read_model(DATA / "tiny.onnx")
    manifest = replace(
        model.manifest,
        name="a | b",
        labels=("<i>red</i>", "gr|een", "b*l*ue"),
        temperature=1.25,
        unknown_threshold=0.4,
    )
    values = readme(replace(model, manifest=manifest), "m.onnx", Target.JETSON, build_wheel())
    text = template("README.md", **values).decode()
    for fact in (
        "# a \\| b\n",
        "on an NVIDIA Jetson",
        "\\<i\\>red\\<\\/i\\>, gr\\|een, b\\*l\\*ue.\n",
        "| input | 32 x 32 pixels, RGB;",
        "| accuracy (top-1) | 100.00% on 300 held-out photos",
        "| scheme | fp32 |",
        "| temperature | 1.25,",
        "| answers unknown | below a probability of 0.4 |",
        "It was never installed or run on an NVIDIA Jetson",
        "names the other one, `ai-edge-litert`, as missing",
    ):
        assert fact in text
    unmeasured = replace(
        model, manifest=replace(manifest, accuracy=None, parity=None, labels=("a", *map(str, range(300))))
    )
    values = readme(unmeasured, "m.onnx", Target.GENERIC, build_wheel())
    assert "| accuracy (top-1) | not measured |" in values["facts"]
    assert values["labels"].endswith("198, and 101 more.")
    assert "Nothing is pinned" in values["verified"]


@pytest.mark.parametrize("target", Target)
def test_the_unit_is_one_that_systemd_takes(tmp_path: Path, target: Target) -> None:
    unit = packed(tmp_path, target=target) / "edgewise-live.service"
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign] # systemd tells case apart
    parsed.read(unit, encoding="utf-8")
    service = parsed["Service"]
    assert service["ExecStart"].startswith('/bin/sh -c "exec .venv/bin/edgewise live tiny.tflite --camera 0 ')
    assert service["SupplementaryGroups"] == "video"
    assert service["Restart"] == "always"
    assert service.get("PrivateDevices", "no") == "no"  # it would hide the camera
    if shutil.which("systemd-analyze"):
        checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_the_options_of_the_unit_are_those_of_the_command() -> None:
    import typer

    from edgewise.cli.main import app

    live = typer.main.get_command(app).commands["live"]  # type: ignore[attr-defined]
    known = {option for parameter in live.params for option in (*parameter.opts, *parameter.secondary_opts)}
    (command,) = re.findall(r"ExecStart=.*", template("edgewise-live.service", model="m.onnx").decode())
    options = re.findall(r" (--[a-z-]+)", command)
    assert options == ["--camera", "--no-window", "--json"]
    assert set(options) <= known


def test_the_script_classifies_in_ten_lines(tmp_path: Path) -> None:
    folder = packed(tmp_path, DATA / "tiny.onnx", Target.GENERIC)
    script = folder / "classify.py"
    assert len(script.read_text(encoding="utf-8").splitlines()) == 10
    run = subprocess.run([sys.executable, script, DATA / "red.png"], capture_output=True, text=True, check=False)
    assert re.fullmatch(r".*red\.png: red \d+\.\d% \(then \w+ \d+\.\d%, \w+ \d+\.\d%\)\n", run.stdout), run.stderr
    nothing = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert nothing.returncode == 1
    assert "classify.py PHOTO..." in nothing.stderr


def install(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", folder / INSTALL], capture_output=True, text=True, check=False, env={**os.environ, **variables}
    )


def test_the_installer_refuses_another_machine(tmp_path: Path) -> None:
    other = Target.LINUX_X86 if os.uname().machine == "aarch64" else Target.RASPBERRY_PI
    folder = packed(tmp_path, target=other)
    run = install(folder)
    assert run.returncode == 1
    assert f"it was made for {BOARDS[other].platform} with Python 3.1" in run.stderr
    assert f"This machine: Linux {os.uname().machine}" in run.stderr or sys.platform != "linux"
    assert "another --target" in run.stderr
    assert not (folder / ".venv").exists()


def test_the_installer_refuses_a_damaged_folder(tmp_path: Path) -> None:
    folder = packed(tmp_path, target=Target.GENERIC)
    with (folder / "tiny.tflite").open("ab") as file:
        file.write(b"x")
    run = install(folder, PYTHON=sys.executable)
    assert run.returncode == 1
    assert "error: this folder does not hold what was packed; unpack the zip again" in run.stderr
    assert not (folder / ".venv").exists()


# What is refused


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "p.zip"
    out.write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"p\.zip exists already\nDo: add --overwrite"):
        package(DATA / "tiny.tflite", Target.GENERIC, out)
    assert out.read_bytes() == b"mine"
    package(DATA / "tiny.tflite", Target.GENERIC, out, overwrite=True)
    assert zipfile.is_zipfile(out)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("name", ["p", "p.tar.gz", "tiny.tflite"])
def test_another_name_than_that_of_a_zip(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"is not the name of a zip\nExpected: the name of a file that ends in \.zip"):
        package(DATA / "tiny.tflite", Target.GENERIC, tmp_path / name, overwrite=True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_the_place_of_the_zip(tmp_path: Path) -> None:
    (tmp_path / "p.zip").mkdir()
    with pytest.raises(InputError, match=r"p\.zip is a folder\nExpected: "):
        package(DATA / "tiny.tflite", Target.GENERIC, tmp_path / "p.zip", overwrite=True)


def test_a_damaged_model_leaves_nothing(tmp_path: Path) -> None:
    model = tmp_path / "m.tflite"
    model.write_bytes((DATA / "tiny.tflite").read_bytes()[:-200])
    with pytest.raises(ModelError, match="is damaged"):
        package(model, Target.GENERIC, tmp_path / "p.zip")
    assert list(tmp_path.iterdir()) == [model]


# The command


def test_the_command_says_where_it_is(
    tmp_path: Path, edgewise: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = tmp_path / "a b.onnx", tmp_path / "p.zip"
    shutil.copy(DATA / "tiny.onnx", model)
    assert edgewise("package", model, "--target", "linux-x86", "--out", out) == 0
    printed = capsys.readouterr()
    assert printed.out == f"{out}  {out.stat().st_size / 1e6:.1f} MB  SHA-256 {sha256(out.read_bytes())}\n"
    assert printed.err == (
        "the model is called a-b.onnx in it\nnext, on the board: unzip it, cd a-b-linux-x86, sh install.sh\n"
    )
    assert edgewise("package", model, "--target", "linux-x86", "--out", out) == 1
    assert "add --overwrite" in capsys.readouterr().err
    assert edgewise("package", model, "--target", "toaster", "--out", out) == 2
    assert "raspberry-pi" in capsys.readouterr().err


def test_it_needs_no_training_framework(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from edgewise.export.packaging import package
from edgewise.export.targets import Target
package(Path({str(DATA / "tiny.tflite")!r}), Target.GENERIC, Path({str(tmp_path / "p.zip")!r}))
print(sorted({{"tensorflow", "tf_keras", "keras", "onnx", "jinja2", "onnxruntime"}} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert result.stdout == "[]\n", result.stderr
