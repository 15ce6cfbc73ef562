"""The one door to TensorFlow: Keras 2 (``tf_keras``), quiet, with a fixed number of threads.

tensorflow-model-optimization and tf2onnx work with Keras 2 only, so ``TF_USE_LEGACY_KERAS`` is set before anything
imports TensorFlow. Every module of this package gets ``tf`` and ``keras`` from here.
"""

from __future__ import annotations

import ctypes
import os
import platform
import random

from edgewise.spec import ExtraMissingError
from edgewise.spec.quiet import quiet_stderr

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
if platform.machine() in ("x86_64", "AMD64"):
    # TensorFlow uses oneDNN by itself only with AVX-512 VNNI; with AVX2 a step of training is 1.7 times as fast.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4
"""Parameters of glibc's `mallopt <https://man7.org/linux/man-pages/man3/mallopt.3.html>`_."""

try:
    with quiet_stderr():
        import numpy as np
        import tensorflow as tf
        import tf_keras as keras
except ModuleNotFoundError as error:
    raise ExtraMissingError("train", error.name or "tensorflow") from error

tf.get_logger().setLevel("ERROR")

__all__ = ["give_freed_memory_back", "keras", "prepare_process", "seed_everything", "tf", "use_threads"]


def use_threads(threads: int | None) -> None:
    """Limit TensorFlow to ``threads`` CPU threads; None leaves the choice to TensorFlow (all cores).

    TensorFlow fixes its thread pools at the first operation; a later call with another count has no effect.
    """
    if threads is None:
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(min(threads, 2))
    except RuntimeError:
        return  # already running, in a process that does several steps


def prepare_process(seed: int, threads: int | None = None, *, deterministic: bool = False) -> None:
    """Set up TensorFlow for a training, or a fine-tuning.

    Args:
        seed: of Python, NumPy and TensorFlow.
        threads: CPU threads, see `use_threads`.
        deterministic: choose operations that give bit-equal results each time, at some cost in speed.
    """
    use_threads(threads)
    keep_freed_memory()
    seed_everything(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def keep_freed_memory() -> None:
    """Let glibc keep the memory that TensorFlow gives back, for the next step to take.

    Every step of training asks for the same large buffers again. By default glibc gets each from the system and gives
    it back at once, and the system clears all of it every time: up to half of a step's time. What is kept has been in
    use at once, so the peak grows by little. Other C libraries are left as they are.
    """
    if library := _glibc():
        library.mallopt(M_MMAP_MAX, 0)
        library.mallopt(M_TRIM_THRESHOLD, -1)


def give_freed_memory_back() -> None:
    """Give what `keep_freed_memory` has kept until now back to the system, at the end of a training."""
    if library := _glibc():
        library.malloc_trim(ctypes.c_size_t(0))


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and TensorFlow."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - Keras initializers without a seed of their own draw from here
    keras.utils.set_random_seed(seed)
