"""Let the source of ``edgewise live`` fail again and again, and see whether it comes back and what it costs.

    python benchmarks/attack_live.py MODEL --minutes 10 --fail-every 20

A stream on this machine fails in turn in three ways: the connection ends; it stays and nothing comes; it ends and new
ones are refused for two seconds. The program reads it as its users do, with a recording and a file of JSON lines, and
is watched from outside (/proc, so Linux only). At the end it gets SIGTERM. Checked:

- every fault was followed by frames again, and captured = classified + dropped over all of it;
- memory, threads, open files and child processes are no more at the end than after the first faults;
- it ended within two seconds, the recording can be played and the last JSON line is whole.

Exits with 1 where one of them does not hold.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2

PROGRAM = (sys.executable, "-c", "import sys; from edgewise.cli.main import main; sys.exit(main())")
ALLOWED_GROWTH_MB = 10.0  # what the allocators of Python and of the engine may still take after the first faults


def say(text: str) -> None:
    """Print one line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def footprint(pid: int) -> dict[str, float]:
    """Memory in MB, threads, open files and child processes of a process, as Linux counts them."""
    root = Path(f"/proc/{pid}")
    status = dict(re.findall(r"^(\w+):\s+(\d+)", (root / "status").read_text(), flags=re.MULTILINE))
    children = "".join(path.read_text() for path in root.glob("task/*/children")).split()
    return {
        "rss_mb": int(status["VmRSS"]) / 1024,
        "threads": int(status["Threads"]),
        "files": len(list((root / "fd").iterdir())),
        "children": len(children),
    }


def watch(process: subprocess.Popen[str], seconds: float, every: float) -> list[dict[str, float]]:
    """Look at the process regularly; stops early where it ends."""
    begun, seen = time.monotonic(), []
    while time.monotonic() - begun < seconds and process.poll() is None:
        seen.append({"seconds": time.monotonic() - begun, **footprint(process.pid)})
        time.sleep(every)
    return seen


def frames_of(video: Path) -> int:
    """How many frames of a video can be read; 0: it is not there or cannot be played."""
    capture, count = cv2.VideoCapture(str(video)), 0
    while capture.read()[0]:
        count += 1
    return count


def attack(model: Path, minutes: float, fail_every: float, number: signal.Signals) -> dict[str, Any]:
    """Run it once; what was seen."""
    server = subprocess.Popen(
        [sys.executable, "-m", "edgewise.benchmarks.stream", "30", str(fail_every)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as folder, server:
        address = server.stdout.readline().strip()
        video, lines, log = (Path(folder) / name for name in ("seen.avi", "answers.jsonl", "log.txt"))
        words = ["live", str(model), "--source", address, "--no-window", "--record", str(video), "--jsonl", str(lines)]
        with log.open("w") as messages:
            process = subprocess.Popen([*PROGRAM, *words], stdout=subprocess.DEVNULL, stderr=messages, text=True)
            seen = watch(process, minutes * 60, 1.0)
            asked = time.monotonic()
            process.send_signal(number)
            code = process.wait(timeout=60)
        ending = time.monotonic() - asked
        server.communicate("")
        last = json.loads(lines.read_bytes().splitlines()[-1])
        report = log.read_text()
        return {
            **summary(report),
            "signal": number.name,
            "exit code": code,
            "seconds to end": round(ending, 2),
            "recorded frames": frames_of(video),
            "json lines": len(lines.read_bytes().splitlines()),
            "last json line": last["frame"],
            "seen": seen,
        }


def summary(report: str) -> dict[str, int]:
    """The counts that the program tells."""
    captured, classified, dropped = map(
        int, re.findall(r"(\d+) frames captured = (\d+) classified \+ (\d+) dropped", report)[-1]
    )
    return {
        "lost": report.count("LOST: "),
        "back": report.count("back after "),
        "captured": captured,
        "classified": classified,
        "dropped": dropped,
    }


def growth(seen: list[dict[str, float]], fail_every: float) -> dict[str, tuple[float, float]]:
    """The most of each after the first faults (up to a third of the time), and of the last third."""
    third = seen[-1]["seconds"] / 3
    early = [entry for entry in seen if min(2 * fail_every, third / 2) <= entry["seconds"] <= third]
    late = [entry for entry in seen if entry["seconds"] >= 2 * third]
    keys = ("rss_mb", "threads", "files", "children")
    return {key: (max(entry[key] for entry in early), max(entry[key] for entry in late)) for key in keys}


def verdict(result: dict[str, Any], grown: dict[str, tuple[float, float]]) -> list[str]:
    """What does not hold."""
    checks = {
        "it did not come back after every fault": result["lost"] - result["back"] in (0, 1) and result["back"] > 0,
        "the counts do not add up": result["captured"] == result["classified"] + result["dropped"],
        "lines are missing": result["json lines"] == result["classified"],
        "it took more than 2 s to end": result["seconds to end"] <= 2,
        "it failed": result["exit code"] == 0,
        "the recording cannot be played": result["recorded frames"] > 0,
        "memory grows": grown["rss_mb"][1] - grown["rss_mb"][0] <= ALLOWED_GROWTH_MB,
    }
    checks |= {f"{key} grow": grown[key][1] <= grown[key][0] for key in ("threads", "files", "children")}
    return [trouble for trouble, holds in checks.items() if not holds]


def main() -> None:
    """Run it and print what was seen."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--fail-every", type=float, default=20)
    parser.add_argument("--signal", choices=("SIGTERM", "SIGINT"), default="SIGTERM")
    options = parser.parse_args()
    result = attack(options.model, options.minutes, options.fail_every, signal.Signals[options.signal])
    grown = growth(result.pop("seen"), options.fail_every)
    for key, value in result.items():
        say(f"{key:>16}: {value}")
    for key, (early, late) in grown.items():
        say(f"{key:>16}: {early:.1f} after the first faults, {late:.1f} at the end")
    troubles = verdict(result, grown)
    say("everything holds" if not troubles else "; ".join(troubles))
    sys.exit(1 if troubles else 0)


if __name__ == "__main__":
    main()
