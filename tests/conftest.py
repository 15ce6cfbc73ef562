"""What several test files share: drawn photos, and one small network trained on them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
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
def signs_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawings of the ten signs, 80 x 80 pixels: 60 in train, 20 in validation, 20 in test. Do not change it."""
    from edgewise.train.signs import write_signs

    root = tmp_path_factory.mktemp("data") / "signs"
    write_signs(root, {"train": 60, "validation": 20, "test": 20}, seed=1, size=80)
    return root


@pytest.fixture(scope="session")
def small_run(signs_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder: one block per stage at 75 pixels, one epoch from scratch on ``signs_folder``. Do not change it."""
    from edgewise.spec.progress import Silent
    from edgewise.train.recipe import Recipe
    from edgewise.train.trainer import Plan, train

    out = tmp_path_factory.mktemp("runs") / "small"
    plan = Plan(Recipe(weights="none", epochs=1, batch_size=16), image_size=75, blocks=(1, 1, 1))
    return train(signs_folder, out, plan, overwrite=False, reporter=Silent()).path


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
def official_file(official_network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights of ``official_network`` as Keras writes them. Do not change it."""
    path = tmp_path_factory.mktemp("weights") / "official.h5"
    official_network.save_weights(path)
    return path
