"""What a training computes on: one device, several of one machine, or those of several machines.

All devices train as one: each takes its part of every batch, normalization looks at the whole batch, the gradients are
added up, and every device makes the same update to its own copy of the weights. The network that is validated, kept
and exported stays an ordinary one; the devices learn on a twin of it (as they do with 16-bit floats).

Among several machines, one leads: it alone validates, decides and writes, and the others do as it says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgewise.spec import InputError, WorkerError
from edgewise.spec.progress import Reporter
from edgewise.train.cluster import EXAMPLE, VARIABLE, Cluster, read_cluster
from edgewise.train.framework import keras, tf
from edgewise.train.graph import made_again

AUTO, NONE, MIRRORED, MULTIWORKER = "auto", "none", "mirrored", "multiworker"
CHOICES = (AUTO, NONE, MIRRORED, MULTIWORKER)

FLOAT32, BFLOAT16, FLOAT16 = "float32", "bfloat16", "float16"

EXACT = ("avg_pool", "dropout", "predictions")
"""Layers that compute in 32 bits whatever the precision, so that probabilities and loss are exact."""

LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
        tf.errors.InternalError, tf.errors.FailedPreconditionError)  # fmt: skip
"""What TensorFlow raises in one process where another one is gone."""


class Devices:
    """One device (the default), or several that train as one.

    Args:
        strategy: of ``tf.distribute``; None: TensorFlow's default device.
        precision: of the network's layers: "float32", "bfloat16" or "float16"; the weights always have 32 bits.
        cluster: the machines, where there are several.
    """

    def __init__(self, strategy: Any = None, precision: str = FLOAT32, cluster: Cluster | None = None) -> None:
        self._strategy, self.precision, self._cluster = strategy, precision, cluster
        self._send = tf.function(self._from_first, reduce_retracing=True)

    def computing(self, precision: str) -> Devices:
        """The same devices with another precision; "auto" is what they compute fastest."""
        return Devices(self._strategy, _precision(precision), self._cluster)

    @property
    def count(self) -> int:
        """Of all machines together."""
        return 1 if self._strategy is None else int(self._strategy.num_replicas_in_sync)

    @property
    def leads(self) -> bool:
        """Whether this process validates, decides and writes."""
        return self._cluster is None or self._cluster.index == 0

    def check_batch(self, size: int) -> None:
        """Raise InputError unless a batch of so many photos can be shared equally."""
        if size % self.count:
            raise InputError(
                f"batches of {size} photos for {self.count} devices",
                "a number of photos that they can share equally",
                f"use --batch-size {max(size // self.count, 1) * self.count}, or another --distribute",
            )

    def scope(self) -> AbstractContextManager[Any]:
        """In which what the devices share is made."""
        return nullcontext() if self._strategy is None else self._strategy.scope()

    def twin(self, model: Any) -> Any:
        """The network that the devices learn on: ``model`` itself where one device computes in 32 bits."""
        if self._strategy is None and self.precision == FLOAT32:
            return model
        with self._watching(), self.scope():
            return keras.models.clone_model(model, clone_function=self._cloned)

    def _cloned(self, layer: Any) -> Any:
        changes: dict[str, Any] = {}
        if self.count > 1 and isinstance(layer, keras.layers.BatchNormalization):
            changes["synchronized"] = True
        if self.precision != FLOAT32 and layer.name not in EXACT and not isinstance(layer, keras.layers.InputLayer):
            changes["dtype"] = f"mixed_{self.precision}"
        return made_again(layer, **changes)

    def share(self, model: Any, twin: Any, state: Sequence[Any]) -> None:
        """Give every device the weights of the leading machine's ``model`` and its ``state`` of the optimizer."""
        if twin is model:
            return
        for own, learned in zip(model.weights, twin.weights, strict=True):
            learned.assign(own)
        if self._cluster is not None:
            variables = [*twin.weights, *state]

            @tf.function  # type: ignore[untyped-decorator]
            def spread() -> None:
                for variable in variables:
                    value = self._from_first(tf.identity(variable))
                    # Straight to this device's own copy, as the optimizer does.
                    tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)

            with self._watching():
                self._strategy.run(spread)

    def fetch(self, model: Any, twin: Any) -> None:
        """Give ``model`` the weights that its twin has learned; normalization statistics are not among them."""
        if twin is not model:
            for own, learned in zip(model.trainable_variables, twin.trainable_variables, strict=True):
                own.assign(learned.numpy())

    def parallel(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """A function that has its part of a batch done by every device, as one graph.

        Args:
            work: from tensors with a device's part of the batch to tensors that are equal on all devices.

        Returns:
            A function from tensors with the whole batch to what ``work`` returns.
        """
        if self._strategy is None:
            return tf.function(work, reduce_retracing=True)  # type: ignore[no-any-return]
        strategy = self._strategy
        graph = tf.function(lambda *parts: strategy.run(work, args=parts), reduce_retracing=True)

        def run(*batch: Any) -> Any:
            parts = [strategy.experimental_distribute_values_from_function(self._part(tensor)) for tensor in batch]
            with self._watching():
                return [strategy.experimental_local_results(result)[0].numpy() for result in graph(*parts)]

        return run

    def _part(self, tensor: Any) -> Callable[[Any], Any]:
        rows = len(tensor) // self.count

        def of(context: Any) -> Any:
            return tensor[context.replica_id_in_sync_group * rows : (context.replica_id_in_sync_group + 1) * rows]

        return of

    def sum(self, tensors: Sequence[Any]) -> Sequence[Any]:
        """Sums over all devices, in a graph."""
        if self.count == 1:
            return tensors
        context = tf.distribute.get_replica_context()
        return context.all_reduce(tf.distribute.ReduceOp.SUM, list(tensors))  # type: ignore[no-any-return]

    def agree(self, make: Callable[[], str]) -> str:
        """The text that the leading machine makes, on every machine.

        Raises:
            WorkerError: a machine does not answer any more.
        """
        if self._cluster is None:
            return make()
        content = np.frombuffer(make().encode(), np.uint8) if self.leads else np.zeros(0, np.uint8)
        (length,) = self._told(np.array([len(content)]))
        return self._told(content if self.leads else np.zeros(length, np.uint8)).astype(np.uint8).tobytes().decode()

    def _told(self, numbers: NDArray[Any]) -> NDArray[Any]:
        value = tf.constant(numbers, tf.int32)
        with self._watching():
            result = self._strategy.run(self._send, args=(value,))
            return np.asarray(self._strategy.experimental_local_results(result)[0])

    @staticmethod
    def _from_first(value: Any) -> Any:
        """The value of the first device, on every device."""
        context = tf.distribute.get_replica_context()
        first = tf.equal(context.replica_id_in_sync_group, 0)
        return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(first, value, tf.zeros_like(value)))

    @contextmanager
    def _watching(self) -> Any:
        """Says plainly that another machine is gone."""
        try:
            yield
        except LOST as error:
            if self._cluster is None:
                raise
            others = ", ".join(self._cluster.others)
            raise WorkerError(
                f"another machine of this training does not answer any more (one of {others})",
                "all of them until the end",
                "see what it said; then start all of them again, each with --resume",
            ) from error


