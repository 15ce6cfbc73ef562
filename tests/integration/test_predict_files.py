"""``edgewise predict`` on everything that can be named, and with everything that can be done with photos."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

DATA = Path(__file__).parent.parent / "data"
MODEL = DATA / "tiny.onnx"
PROGRAM = (sys.executable, "-c", "import sys; from edgewise.cli.main import main; sys.exit(main())", "predict")
COLORS = ("red", "green", "blue")

Edgewise = Callable[..., int]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a folder of four photos, the third of which is damaged."""
    monkeypatch.chdir(tmp_path)
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, color in zip("abd", COLORS, strict=True):
        shutil.copy(DATA / f"{color}.png", photos / f"{name}.png")
    (photos / "c.png").write_bytes(b"no picture")
    return tmp_path


def rows(text: str) -> list[tuple[str, str]]:
    return [(row["path"], row["label"]) for row in map(json.loads, text.splitlines())]


def tree(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


# Sources


def test_paths_on_standard_input_are_answered_as_they_come(folder: Path) -> None:
    command = [*PROGRAM, str(MODEL), "-", "--json"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, bufsize=1) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        for name, label in (("photos/a.png", "red"), ("photos/no.png", None), ("photos/b.png", "green")):
            process.stdin.write(name + "\n")
            # The answer comes while the next path is still awaited.
            assert rows(process.stdout.readline()) == [(name, label)]
        process.stdin.close()
        assert process.wait(60) == 0
        assert "photos that could not be read: 1 of 3" in process.stderr.read()


def test_names_with_line_ends_come_between_zero_bytes(
    folder: Path, edgewise: Edgewise, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(DATA / "blue.png", folder / "line\nend.png")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"line\nend.png\0photos/a.png\0")))
    assert edgewise("predict", MODEL, "-", "-0", "--json") == 0
    assert rows(capsys.readouterr().out) == [("line\nend.png", "blue"), ("photos/a.png", "red")]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert edgewise("predict", MODEL, "-") == 1
    assert "error: there was nothing to classify" in capsys.readouterr().err


