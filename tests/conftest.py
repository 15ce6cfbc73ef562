"""What several test files share: drawn photos, and one small network trained on them."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keeps the tests out of the photo cache of whoever runs them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEWISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def full_disk() -> Callable[[int], AbstractContextManager[None]]:
    """Files of this process cannot grow beyond so many bytes: the system refuses to write, as on a full disk."""

    @contextmanager
    def limited(free: int) -> Iterator[None]:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (free, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited


Once = Callable[[str, Callable[[Path], object]], Path]
"""From a name and what makes a file or folder to its path."""


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Makes something that takes long only once, whichever of the processes that run the tests comes first."""
    own = tmp_path_factory.getbasetemp()
    # The folders of all processes of one test run lie in one folder.
    root = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "once"
    root.mkdir(exist_ok=True)

    def make(name: str, maker: Callable[[Path], object]) -> Path:
        path, made = root / name, root / f"{name}.made"
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                shutil.rmtree(path, ignore_errors=True)  # of a process that failed
                maker(path)
                made.touch()
        return path

    return make


@pytest.fixture(scope="session")
def signs_folder(once: Once) -> Path:
    """Drawings of the ten signs, 80 x 80 pixels: 60 in train, 20 in validation, 20 in test. Do not change it."""
    from edgewise.train.signs import write_signs

    counts = {"train": 60, "validation": 20, "test": 20}
    return once("signs", lambda root: write_signs(root, counts, seed=1, size=80))


@pytest.fixture(scope="session")
def small_run(signs_folder: Path, once: Once) -> Path:
    """A run folder: one block per stage at 75 pixels, one epoch from scratch on ``signs_folder``. Do not change it."""
    from edgewise.spec.progress import Silent
    from edgewise.train.recipe import Recipe
    from edgewise.train.trainer import Plan, train

    plan = Plan(Recipe(weights="none", epochs=1, batch_size=16), image_size=75, blocks=(1, 1, 1))
    return once("small", lambda out: train(signs_folder, out, plan, overwrite=False, reporter=Silent()))


@pytest.fixture(scope="session")
def official_network() -> Any:
    """Keras' own InceptionResNetV2 at 75 pixels with 5 classes and random normalization statistics."""
    from edgewise.train.framework import keras, seed_everything

    seed_everything(0)
    network = keras.applications.InceptionResNetV2(weights=None, input_shape=(75, 75, 3), classes=5)
    random = np.random.default_rng(0)
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            shape = layer.beta.shape
            # Shifts and spreads that keep the signal alive through all layers, so that a difference would show.
            layer.set_weights(
                [random.normal(0.1, 0.3, shape), random.normal(0, 0.2, shape), random.uniform(0.4, 1.2, shape)]
            )
    return network


@pytest.fixture(scope="session")
def official_file(request: pytest.FixtureRequest, once: Once) -> Path:
    """The weights of ``official_network`` as Keras writes them. Do not change it."""
    return once("official.h5", lambda path: request.getfixturevalue("official_network").save_weights(path))


@pytest.fixture(scope="session")
def benchmark_results() -> ModuleType:
    """Results of a benchmark that nobody ran: the module ``unit/benchmark_results.py``."""
    spec = spec_from_file_location("benchmark_results", Path(__file__).with_name("unit") / "benchmark_results.py")
    assert spec
    assert spec.loader
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
