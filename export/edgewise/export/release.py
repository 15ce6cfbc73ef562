"""Export a run: convert, prove each file on held-out photos, and put what passes into a folder that checks itself."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.export.calibration import METHOD, typical
from edgewise.export.conversion import onnx_fp32, onnx_int8, tflite_fp32, tflite_int8
from edgewise.export.folding import fold
from edgewise.export.gate import HeldOut, Verdict, judge
from edgewise.export.metadata import embed_onnx, embed_tflite
from edgewise.export.shelf import Shelf
from edgewise.runtime.backends import open_backend, usable_cores
from edgewise.runtime.modelfile import read_model
from edgewise.spec import Calibration, Format, GateError, InputError, InputSpec, Manifest, Scheme
from edgewise.spec.progress import Lines, Reporter
from edgewise.train.dataset import report_skipped
from edgewise.train.pixels import Pixels, class_balanced, digest_of, load_pixels
from edgewise.train.reference import KerasReference
from edgewise.train.run import METRICS, Run
from edgewise.train.temperature import TemperatureScaling, read_scaling

CALIBRATION_PHOTOS = 300
MIN_HELD_OUT, MAX_HELD_OUT = 200, 1000
"""The gate takes all test photos up to the maximum, and validation photos too where they are fewer than the minimum."""

EMBED: dict[Format, Callable[[bytes, Manifest], bytes]] = {Format.TFLITE: embed_tflite, Format.ONNX: embed_onnx}


@dataclass(frozen=True)
class Variant:
    """One file to make."""

    format: Format
    scheme: Scheme

    def file_name(self, name: str) -> str:
        """For example ``clothes-int8.tflite``."""
        return f"{name}-{self.scheme.value}.{self.format.value}"


@dataclass(frozen=True)
class Exported:
    """One file that was made, and how it did."""

    variant: Variant
    path: Path
    bytes: int
    sha256: str
    verdict: Verdict


@dataclass(frozen=True)
class Request:
    """What to export."""

    run: Path
    out: Path
    name: str  # first part of the file names
    variants: tuple[Variant, ...]
    data: Path | None = None  # where the run's photos are now; None: where they were
    max_drop: float = 1.0  # percentage points of top-1 that a quantized file may lose
    overwrite: bool = False
    threads: int | None = None
    jobs: int = 1  # formats made at the same time, each in a process with memory of its own

    def __post_init__(self) -> None:
        if not self.name or self.name != os.path.basename(self.name) or not self.name.isprintable():
            raise InputError(f"--name {self.name!r}", "the first part of a file name, without folders")


def export(request: Request, reporter: Reporter) -> tuple[Exported, ...]:
    """Export variants of a run. Every file is proven on held-out photos before it gets its name.

    Args:
        request: what to export.
        reporter: is told about the progress.

    Returns:
        The files that passed.

    Raises:
        GateError: a file did not pass; it is kept under a name with ``rejected``, and the others are complete.
        OutputError: a file exists and may not be replaced, or cannot be written.
        DataError, ModelError: the run or its photos cannot be used.
        ConversionError: a conversion tool failed.
    """
    shelf = Shelf(request.out)
    shelf.check_free([variant.file_name(request.name) for variant in request.variants], overwrite=request.overwrite)
    formats = dict.fromkeys(variant.format for variant in request.variants)
    parallel = request.jobs > 1 and len(formats) > 1
    done = _make_in_children(request, formats) if parallel else _make(request, reporter)
    passed = tuple(item for item in done if item.verdict.refusal is None)
    shelf.publish(request.name, str(request.run.resolve()), [_index_row(item) for item in passed])
    refused = [f"{item.path}: {item.verdict.refusal}" for item in done if item.verdict.refusal]
    if refused:
        raise GateError(
            f"{len(refused)} of {len(done)} files did not pass the gate:\n  " + "\n  ".join(refused),
            do="train longer, or allow more with --max-drop",
        )
    return passed


def _make(request: Request, reporter: Reporter) -> list[Exported]:
    exporter, shelf = _Exporter(request, reporter), Shelf(request.out)
    return [exporter.make(variant, shelf) for variant in request.variants]


def _make_in_children(request: Request, formats: Iterable[Format]) -> list[Exported]:
    """One process per format: their conversions share nothing but the network, and keep one core each busy."""
    # Two processes that both take all cores wait for each other more than they compute.
    threads = max((request.threads or usable_cores()) // request.jobs, 1)
    parts = [
        replace(request, threads=threads, variants=tuple(v for v in request.variants if v.format is f)) for f in formats
    ]
    with ProcessPoolExecutor(min(request.jobs, len(parts)), mp_context=get_context("spawn")) as pool:
        return [item for made in pool.map(_make, parts, [Lines()] * len(parts)) for item in made]


def variants(formats: Sequence[Format], schemes: Sequence[Scheme]) -> tuple[Variant, ...]:
    """All combinations, in the order in which they share work."""
    return tuple(dict.fromkeys(Variant(model_format, scheme) for model_format in formats for scheme in schemes))


class _Exporter:
    """Makes the variants of one run; what they share is made once."""

    def __init__(self, request: Request, reporter: Reporter) -> None:
        self.request, self.reporter = request, reporter
        self.run = Run.open(request.run)
        if not self.run.finished:
            reporter.say(f"{request.run}: training has not come to its end; the best weights so far are exported")
        self.reference = KerasReference(self.run, request.threads)

    @cached_property
    def network(self) -> Any:
        return fold(self.reference.model)

    @cached_property
    def scaling(self) -> TemperatureScaling:
        return read_scaling(self.run.path / METRICS)

    @cached_property
    def calibration(self) -> Pixels:
        photos = self.run.photos("train", self.request.data)
        chosen = class_balanced(photos, CALIBRATION_PHOTOS, self.run.config.recipe.seed)
        pixels = self._load(chosen, "calibration photos")
        return pixels.subset(typical(self.onnx_float, pixels.images[:], self.request.threads))

    @cached_property
    def held_out(self) -> HeldOut:
        test = list(self.run.photos("test", self.request.data))
        validation = [] if len(test) >= MIN_HELD_OUT else list(self.run.photos("validation", self.request.data))
        split = "+".join(name for name, part in (("test", test), ("validation", validation)) if part)
        chosen = class_balanced(test + validation, MAX_HELD_OUT, self.run.config.recipe.seed)
        pixels = self._load(chosen, "held-out photos")
        self.reporter.say(f"running the Keras network on {len(pixels.labels)} {split} photos")
        return HeldOut(pixels, split, self.reference.run(pixels.images[:]))

    @cached_property
    def onnx_float(self) -> bytes:
        return onnx_fp32(self.network)

    def make(self, variant: Variant, shelf: Shelf) -> Exported:
        name = variant.file_name(self.request.name)
        held_out = self.held_out
        self.reporter.say(f"making {name}")
        begin = time.monotonic()
        content = self._convert(variant)
        manifest = self._manifest(variant, name)
        embed = EMBED[variant.format]
        with shelf.draft(name) as draft:
            draft.write_bytes(embed(content, manifest))
            backend = open_backend(read_model(draft), threads=self.request.threads)
            verdict = judge(backend, held_out, variant.scheme, self.request.max_drop, self.reporter, name)
        manifest = replace(manifest, accuracy=verdict.accuracy, parity=verdict.parity)
        path = shelf.place(name, embed(content, manifest), rejected=verdict.refusal is not None)
        model = read_model(path)
        megabytes, seconds = len(model.content) / 1e6, time.monotonic() - begin
        self.reporter.say(f"{path.name}: {megabytes:.1f} MB in {seconds:.0f} s, {verdict.line()}")
        return Exported(variant, path, len(model.content), model.sha256, verdict)

    def _convert(self, variant: Variant) -> bytes:
        if variant.format is Format.TFLITE:
            if variant.scheme is Scheme.FP32:
                return tflite_fp32(self.network)
            return tflite_int8(self.network, self.calibration.images[:])
        if variant.scheme is Scheme.FP32:
            return self.onnx_float
        return onnx_int8(self.onnx_float, self.calibration.images[:])

    def _manifest(self, variant: Variant, name: str) -> Manifest:
        size = self.run.config.architecture.image_size
        calibration = None
        if variant.scheme is not Scheme.FP32:
            examples = self.calibration.examples
            calibration = Calibration(len(examples), digest_of(examples), METHOD)
        return Manifest(
            name=name.rpartition(".")[0],
            labels=self.run.labels,
            input=InputSpec(size, size),
            scheme=variant.scheme,
            temperature=self.scaling.temperature,
            unknown_threshold=self.scaling.unknown_threshold,
            calibration=calibration,
            provenance=provenance(self.run),
        )

    def _load(self, examples: Sequence[Any], name: str) -> Pixels:
        pixels = load_pixels(examples, self.run.config.architecture.image_size, name=name, reporter=self.reporter)
        report_skipped(pixels.skipped, self.reporter)
        return pixels


def provenance(run: Run) -> dict[str, Any]:
    """Where a network came from, as plain data without paths of the machine that trained it."""
    config = run.config
    source = config.recipe.weights
    return {
        "backbone": config.architecture.backbone,
        "preprocessing": config.architecture.known.preprocessing,
        "blocks": {stage: list(numbers) for stage, numbers in config.architecture.blocks.items()},
        "weights": source if source in ("imagenet", "none") else Path(source).name,
        "weights_sha256": config.weights_sha256,
        "data_sha256": config.data_sha256,
        "seed": config.recipe.seed,
        "val_split": config.selection.val_split,
        "test_split": config.selection.test_split,
        "versions": {
            **{
                name: version(name) for name in ("edgewise", "tensorflow", "tf_keras", "tf2onnx", "onnx", "onnxruntime")
            },
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
    }


def _index_row(item: Exported) -> dict[str, Any]:
    return {
        "file": item.path.name,
        "format": item.variant.format.value,
        "scheme": item.variant.scheme.value,
        "bytes": item.bytes,
        "sha256": item.sha256,
        "top1": item.verdict.accuracy.top1,
        "photos": item.verdict.accuracy.photos,
        "split": item.verdict.accuracy.split,
        "parity": asdict(item.verdict.parity),
    }


def as_json(exported: Sequence[Exported]) -> str:
    """The index rows of exported files as JSON."""
    return json.dumps([_index_row(item) for item in exported], indent=2)
