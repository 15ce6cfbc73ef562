"""Export a run: make files, prove each on held-out photos, and put what passes into a folder that checks itself."""

from __future__ import annotations

import hashlib
import json
import os
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from edgewise.export.compression import Compression
from edgewise.export.conversion import convert
from edgewise.export.gate import Verdict, answers_of, judge
from edgewise.export.ladder import Attempt, attempts
from edgewise.export.layer_errors import draw, layer_errors
from edgewise.export.metadata import embed_onnx, embed_tflite
from edgewise.export.preparation import Preparation
from edgewise.export.provenance import manifest_of
from edgewise.export.rows import Proof, Row, latency, markdown, new_row, remarked
from edgewise.export.sharing import shared
from edgewise.export.shelf import TABLE, Shelf
from edgewise.export.variants import Variant
from edgewise.runtime.backends import Backend, open_backend
from edgewise.runtime.cpu import usable_cores
from edgewise.runtime.inspection import gzip_size
from edgewise.runtime.modelfile import read_model
from edgewise.spec import EdgewiseError, Format, GateError, InputError, Manifest, OutputError
from edgewise.spec.files import refuse_overwrite, sha256_file, write_bytes, write_text
from edgewise.spec.progress import Reporter
from edgewise.spec.quiet import quiet_tools
from edgewise.train.run import Run
from edgewise.train.temperature import threshold_keeping

EMBED: dict[Format, Callable[[bytes, Manifest], bytes]] = {Format.TFLITE: embed_tflite, Format.ONNX: embed_onnx}

SAME = 0.01
"""Largest difference of a probability up to which a file keeps the network's threshold for "unknown"."""

REPORTS = (".log", ".layers.json", ".layers.png")
"""Behind a file's name: what is said about a file that failed or lost too much."""


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
    held_out: int | None = None  # photos at most for the gate; None: all
    compression: Compression | None = None  # of all variants

    def __post_init__(self) -> None:
        if not self.name or self.name != os.path.basename(self.name) or not self.name.isprintable():
            raise InputError(f"--name {self.name!r}", "the first part of a file name, without folders")
        if not 0 <= self.max_drop <= 100:
            raise InputError(f"--max-drop {self.max_drop:g}", "percentage points from 0 to 100")


@dataclass(frozen=True)
class Refused:
    """A file that there is not, and why."""

    file: str
    reason: str
    unfaithful: bool = False  # it was made, and answers otherwise than the network


def export(request: Request, reporter: Reporter) -> tuple[Row, ...]:
    """Export variants of a run. Every file is proven on held-out photos before it gets its name.

    Args:
        request: what to export. Files that an earlier export made from the same network in the same way stay.
        reporter: is told about the progress.

    Returns:
        The files that were asked for and passed, those that were there already included.

    Raises:
        GateError: a file did not pass or could not be made; the others are complete.
        OutputError: a file exists that was made from something else, or the folder cannot be written.
        DataError, ModelError: the run or its photos cannot be used.
    """
    exporter = _Exporter(request, reporter)
    passed, refused = exporter.make_all()
    if refused:
        unfaithful = any(each.unfaithful for each in refused)
        files = "\n  ".join(f"{each.file}: {each.reason}" for each in refused)
        raise GateError(
            f"{len(refused)} of {len(request.variants)} files were not made:\n  {files}",
            do="train longer, or allow more with --max-drop" if unfaithful else "run it again: what was made stays",
        )
    return passed


