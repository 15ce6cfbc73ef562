"""What the files of a run share: the network, the photos, the calibration and the fine-tunings, each made once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.export.calibration import Calibration, calibrate, float_head
from edgewise.export.compression import Compressed, Compression, compress
from edgewise.export.folding import fold
from edgewise.export.gate import HeldOut
from edgewise.export.plain import Network
from edgewise.export.reading import read_network
from edgewise.spec.progress import Reporter
from edgewise.train.dataset import report_skipped
from edgewise.train.pixels import Pixels, class_balanced, load_pixels
from edgewise.train.reference import BATCH, KerasReference
from edgewise.train.run import METRICS, Run
from edgewise.train.temperature import TemperatureScaling, read_scaling

CALIBRATION_PHOTOS = 300
FINE_TUNING_PHOTOS = 4096
"""Training photos at most that pruning, clustering and quantization-aware training see."""

MIN_HELD_OUT = 500
"""The gate takes all test photos, and the validation photos too where they are fewer than this: of 500 photos on which
one answer in a hundred changes, the paired interval of the drop is still a point wide."""

THRESHOLD_PHOTOS = 500
"""Validation photos at most that set the threshold below which an answer is "unknown"."""


class Preparation:
    """Everything lazy: what no file needs is not made.

    Args:
        run: whose network is exported.
        data: where the run's photos are now; None: where they were.
        compression: done to the network before anything else; None: nothing.
        held_out: photos at most for the gate, and for the threshold of each file; None: all.
        threads: CPU threads, >= 1; None takes all cores.
        reporter: is told about the progress.
    """

    def __init__(
        self, run: Run, data: Path | None, compression: Compression | None, held_out: int | None,
        threads: int | None, reporter: Reporter,
    ) -> None:  # fmt: skip
        self.run, self.reporter, self.threads = run, reporter, threads
        self._data, self._compression, self._most = data, compression, held_out

    @cached_property
    def scaling(self) -> TemperatureScaling:
        """The temperature, which is in the network's weights already, and the threshold of the float network."""
        return read_scaling(self.run.path / METRICS)

    @cached_property
    def held_out(self) -> HeldOut:
        """Photos nobody trained on, and the Keras network's answers."""
        return self._begin[1]

    @cached_property
    def original(self) -> Network:
        """As it was trained, folded."""
        return self._begin[0]

    @cached_property
    def _begin(self) -> tuple[Network, HeldOut]:
        # Everything that needs the Keras network, so that its memory is free afterwards.
        reference = KerasReference(self.run, self.threads)
        network = read_network(fold(reference.model))
        test = list(self.run.photos("test", self._data))
        validation = [] if len(test) >= MIN_HELD_OUT else list(self.run.photos("validation", self._data))
        split = "+".join(name for name, part in (("test", test), ("validation", validation)) if part)
        photos = test + validation
        if self._most is not None and self._most < len(photos):
            photos = class_balanced(photos, self._most, self.run.config.recipe.seed)
        pixels = self._load(photos, "held-out photos")
        return network, HeldOut(pixels, split, self._answers(reference, pixels))

    def _answers(self, reference: KerasReference, pixels: Pixels) -> NDArray[np.float32]:
        """In batches of one size, filled up at the end: for another size TensorFlow would trace all layers again."""
        count = len(pixels.labels)
        size = math.ceil(count / math.ceil(count / BATCH))
        answers = []
        with self.reporter.task("the Keras network answers", count) as step:
            for start in range(0, count, size):
                part = pixels.images[start : start + size]
                filled = np.concatenate([part, np.repeat(part[:1], size - len(part), axis=0)])
                answers.append(reference.run(filled)[: len(part)])
                step(len(part))
        return np.concatenate(answers)

    @cached_property
    def network(self) -> Network:
        """After pruning and clustering, where they were asked for."""
        if self._compression is None:
            return self.original
        return self._fine_tuned(self._compression).network

    @cached_property
    def calibration_photos(self) -> Pixels:
        """Training photos, as many of each class as there are."""
        seed = self.run.config.recipe.seed
        chosen = class_balanced(self.run.photos("train", self._data), CALIBRATION_PHOTOS, seed)
        return self._load(chosen, "calibration photos")

    @cached_property
    def calibration(self) -> Calibration:
        """The ranges of the network's activations."""
        return calibrate(self.network, self.calibration_photos.images[:], self.reporter, self.threads)

    @cached_property
    def float_head(self) -> frozenset[str]:
        """The steps that stay in float."""
        return float_head(self.original)

    @cached_property
    def quantization_aware(self) -> Compressed:
        """The network after quantization-aware training, pruned and clustered as was asked for."""
        return self._fine_tuned(replace(self._compression or Compression(quantize=True), quantize=True))

    @cached_property
    def validation(self) -> Pixels:
        """Photos that set thresholds."""
        most = min(THRESHOLD_PHOTOS, self._most or THRESHOLD_PHOTOS)
        chosen = class_balanced(self.run.photos("validation", self._data), most, self.run.config.recipe.seed)
        return self._load(chosen, "validation photos")

    @cached_property
    def _training_photos(self) -> Pixels:
        chosen = class_balanced(self.run.photos("train", self._data), FINE_TUNING_PHOTOS, self.run.config.recipe.seed)
        return self._load(chosen, "photos for fine-tuning")

    def _fine_tuned(self, wanted: Compression) -> Compressed:
        # Pruning and clustering change the activations: their ranges are then found by `compress` itself.
        ranges = None if self._compression else self.calibration.best.ranges
        return compress(
            self.original, wanted, self._training_photos, ranges=ranges if wanted.quantize else None,
            floats=self.float_head,
            reporter=self.reporter,
        )  # fmt: skip

    def _load(self, examples: Sequence[Any], name: str) -> Pixels:
        pixels = load_pixels(examples, self.run.config.architecture.image_size, name=name, reporter=self.reporter)
        report_skipped(pixels.skipped, self.reporter)
        return pixels
