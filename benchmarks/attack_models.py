"""Damage a model file in many ways, and see whether any of it ends the process of a user who opens it.

    python benchmarks/attack_models.py RELEASE/clothes-int8.tflite RELEASE/clothes-int8.onnx --out attack.json

Each file is damaged 500 times as it is, when its digest no longer fits, and 500 times with manifest and digest taken
out, as a file of another maker that is named with --labels. A process, as a user would start it, opens the damaged
files one after the other and classifies a picture with those that open. It must never end by a signal, and never see
another exception than Edgewise's own. Needs the export extra, to take manifests out of ONNX files.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

HEAD = 64
"""Bytes in which a change of the header is made."""

MOST_BITS = 8

AT_ONCE = 25
"""Damaged files that are on the disk at the same time, and that one process opens."""


def mutations(content: bytes, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Damaged copies, each with what was done to it; the same for the same seed.

    In turn: bits flipped anywhere; bits flipped in the first and last 4 KiB, where files keep their structure; an end
    cut off; the header changed; a run of bytes overwritten; a 32-bit number replaced by an extreme one.
    """
    chance = random.Random(seed)  # noqa: S311 - the same damage every time
    kinds = (_bits, _bits_outside, _cut, _header, _overwritten, _extreme)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        damaged = bytearray(content)
        while damaged == content:
            kind(damaged, chance)
        yield kind.__name__.strip("_"), bytes(damaged)


def _flip(content: bytearray, places: list[int], chance: random.Random) -> None:
    for place in places:
        content[place] ^= 1 << chance.randrange(8)


def _bits(content: bytearray, chance: random.Random) -> None:
    _flip(content, [chance.randrange(len(content)) for _ in range(chance.randint(1, MOST_BITS))], chance)


def _bits_outside(content: bytearray, chance: random.Random) -> None:
    reach = min(4096, len(content))
    places = [chance.randrange(-reach, reach) for _ in range(chance.randint(1, MOST_BITS))]
    _flip(content, [place % len(content) for place in places], chance)


def _cut(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def _header(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.randint(1, 4)):
        content[chance.randrange(min(HEAD, len(content)))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))


def _overwritten(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    length = min(chance.choice((4, 16, 64, 1024)), len(content) - start)
    content[start : start + length] = chance.choice((b"\0", b"\xff", b"\x80")) * length


def _extreme(content: bytearray, chance: random.Random) -> None:
    reach = min(chance.choice((4096, len(content))), len(content) - 4)
    place = chance.randrange(max(reach, 1)) & ~3
    content[place : place + 4] = chance.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)).to_bytes(4, "little")


def without_manifest(path: Path) -> bytes:
    """The file as another maker would have written it."""
    content = path.read_bytes()
    if path.suffix == ".tflite":
        return content[content.index(b"TFL3", 8) - 4 : content.index(b"PK\x03\x04")]
    import onnx

    model = onnx.load_from_string(content)
    del model.metadata_props[:]
    return bytes(model.SerializeToString())


def tell(data: object) -> None:
    """A line of JSON on standard output, at once."""
    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()


def use(folder: Path, names: list[str], labels: str, backend: str) -> None:
    """What the user's process does: open each file and classify a picture; one line of JSON for each."""
    import numpy as np

    from edgewise.runtime import Classifier
    from edgewise.spec import EdgewiseError

    for name in names:
        try:
            classifier = Classifier.open(
                folder / name, backend=backend or None, labels=Path(labels) if labels else None, threads=1
            )
            size = classifier.manifest.input
            classifier.predict(np.full((size.height, size.width, 3), 90, np.uint8))
            answer = "answered"
        except EdgewiseError as error:
            answer = "tried out" if "tried out" in error.got else "refused"
            answer += ": " + error.got.splitlines()[0].replace(str(folder / name), "it")[:120]
        except Exception as error:  # noqa: BLE001 - what must not come
            answer = f"another exception: {type(error).__name__}: {error}"
        tell([name, answer])


def attack(folder: Path, names: list[str], labels: str, backend: str) -> dict[str, str]:
    """What came of each file; a user's process that ends is started again with the next file."""
    found: dict[str, str] = {}
    while left := [name for name in names if name not in found]:
        command = [sys.executable, __file__, "--user", str(folder), "--labels", labels, "--backend", backend, *left]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        found.update(json.loads(line) for line in done.stdout.splitlines())
        if done.returncode and len(left) > (got := len(done.stdout.splitlines())):
            found[left[got]] = f"the user's process ended with {done.returncode}"
    return found


def main() -> None:
    """Attack files, and tell what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--backend", default="")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--labels", default="", help=argparse.SUPPRESS)
    parser.add_argument("--user", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.user:
        use(options.user, options.files, options.labels, options.backend)
        return
    results = []
    for path in map(Path, options.files):
        for foreign in (False, True):
            results.append(_one(path, foreign, options))
            tell({key: value for key, value in results[-1].items() if key != "answers"})
    if options.out:
        options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")
    if any(result["crashes"] or result["other_exceptions"] for result in results):
        sys.exit(1)


def _one(path: Path, foreign: bool, options: argparse.Namespace) -> dict[str, object]:
    from edgewise.runtime.modelfile import read_model

    content = without_manifest(path) if foreign else path.read_bytes()
    start = time.time()
    found: dict[str, str] = {}
    numbered = enumerate(mutations(content, options.count, options.seed))
    while part := list(islice(numbered, AT_ONCE)):
        with tempfile.TemporaryDirectory() as name:
            folder, labels = Path(name), Path(name) / "labels.txt"
            labels.write_text("\n".join(read_model(path).manifest.labels), encoding="utf-8")
            files = {f"{number:04}-{kind}{path.suffix}": damaged for number, (kind, damaged) in part}
            for file, damaged in files.items():
                (folder / file).write_bytes(damaged)
            found |= attack(folder, list(files), str(labels) if foreign else "", options.backend)
    kinds = Counter(answer.split(":")[0] for answer in found.values())
    return {
        "file": path.name,
        "as": "of another maker" if foreign else "our own",
        "files": len(found),
        "crashes": sum(answer.startswith("the user's process ended") for answer in found.values()),
        "other_exceptions": kinds["another exception"],
        "came_of_it": dict(kinds),
        "reasons": dict(Counter(answer.partition(": ")[2][:60] for answer in found.values()).most_common(12)),
        "seconds": round(time.time() - start, 1),
        "answers": found,
    }


if __name__ == "__main__":
    main()
