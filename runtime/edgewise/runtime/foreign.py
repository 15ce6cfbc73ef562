"""Files of other makers: what has to be known to run them, found out where it can be and asked for where it cannot.

Found out: the layout by the place of the 1 or 3 channels in the input's shape; the size likewise; how whole numbers
are scaled, from the tensors; normalization and class names, from TFLite metadata; whether the output is probabilities
already, from what the network says about three probe pictures. Everything else is asked for by an error that names
the option.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgewise.runtime.engines.base import Engine
from edgewise.runtime.foreign_input import LAYOUTS, WHOLE, find_input
from edgewise.runtime.foreign_output import find_output
from edgewise.runtime.interface import Interface
from edgewise.runtime.labels import class_names, read_labels
from edgewise.runtime.modelfile import CheckedFile
from edgewise.runtime.normalization import Normalization, parse_normalization
from edgewise.runtime.tflitefile import TfliteMetadata, tflite_metadata
from edgewise.spec import Format, InputError, InputSpec, Manifest, ModelError, Scheme
from edgewise.spec.opening import Opening

CHOICES = {
    "--input-layout": tuple(LAYOUTS),
    "--color-order": ("rgb", "bgr"),
    "--output-kind": ("probabilities", "logits"),
}
"""What may be said with these options."""


@dataclass(frozen=True)
class Said:
    """What is known before the network is loaded."""

    labels: tuple[str, ...]
    source: str  # of the labels, for error messages
    normalization: Normalization | None  # None: nothing is known


def what_is_said(file: CheckedFile, opening: Opening) -> Said:
    """Collect what the user and the file say, without loading the file.

    Raises:
        InputError: an option that is none, or a file of labels that cannot be read.
        ModelError: nothing names the classes, or the file's metadata is damaged.
    """
    for option, value in zip(CHOICES, (opening.input_layout, opening.color_order, opening.output_kind), strict=True):
        if value is not None and value not in CHOICES[option]:
            raise InputError(f"{option} {value}", " or ".join(CHOICES[option]))
    known = tflite_metadata(file.content, str(file.path)) if file.format is Format.TFLITE else TfliteMetadata()
    labels, source = _labels(file, known, opening)
    normalization = known.normalization if opening.normalize is None else parse_normalization(opening.normalize)
    return Said(labels, source, normalization)


def _labels(file: CheckedFile, known: TfliteMetadata, opening: Opening) -> tuple[tuple[str, ...], str]:
    if opening.labels is not None:
        return read_labels(opening.labels), f"--labels {opening.labels}"
    if known.labels:
        source = f"the list of labels in {file.path}"
        return class_names(known.labels, source), source
    raise ModelError(
        f"{file.path} carries no Edgewise manifest, and nothing says what its classes are called",
        "a file made by `edgewise export`, or --labels FILE with a class name a line",
        "add --labels FILE",
    )


def describe(file: CheckedFile, engine: Engine, said: Said, opening: Opening) -> tuple[Manifest, Interface]:
    """Find out how a loaded network is fed and read; runs it on the probe pictures.

    Raises:
        ModelError: it is no image classifier, or something cannot be found out; the message names the option.
        InputError: an option that contradicts the network.
    """
    name = str(file.path)
    taken = find_input(engine, name, said.normalization, opening)
    reading, labels = find_output(engine, taken, said.labels, said.source, name, opening)
    whole = {engine.inputs[0].dtype, engine.outputs[reading.output].dtype} & set(WHOLE)
    manifest = Manifest(
        name=file.path.stem,
        labels=labels,
        input=InputSpec(taken.height, taken.width),
        scheme=Scheme.INT8 if whole else Scheme.FP32,
        provenance={"foreign": True},
    )
    return manifest, Interface(taken.feed, reading)