class _Exporter:
    """Makes the variants of one run."""

    def __init__(self, request: Request, reporter: Reporter) -> None:
        self.request, self.reporter = request, reporter
        self.run = Run.open(request.run)
        self.shelf = Shelf(request.out, request.name, str(self.run.path.resolve()))
        self.threads = request.threads or usable_cores()
        self.preparation = Preparation(
            self.run, request.data, request.compression, request.held_out, request.threads, reporter
        )
        # A finished file is compressed while the next one is made, which leaves a core idle at times.
        self._aside = ThreadPoolExecutor(1, "gzip")
        self._gzip_sizes: dict[str, Future[int]] = {}

    def make_all(self) -> tuple[tuple[Row, ...], tuple[Refused, ...]]:
        there = self._there()
        found = {origin for row in there.values() for origin in (row.made_from, *row.stands_for)}
        missing = [each for each in self.request.variants if found.isdisjoint(self._origins(each))]
        self.shelf.check_free([self._name(each) for each in missing], overwrite=self.request.overwrite)
        for name in there:
            self.reporter.say(f"{name} is there already")
        if missing and not self.run.finished:
            self.reporter.say(f"{self.run.path}: training has not come to its end; the best weights are exported")
        if missing:
            # What no file can be made without: a run or photos that cannot be used are no fault of one file.
            _ = self.preparation.held_out
        made, refused = dict(there), list[Refused]()
        for variant in missing:
            # It may have been made already, in the place of one that did not pass.
            outcome = made.get(self._name(variant)) or self._make(variant)
            if isinstance(outcome, Row):
                made[outcome.file] = outcome
            else:
                refused.append(outcome)
        # A compressed file is compared with its twin, which an earlier export may have made.
        others = [row for row in self._listed().values() if row.file not in made]
        rows = remarked([self._with_gzip_size(row) for row in (*others, *made.values())])
        self.shelf.publish([row.to_data() for row in rows])
        write_text(self.request.out / TABLE, markdown(sorted(rows, key=lambda row: row.file), self.request.name))
        return tuple(row for row in rows if row.file in made), tuple(refused)

    def _there(self) -> dict[str, Row]:
        """Files that an earlier export made in the very same way."""
        if self.request.overwrite:
            return {}
        wanted = {origin for each in self.request.variants for origin in self._origins(each)}
        rows = [row for row in self._listed().values() if row.passes(self.request.max_drop) and row.is_any_of(wanted)]
        return {row.file: row for row in rows if self.shelf.holds(row.file, row.sha256)}

    def _listed(self) -> dict[str, Row]:
        """What the index says about files that are there."""
        rows = [row for data in self.shelf.rows() if (row := Row.from_data(data))]
        return {row.file: row for row in rows if (self.request.out / row.file).is_file()}

    def _with_gzip_size(self, row: Row) -> Row:
        found = self._gzip_sizes.get(row.file)
        size = row.gzip_bytes or (found.result() if found else gzip_size((self.request.out / row.file).read_bytes()))
        return replace(row, gzip_bytes=size)

    def _name(self, variant: Variant) -> str:
        return variant.file_name(self.request.name)

    def _origins(self, variant: Variant) -> tuple[str, str]:
        """What a file is made from, and what one that takes its place stands for: that more than this is lost."""
        return self._made_from(variant), self._made_from(variant, float(self.request.max_drop))

    def _made_from(self, variant: Variant, *loss: float) -> str:
        """A digest of what decides how a file turns out."""
        decides = {
            "weights": self.weights_digest,
            "labels": self.run.labels,
            "scaling": self.preparation.scaling.to_data(),
            "variant": [self._name(variant), str(variant.compression), *loss],
            "held_out": self.request.held_out,
            "edgewise": version("edgewise"),
        }
        return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()

    @cached_property
    def weights_digest(self) -> str:
        """Of the file that the network is read from."""
        return sha256_file(self.run.weights_path) if self.run.weights_path.is_file() else ""

    def _make(self, variant: Variant) -> Row | Refused:
        """One file, by the first attempt that passes; and what was tried."""
        name, begin = self._name(variant), time.monotonic()
        stage, tried = "preparing", list[dict[str, Any]]()
        for old in REPORTS:
            (self.request.out / f"{name}{old}").unlink(missing_ok=True)
        try:
            with quiet_tools():
                for attempt in attempts(self.preparation, variant.scheme):
                    started = time.monotonic()
                    self.reporter.say(f"making {name}: {attempt.description}")
                    stage = "writing"
                    content = convert(attempt.network, attempt.numerics, variant.format)
                    stage = "proving"
                    proof = self._prove(name, content, variant, attempt)
                    verdict = proof.verdict
                    tried.append(_tried(attempt, verdict, time.monotonic() - started))
                    self.reporter.say(f"{name}: {verdict.line()}, after {tried[-1]['seconds']:.0f} s")
                    if verdict.refusal is None:
                        break
                    self.reporter.say(f"{name}: {verdict.refusal}")
                    self._report_layers(name, attempt)
                    stage = "preparing"
                stage = "measuring"
                return self._place(variant, attempt, content, proof, tried, time.monotonic() - begin)
        except OutputError:
            raise
        except Exception as error:  # noqa: BLE001 - the tools raise what they like; the other files are still made
            return self._failed(name, stage, error)

    def _prove(self, name: str, content: bytes, variant: Variant, attempt: Attempt) -> Proof:
        made = self._name(replace(variant, scheme=attempt.scheme))
        manifest = manifest_of(self.preparation, attempt, made.rpartition(".")[0], variant.compression)
        with self.shelf.draft(name) as draft:
            draft.write_bytes(EMBED[variant.format](content, manifest))
            model, (count, threads) = read_model(draft), shared(self.request.threads)
            backends = [open_backend(model, threads=threads) for _ in range(count)]
            verdict = judge(
                backends, self.preparation.held_out, attempt.scheme, self.request.max_drop, self.reporter, name,
                compressed=variant.compression is not None,
            )  # fmt: skip
            threshold = self._threshold(backends, verdict)
            # Nothing else may run while times are taken.
            wait(self._gzip_sizes.values())
            known_ms = {threads: latency(backends[0], self.preparation.held_out.pixels.images[0], warm=True)}
        manifest = replace(manifest, accuracy=verdict.accuracy, parity=verdict.parity, unknown_threshold=threshold)
        return Proof(manifest, verdict, known_ms)

    def _threshold(self, backends: Sequence[Backend], verdict: Verdict) -> float | None:
        """Below which an answer is "unknown", for the probabilities of this very file."""
        scaling = self.preparation.scaling
        if verdict.parity.max_difference <= SAME or scaling.unknown_threshold is None or verdict.refusal:
            return scaling.unknown_threshold
        pixels = self.preparation.validation
        return threshold_keeping(answers_of(backends, pixels.images), pixels.labels, scaling.kept_share)

    def _place(
        self, variant: Variant, attempt: Attempt, content: bytes, proof: Proof, tried: list[dict[str, Any]],
        seconds: float,
    ) -> Row | Refused:  # fmt: skip
        made, verdict = replace(variant, scheme=attempt.scheme), proof.verdict
        content = EMBED[variant.format](content, proof.manifest)
        if verdict.refusal is not None:
            return Refused(str(self.shelf.reject(self._name(variant), content)), verdict.refusal, unfaithful=True)
        old = self._listed().get(self._name(made))
        if old is None or old.made_from != self._made_from(made):
            # What takes the place of another was not looked for before the work began.
            refuse_overwrite(self.request.out / self._name(made), overwrite=self.request.overwrite)
        with self.shelf.draft(self._name(made)) as draft:
            draft.write_bytes(content)
            row = new_row(
                made, read_model(draft), proof, self.preparation.held_out.pixels.images[0], self.threads,
                made_from=self._made_from(made), stands_for=[self._origins(variant)[1]] if made != variant else [],
                numerics=attempt.description, float_steps=sorted(attempt.numerics.floats), attempts=tried,
                seconds=seconds,
            )  # fmt: skip
        self.shelf.place(row.to_data(), content)
        self._gzip_sizes[row.file] = self._aside.submit(gzip_size, content)
        if made != variant:
            self.reporter.say(f"{self._name(variant)} is left out: {row.file} takes its place")
        return row

    def _report_layers(self, name: str, attempt: Attempt) -> None:
        """Say beside the file where an integer network loses what it loses."""
        if attempt.numerics.ranges is None or attempt.network is not self.preparation.network:
            return
        errors = layer_errors(
            attempt.network, attempt.numerics, self.preparation.calibration.seen,
            self.preparation.calibration_photos.images[:16], self.request.threads,
        )  # fmt: skip
        report = self.request.out / f"{name}{REPORTS[1]}"
        write_text(report, json.dumps([error.to_data() for error in errors], indent=1) + "\n")
        write_bytes(report.with_suffix(".png"), draw(errors, f"{name}: {attempt.description}"))
        self.reporter.say(f"the error of every layer: {report} and {report.with_suffix('.png').name}")

    def _failed(self, name: str, stage: str, error: Exception) -> Refused:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        log = self.request.out / f"{name}{REPORTS[0]}"
        write_text(log, "".join(traceback.format_exception(error)))
        self.reporter.say(f"{name} failed in {stage}: {reason}")
        hint = error.do if isinstance(error, EdgewiseError) and error.do else f"all of it is in {log}"
        return Refused(name, f"{stage} failed: {reason} ({hint})")


def _tried(attempt: Attempt, verdict: Verdict, seconds: float) -> dict[str, Any]:
    return {
        "attempt": attempt.description, "scheme": attempt.scheme.value, "drop": verdict.drop,
        "drop_interval": verdict.drop_interval, "agreement": verdict.parity.agreement, "seconds": seconds,
    }  # fmt: skip
