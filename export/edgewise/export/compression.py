"""Compression by fine-tuning: pruned, clustered and quantization-aware networks, and their combinations.

Pruning (Zhu and Gupta 2017, "To prune, or not to prune", https://arxiv.org/abs/1710.01878) and clustering (Han et al.
2015, "Deep Compression", https://arxiv.org/abs/1510.00149) are those of tensorflow-model-optimization. What one of them
made of the weights is kept by the next: pruning, then clustering, then quantization. Nothing is written to disk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgewise.export.distillation import FineTuning, Progress, fine_tune
from edgewise.export.keras_network import keras_network
from edgewise.export.observation import observe
from edgewise.export.plain import Network, Operator, Step
from edgewise.export.quantization import Range
from edgewise.spec import ExtraMissingError, InputError
from edgewise.spec.progress import Reporter, Silent
from edgewise.spec.quiet import quiet_stderr
from edgewise.train.framework import give_freed_memory_back, prepare_process
from edgewise.train.pixels import Pixels

PATTERNS: Mapping[str, tuple[int, int]] = {"2:4": (2, 4)}
"""Zeros among neighbours along the input channels of a kernel."""

MOST_CLUSTERS = 255
"""As many values as a symmetric int8 weight can have."""

OBSERVED = 128
"""Photos whose activations set the ranges anew where pruning or clustering has changed the weights."""

CHANGING, QUANTIZING = FineTuning(learning_rate=3e-3), FineTuning()
"""How a network is trained after pruning or clustering, and with rounding. A pruned network has more to learn again: at
the rate that suits rounding its loss fell a third as fast."""

_CHANGED = (Operator.CONVOLUTION, Operator.DENSE)
"""What is pruned and clustered: depthwise kernels are so small that the library leaves them alone."""


@dataclass(frozen=True)
class Compression:
    """What is asked for.

    Raises:
        InputError: a field is out of range, fields contradict each other, or nothing is asked for.
    """

    prune: float | None = None  # share of the weights of each kernel that become zero, above 0 and below 1
    pattern: str | None = None  # "2:4": two zeros in each four neighbours along the input channels; half of all weights
    cluster: int | None = None  # different weights in each kernel, zero included, 2-255; with pruning from 3 on
    quantize: bool = False  # train with rounded kernels and activations

    def __post_init__(self) -> None:
        if self.prune is not None and not 0 < self.prune < 1:
            raise InputError(f"a share of {self.prune:g} of all weights to prune", "above 0 and below 1, such as 0.5")
        if self.pattern is not None and self.pattern not in PATTERNS:
            raise InputError(f"pruning in the pattern {self.pattern!r}", " or ".join(PATTERNS))
        if self.pattern is not None and self.prune not in (None, 0.5):
            raise InputError(
                f"pruning a share of {self.prune:g} in the pattern {self.pattern}", "0.5, which the pattern makes",
                "leave out one of the two",
            )  # fmt: skip
        fewest = 3 if self.sparse else 2
        if self.cluster is not None and not fewest <= self.cluster <= MOST_CLUSTERS:
            reason = ", because zero is one of them in a pruned network" if self.sparse else ""
            raise InputError(f"{self.cluster} different weights", f"{fewest} to {MOST_CLUSTERS}{reason}")
        if not (self.sparse or self.cluster or self.quantize):
            raise InputError("nothing to compress", "at least one of pruning, clustering and quantization")

    @property
    def sparse(self) -> bool:
        """Whether weights become zero."""
        return self.prune is not None or self.pattern is not None


@dataclass(frozen=True)
class Compressed:
    """What has become of a network."""

    network: Network
    ranges: dict[str, Range] | None  # of every step's output, as `settled` takes them; None: not quantized
    figures: dict[str, float]
    """``sparsity`` (share of zeros in convolutions and dense layers, 0-1), ``distinct`` (most different weights of one
    of them), ``epochs``, ``steps`` and ``seconds`` of all trainings; of the last epoch, ``agreement`` (share of its
    augmented photos with the float network's answer, 0-1) and ``loss`` (mean)."""


def compress(
    network: Network,
    wanted: Compression,
    photos: Pixels,
    *,
    ranges: Mapping[str, Range] | None = None,
    floats: frozenset[str] = frozenset(),
    settings: FineTuning | None = None,
    reporter: Reporter | None = None,
) -> Compressed:
    """Compress a network, and train it to answer as before.

    Args:
        network: ends in a softmax; what it answers is the aim.
        wanted: what is done to it.
        photos: training photos of the network's size, and their classes.
        ranges: of every step's output, from calibration, where quantization begins. Where they are None, or pruning or
            clustering has changed the network since, they are what `OBSERVED` typical photos need.
        floats: steps that are not quantized, as in `Numerics.floats`, such as `calibration.float_head` gives. They are
            pruned and clustered like the others.
        settings: of each fine-tuning; None: `CHANGING` and `QUANTIZING`.
        reporter: is told about the progress.

    Raises:
        InputError: the photos do not fit the network, or ranges lack a step.
        PhotoError: a photo must be decoded again and has changed or gone.
    """
    reporter = reporter or Silent()
    _check(network, photos, ranges)
    prepare_process((settings or QUANTIZING).seed)
    begun = time.monotonic()
    work = _Work(network, photos, settings or CHANGING, settings or QUANTIZING, reporter)
    if wanted.sparse:
        work.prune(wanted)
    if wanted.cluster:
        work.cluster(wanted.cluster, sparse=wanted.sparse)
    learned = work.quantize(wanted, ranges, floats) if wanted.quantize else None
    give_freed_memory_back()
    last = work.progress[-1]
    figures = {
        "sparsity": sparsity(work.network),
        "distinct": float(max(map(_distinct, _changed(work.network)))),
        "epochs": float(work.epochs),
        "steps": float(sum(each.steps for each in work.progress)),
        "seconds": time.monotonic() - begun,
        "agreement": last.agreement,
        "loss": last.loss,
    }
    return Compressed(work.network, learned, figures)


def _library() -> Any:
    """tensorflow-model-optimization, which takes seconds to import and which most exports do without."""
    try:
        with quiet_stderr():
            import tensorflow_model_optimization
    except ModuleNotFoundError as error:
        raise ExtraMissingError("export", error.name or "tensorflow_model_optimization") from error
    return tensorflow_model_optimization


def sparsity(network: Network) -> float:
    """The share of zeros in the kernels of convolutions and dense layers, 0-1."""
    kernels = [step.kernel for step in _changed(network) if step.kernel is not None]
    return float(sum((kernel == 0).sum() for kernel in kernels) / sum(kernel.size for kernel in kernels))


def _distinct(step: Step) -> int:
    assert step.kernel is not None
    return len(np.unique(step.kernel))


def _changed(network: Network) -> list[Step]:
    return [step for step in network.steps if step.operator in _CHANGED]


class _Work:
    """A network between its changes.

    Attributes:
        network: as it is now.
        progress: of each fine-tuning.
        epochs: of all of them.
    """

    def __init__(
        self, network: Network, photos: Pixels, changing: FineTuning, quantizing: FineTuning, reporter: Reporter
    ) -> None:
        self.network = network
        self.progress: list[Progress] = []
        self.epochs = 0
        self._original, self._teacher = network, keras_network(network)
        self._photos, self._changing, self._quantizing, self._reporter = photos, changing, quantizing, reporter

    def prune(self, wanted: Compression) -> None:
        """Set the smallest weights of each kernel to zero, more and more of them in the first half of the training."""
        pruning = _library().sparsity.keras
        if wanted.pattern:
            options: dict[str, Any] = {"sparsity_m_by_n": PATTERNS[wanted.pattern]}
        else:
            steps = self._changing.steps(len(self._photos.labels))
            ramp = max(steps // 2, 1)
            schedule = pruning.PolynomialDecay(
                0.0, wanted.prune, begin_step=0, end_step=ramp, frequency=max(ramp // 10, 1)
            )
            options = {"pruning_schedule": schedule}
        layers: dict[str, Any] = {}

        def wrap(step: Step, layer: Any) -> Any:
            layers[step.name] = layer
            if step.operator not in _CHANGED:
                return layer
            return pruning.prune_low_magnitude(layer, **options)

        student = keras_network(self.network, wrap)
        # The library counts the steps itself, from when its callback says that training begins.
        callback = pruning.UpdatePruningStep()
        callback.set_model(student)
        callback.on_train_begin()
        self._train(student, "pruning", self._changing, lambda: callback.on_epoch_end(None))
        self._take(layers)

    def cluster(self, count: int, *, sparse: bool) -> None:
        """Give each kernel only ``count`` different weights."""
        clustering = _library().clustering.keras
        layers: dict[str, Any] = {}
        wrappers = []

        def wrap(step: Step, layer: Any) -> Any:
            layers[step.name] = layer
            if step.operator not in _CHANGED or _distinct(step) <= count:
                return layer
            wrappers.append(clustering.cluster_weights(
                layer, number_of_clusters=count, preserve_sparsity=sparse,
                cluster_centroids_init=clustering.CentroidInitialization.KMEANS_PLUS_PLUS,
            ))  # fmt: skip
            return wrappers[-1]

        self._train(keras_network(self.network, wrap), "clustering", self._changing)
        for wrapper in wrappers:
            wrapper.update_clustered_weights_associations()
        self._take(layers)

    def quantize(
        self, wanted: Compression, ranges: Mapping[str, Range] | None, floats: frozenset[str]
    ) -> dict[str, Range]:
        """Train with rounding; gives the ranges."""
        from edgewise.export.quantize_aware import QuantizeAware  # as `_library`

        if ranges is None or self.network is not self._original:
            ranges = observe(self.network, self._photos.images[:OBSERVED]).typical().bounds()
        aware = QuantizeAware(
            self.network, ranges, self._quantizing.range_decay, floats=floats,
            zeros=wanted.sparse, clusters=wanted.cluster is not None,
        )  # fmt: skip
        self._train(aware.model, "quantization-aware training", self._quantizing, aware.settle)
        self.network, learned = aware.result()
        return learned

    def _train(
        self, student: Any, name: str, settings: FineTuning, after_epoch: Callable[[], None] = lambda: None
    ) -> None:
        progress = fine_tune(
            student, self._teacher, self._photos, settings, self._reporter, name=name, after_epoch=after_epoch
        )
        self.progress.append(progress)
        self.epochs += settings.epochs

    def _take(self, layers: Mapping[str, Any]) -> None:
        """Take the trained weights, without what the library has wrapped around them."""
        kernels = {
            name: layer.kernel if hasattr(layer, "kernel") else layer.depthwise_kernel for name, layer in layers.items()
        }
        self.network = self.network.with_weights(
            {name: (np.asarray(kernels[name]), np.asarray(layer.bias)) for name, layer in layers.items()}
        )


def _check(network: Network, photos: Pixels, ranges: Mapping[str, Range] | None) -> None:
    if photos.images.shape[1:] != network.input.shape:
        size, wanted = photos.images.shape[1], network.input.shape[0]
        raise InputError(f"photos of {size} x {size} pixels", f"{wanted} x {wanted}, as the network takes them")
    classes = network.output.channels
    if not len(photos.labels) or photos.labels.min() < 0 or photos.labels.max() >= classes:
        raise InputError("photos whose classes the network does not know", f"some photos of its {classes} classes")
    missing = [step.name for step in network.steps if ranges is not None and step.name not in ranges]
    if missing:
        raise InputError(f"no range of {missing[0]!r}", "a range of the output of every step", "calibrate again")
