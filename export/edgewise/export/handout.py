"""What the README of a package says: the board, the model's facts, and what was verified and what was not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from edgewise.export.targets import BACKENDS, BOARDS, Board, Target, download_bytes, pin_date
from edgewise.export.wheel import Wheel
from edgewise.runtime.modelfile import ModelFile
from edgewise.spec import Format, Scheme
from edgewise.spec.files import path_text
from edgewise.spec.printable import printable

_NUMBERS = {
    Scheme.INT8: ", 8-bit integers",
    Scheme.INT8_QAT: ", 8-bit integers",
    Scheme.W8A16: ", 8-bit weights and 16-bit activations",
}

MOST_LABELS = 200
"""Labels that are listed; `edgewise inspect` has all of them."""


def escaped(text: str) -> str:
    """Text from a file or name, so that Markdown shows it letter by letter and on one line."""
    return re.sub(r"([!-&(-+./:-@\[-`{-~])", r"\\\1", printable(text))


def readme(model: ModelFile, name: str, target: Target, wheel: Wheel) -> dict[str, str]:
    """The values for the template of the README.

    Args:
        model: the verified model.
        name: the name of its file in the package.
        target: kind of board.
        wheel: Edgewise, as it is packed.
    """
    board, manifest = BOARDS[target], model.manifest
    labels = [escaped(label) for label in manifest.labels[:MOST_LABELS]]
    rest = len(manifest.labels) - len(labels)
    (other,) = (package for form, package in BACKENDS.items() if form is not model.format)
    pinned = target is not Target.GENERIC
    megabytes = download_bytes(target, model.format) / 1e6
    return {
        "title": escaped(manifest.name),
        "board": board.title,
        "version": wheel.version,
        "model": name,
        "download": f" about {megabytes:.0f} MB of wheels" if pinned else " the newest wheels that fit",
        "needs": f"64-bit Python {_listed(board.pythons)}",
        "systems": board.systems,
        "offline": _offline(pinned=pinned),
        "facts": "\n".join(f"| {title} | {value} |" for title, value in _facts(model, name)),
        "labels": ", ".join(labels) + (f", and {rest} more" if rest else "") + ".",
        "verified": "\n".join(_verified(target, board, model.format)),
        "digests": " the digest of every wheel that it downloads" if pinned else " nothing: no version is pinned",
        "other": other,
    }


def _offline(*, pinned: bool) -> str:
    wheels = "the wheels that `requirements.txt` names" if pinned else "wheels of what `requirements.txt` names"
    return f"put {wheels} into a folder `wheels` here, then `PIP_NO_INDEX=1 PIP_FIND_LINKS=wheels sh install.sh`."


def _listed(words: Sequence[str], last: str = "or") -> str:
    return f"{', '.join(words[:-1])} {last} {words[-1]}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"


def _facts(model: ModelFile, name: str) -> Iterator[tuple[str, str]]:
    manifest, accuracy, parity = model.manifest, model.manifest.accuracy, model.manifest.parity
    yield "file", f"`{name}`, {_megabytes(len(model.content))}, {model.format.value}"
    if name != model.path.name:
        yield "was named", escaped(path_text(model.path.name))
    yield "SHA-256", f"`{model.sha256}`"
    spec = manifest.input
    yield "input", f"{spec.width} x {spec.height} pixels, {spec.color}; a photo of any size is brought to it"
    yield "classes", f"{len(manifest.labels)}"
    yield "scheme", manifest.scheme.value + _NUMBERS.get(manifest.scheme, "")
    if accuracy:
        measured = f"{accuracy.top1:.2%} on {accuracy.photos} {escaped(accuracy.split)} photos, when it was exported"
        yield "accuracy (top-1)", measured
    else:
        yield "accuracy (top-1)", "not measured"
    if parity:
        yield "agreement with the network", f"{parity.agreement:.2%} of the answers on {parity.photos} photos"
    yield "temperature", f"{manifest.temperature:g}, already in the probabilities"
    threshold = manifest.unknown_threshold
    yield "answers unknown", "never" if threshold is None else f"below a probability of {threshold:g}"


def _verified(target: Target, board: Board, form: Format) -> Iterator[str]:
    if target is Target.GENERIC:
        yield "- Nothing is pinned: the lower bounds are Edgewise's own. Whether your machine has wheels is not known."
        return
    yield (
        f"- Every version is pinned. For {board.platform.replace('-', ' ')} with Python "
        f"{_listed(board.pythons, 'and')}, wheels of all were found on {pin_date()}; nothing has to be compiled."
    )
    if target is Target.LINUX_X86:
        yield (
            f"- A package for this target with a small {form.value} model was installed in an empty folder, and "
            "classified a photo."
        )
    else:
        yield f"- It was never installed or run on {board.title}: there was none. Accuracy was measured elsewhere."