def choose_devices(distribute: str, reporter: Reporter) -> Devices:
    """Take what there is, as asked for. To be called before TensorFlow computes anything.

    Args:
        distribute: "none", "mirrored" (all GPUs of this machine), "multiworker" (all machines that the environment
            variable TF_CONFIG names), or "auto": the last of these that there is.
        reporter: is told what is waited for.

    Raises:
        InputError: it is not there.
    """
    if distribute not in CHOICES:
        raise InputError(f"--distribute {distribute}", f"one of {', '.join(CHOICES)}")
    cluster = read_cluster() if distribute in (AUTO, MULTIWORKER) else None
    if cluster is not None:
        # This comes before anything else: machines can be joined only while TensorFlow has not begun to compute.
        reporter.say(f"waiting for the other machines of this training: {', '.join(cluster.others)}")
        return Devices(tf.distribute.MultiWorkerMirroredStrategy(), cluster=cluster)
    if distribute == MULTIWORKER:
        raise InputError(
            "--distribute multiworker without other machines",
            f"the environment variable {VARIABLE} on each, such as {EXAMPLE}",
            "set it, with an index of its own on each machine, or use --distribute none",
        )
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if distribute == MIRRORED and len(devices) < 2:
        raise InputError(
            f"--distribute mirrored: TensorFlow sees one device here ({devices[0].name})",
            "two GPUs or more",
            "use --distribute none",
        )
    several = len(devices) > 1 and distribute in (AUTO, MIRRORED)
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices]) if several else None
    return Devices(strategy)


def _precision(wanted: str) -> str:
    """Resolve "auto"."""
    if wanted != AUTO:
        return wanted
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0)) for gpu in gpus]
    if not details:
        # Measured on a CPU with AMX: a step in bfloat16 takes two thirds to four fifths of the time.
        return BFLOAT16 if "amx_bf16" in _cpu_flags() else FLOAT32
    # NVIDIA's tensor cores compute float16 since 7.0 and bfloat16, which needs no scaling of the loss, since 8.0.
    return BFLOAT16 if min(details) >= (8, 0) else FLOAT16 if min(details) >= (7, 0) else FLOAT32


def _cpu_flags() -> set[str]:
    """What the CPU can do, as Linux names it; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return next((set(line.split()) for line in lines if line.startswith("flags")), set())