def test_lists_and_videos(folder: Path, edgewise: Edgewise, capsys: pytest.CaptureFixture[str]) -> None:
    writer = cv2.VideoWriter("clip.avi", cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(6):
        writer.write(np.full((48, 64, 3), (0, 0, 255) if number < 3 else (255, 0, 0), np.uint8))
    writer.release()
    Path("list.txt").write_text("photos/b.png\nclip.avi\n")
    assert edgewise("predict", MODEL, "list.txt", "--json", "--every", 2) == 0
    assert rows(capsys.readouterr().out) == [
        ("photos/b.png", "green"),
        ("clip.avi#frame=0", "red"),
        ("clip.avi#frame=2", "red"),
        ("clip.avi#frame=4", "blue"),
    ]


@pytest.fixture
def site(folder: Path) -> Iterator[str]:
    handler = partial(SimpleHTTPRequestHandler, directory=folder / "photos")
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://me:secret@127.0.0.1:{server.server_port}"
        server.shutdown()


def test_urls_need_to_be_allowed(site: str, edgewise: Edgewise, capsys: pytest.CaptureFixture[str]) -> None:
    masked = site.replace("me:secret", "***")
    urls = [f"{site}/{name}.png" for name in "abcx"]
    shown = [f"{masked}/{name}.png" for name in "abcx"]
    assert edgewise("predict", MODEL, *urls) == 1
    assert "is a URL\nExpected: files\nDo: allow URLs with --allow-url" in capsys.readouterr().err
    assert edgewise("predict", MODEL, *urls, "--allow-private") == 1
    assert "--allow-private without --allow-url" in capsys.readouterr().err
    assert edgewise("predict", MODEL, *urls, "--allow-url", "--json") == 1
    refused = capsys.readouterr()
    assert rows(refused.out) == [(url, None) for url in shown]
    assert refused.out.count("127.0.0.1 is an address of this machine or network") == 4
    assert edgewise("predict", MODEL, *urls, "--allow-url", "--allow-private", "--json") == 0
    allowed = capsys.readouterr()
    assert rows(allowed.out) == list(zip(shown, ("red", "green", None, None), strict=True))
    assert f"{shown[2]} is not a picture that can be read" in allowed.out
    assert "the server answers 404" in allowed.out
    assert "secret" not in "".join((*refused, *allowed))


# Answers and files


def test_only_named_classes(folder: Path, edgewise: Edgewise, capsys: pytest.CaptureFixture[str]) -> None:
    assert edgewise("predict", MODEL, "photos/a.png", "--json", "--classes", "green, blue") == 0
    (row,) = map(json.loads, capsys.readouterr().out.splitlines())
    assert [score["label"] for score in row["top"]] in (["green", "blue"], ["blue", "green"])
    assert row["label"] == row["top"][0]["label"]
    assert edgewise("predict", MODEL, "photos/a.png", "--classes", "pink") == 1
    assert "--classes: the model does not know 'pink'\nExpected: some of blue" in capsys.readouterr().err


def test_photos_are_sorted_and_drawn_on(folder: Path, edgewise: Edgewise, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # the second time finds no more photos than the first
        words = ("--sort-into", "photos/sorted", "--save-annotated", "photos/drawn")
        assert edgewise("predict", MODEL, "photos", "--json", *words) == 0
        assert len(capsys.readouterr().out.splitlines()) == 4
    assert tree(folder / "photos" / "sorted") == [
        "blue/d-2.png", "blue/d.png", "green/b-2.png", "green/b.png", "red/a-2.png", "red/a.png",
    ]  # fmt: skip
    assert tree(folder / "photos" / "drawn") == ["a-2.jpg", "a.jpg", "b-2.jpg", "b.jpg", "d-2.jpg", "d.jpg"]
    assert (folder / "photos/sorted/red/a.png").read_bytes() == (DATA / "red.png").read_bytes()
    assert edgewise("predict", MODEL, "photos/a.png", "--sort-into", "links", "--sort-with", "symlink") == 0
    assert (folder / "links/red/a.png").resolve() == folder / "photos/a.png"


def test_parquet(
    folder: Path, edgewise: Edgewise, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow, of the extra 'parquet', is not installed")
    assert edgewise("predict", MODEL, "photos", "--out", "out.parquet") == 0
    table = pq.read_table("out.parquet").to_pylist()
    assert [row["label"] for row in table] == ["red", "green", None, "blue"]
    assert edgewise("predict", MODEL, "photos", "--format", "parquet") == 1
    assert "--format parquet without --out" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "edgewise.runtime.parquet")
    assert edgewise("predict", MODEL, "photos", "--out", "other.parquet") == 1
    assert "Do: pip install 'edgewise[parquet]'" in capsys.readouterr().err


# Interruptions


def start(*words: object) -> subprocess.Popen[str]:
    """A run that waits for its paths, so that it can be ended wherever the test likes."""
    pipe = subprocess.PIPE
    return subprocess.Popen([*PROGRAM, *map(str, words)], stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def feed(process: subprocess.Popen[str], names: list[str], part: Path) -> None:
    """Give it paths, and wait until each has its row on the disk."""
    assert process.stdin
    process.stdin.write("".join(f"{name}\n" for name in names))
    process.stdin.flush()
    while not part.exists() or part.read_bytes().count(b"\n") < len(names) + 1:
        assert process.poll() is None
        time.sleep(0.01)


def without_times(content: bytes, form: str) -> Any:
    if form == "csv":
        table = list(csv.DictReader(content.decode().splitlines()))
        return [{key: value for key, value in row.items() if key != "milliseconds"} for row in table]
    if form == "jsonl":
        return [{**json.loads(line), "milliseconds": None} for line in content.splitlines()]
    return content


def test_a_killed_run_goes_on_and_loses_and_repeats_nothing(
    folder: Path, edgewise: Edgewise, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ["photos/a.png", "photos/c.png", "photos/b.png", "photos/a.png", "photos/d.png"]
    Path("paths.lst").write_text("\n".join(names))
    part = folder / "out.csv.part"
    with start(MODEL, "-", "--out", "out.csv", "--sort-into", "sorted") as process:
        feed(process, names[:3], part)
        process.send_signal(signal.SIGKILL)
    assert not Path("out.csv").exists()
    part.write_bytes(part.read_bytes()[:-20])  # what came last is torn
    assert edgewise("predict", MODEL, "paths.lst", "--out", "out.csv") == 1
    assert "error: out.csv.part is left of an interrupted run\nDo: go on with it by --resume" in capsys.readouterr().err
    shutil.copytree("sorted", "interrupted")
    for form in ("jsonl", "txt", "csv"):
        shutil.copy(part, f"out.{form}.part") if form != "csv" else None
        shutil.rmtree("sorted")
        shutil.copytree("interrupted", "sorted")
        words = ("--out", f"out.{form}", "--sort-into", "sorted", "--resume")
        assert edgewise("predict", MODEL, "paths.lst", *words) == 0
        assert "going on after 2 rows" in capsys.readouterr().err
        assert edgewise("predict", MODEL, "paths.lst", "--out", f"whole.{form}") == 0
        resumed, whole = (Path(f"{name}.{form}").read_bytes() for name in ("out", "whole"))
        assert without_times(resumed, form) == without_times(whole, form)
        assert tree(folder / "sorted") == ["blue/d.png", "green/b.png", "red/a-2.png", "red/a.png"]
    assert [name for name in os.listdir() if name.endswith(".part")] == []


def test_ctrl_c_tells_how_to_go_on_and_another_model_is_refused(
    folder: Path, edgewise: Edgewise, capsys: pytest.CaptureFixture[str]
) -> None:
    with start(MODEL, "-", "--out", "out.csv", "--sort-into", "sorted") as process:
        feed(process, ["photos/a.png"], folder / "out.csv.part")
        process.send_signal(signal.SIGINT)
        assert process.stderr
        assert process.stderr.read().strip() == "stopped: rows that are kept: 1; the same command with --resume goes on"
        assert process.wait() == 130
    words = ("predict", DATA / "tiny.tflite", "photos/a.png", "photos/b.png", "--out", "out.csv", "--resume")
    assert edgewise(*words) == 1
    assert "out.csv.part was begun with another model" in capsys.readouterr().err
    assert edgewise("predict", MODEL, *words[2:]) == 1  # the photo that is done would lie nowhere
    assert f"out.csv.part was begun with another --sort-into: {os.path.abspath('sorted')}" in capsys.readouterr().err
    assert edgewise(*words[:-1], "--overwrite") == 0
    assert [name for name in os.listdir() if name.startswith("out")] == ["out.csv"]
    assert edgewise(*words) == 1
    assert "out.csv exists already" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["a.PNG", "film.mp4", "net.tflite"])
def test_answers_do_not_take_the_place_of_a_photo_or_a_model(
    folder: Path, edgewise: Edgewise, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert edgewise("predict", MODEL, "photos", "--out", name, "--overwrite") == 1
    assert f"--out {name} has the name of a photo, a video or a model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "missing"),
    [
        (("--resume",), "--resume without --out"),
        (("--overwrite",), "--overwrite without --out"),
        (("--sort-with", "copy"), "--sort-with copy without --sort-into"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(
    words: tuple[str, ...], missing: str, folder: Path, edgewise: Edgewise, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edgewise("predict", MODEL, "photos", *words) == 1
    assert missing in capsys.readouterr().err


# Hostile files


def test_a_folder_made_to_break_it_gives_a_row_for_each_file(
    tmp_path: Path, edgewise: Edgewise, capsys: pytest.CaptureFixture[str]
) -> None:
    """A small part of what benchmarks/attack_images.py does."""
    spec = spec_from_file_location("attack_images", Path(__file__).parents[2] / "benchmarks" / "attack_images.py")
    assert spec
    assert spec.loader
    attack = module_from_spec(spec)
    spec.loader.exec_module(attack)
    attack.make(tmp_path, 200, seed=1, large=False)
    wanted = [path for path in attack.expected(tmp_path) if os.path.basename(path) != "closed"]
    wanted += [str(tmp_path / "closed" / "in-it.png")] if os.access(tmp_path / "closed", os.R_OK) else []
    try:
        assert edgewise("predict", MODEL, tmp_path, "--json") == 0
    finally:
        (tmp_path / "closed").chmod(0o755)
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert attack.wrong_rows(found, wanted) == []
    assert len(found) == 200
    assert {row["label"] for row in found} > {None}


# What a terminal shows, and what a machine can bear


def test_a_terminal_shows_how_many_how_fast_and_how_long(folder: Path) -> None:
    for number in range(2000):
        os.link(folder / "photos/a.png", folder / f"photos/{number}.png")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm"}
    command = [*PROGRAM, str(MODEL), "photos", "--out", "answers.csv"]
    with subprocess.Popen(command, stderr=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 1 << 16):
                shown += part
        except OSError:  # EIO: the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"photos .* \d+/2004 +\d+/s +0:00:\d\d left (0:00:\d\d|-:--:--)", text), text[-2000:]
    assert re.search(r"[\r\n]2,?004 photos in \d+\.\d s: [\d.,]+ images/s on onnxruntime cpu fp32", text)


def test_a_picture_that_would_fill_the_memory_is_refused_and_takes_none(folder: Path) -> None:
    """A PNG of 40,000 x 40,000 grey pixels, 1.6 GB once it is decoded, in 1.6 MB."""
    side = 40_000

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    packer = zlib.compressobj(9)
    line = bytes(1 + side)
    packed = b"".join(packer.compress(line) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    (folder / "photos/bomb.png").write_bytes(bomb)
    peak = "import atexit; atexit.register(lambda: sys.stderr.write(open('/proc/self/status').read()))"
    program = [sys.executable, "-c", f"import sys; from edgewise.cli.main import main; {peak}; main()", "predict"]
    done = subprocess.run(
        [*program, str(MODEL), "photos", "--out", "answers.jsonl"], stderr=subprocess.PIPE, text=True, check=True
    )
    told = {row["path"]: row["error"] for row in map(json.loads, Path("answers.jsonl").read_text().splitlines())}
    assert "has 40000 x 40000 = 1,600,000,000 pixels" in told["photos/bomb.png"]
    assert told["photos/a.png"] is None
    if found := re.search(r"^VmHWM:\s+(\d+) kB", done.stderr, re.M):
        assert int(found[1]) < 600 * 1024
