"""What a file says about itself and where it came from."""

from __future__ import annotations

import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edgewise.export.compression import Compression
from edgewise.export.ladder import Attempt
from edgewise.export.preparation import Preparation
from edgewise.spec import Calibration, InputSpec, Manifest
from edgewise.train.pixels import digest_of
from edgewise.train.run import Run


def manifest_of(preparation: Preparation, attempt: Attempt, name: str, compression: Compression | None) -> Manifest:
    """The manifest of a file before it was judged.

    Args:
        preparation: of its run.
        attempt: the way in which it is made.
        name: of the file, without suffix.
        compression: done to the network before.
    """
    run, calibration = preparation.run, None
    if attempt.method is not None:
        examples = preparation.calibration_photos.examples
        calibration = Calibration(len(examples), digest_of(examples), attempt.method)
    size = run.config.architecture.image_size
    return Manifest(
        name=name,
        labels=run.labels,
        input=InputSpec(size, size),
        scheme=attempt.scheme,
        temperature=preparation.scaling.temperature,
        unknown_threshold=preparation.scaling.unknown_threshold,
        calibration=calibration,
        provenance={
            **provenance(run),
            "numerics": attempt.description,
            **({"float_layers": sorted(attempt.numerics.floats)} if attempt.numerics.floats else {}),
            **({"compression": asdict(compression)} if compression else {}),
        },
    )


def provenance(run: Run) -> dict[str, Any]:
    """Where a network came from, as plain data without paths of the machine that trained it."""
    config = run.config
    source = config.recipe.weights
    parts = ("edgewise", "tensorflow", "tf_keras", "onnx", "onnxruntime", "ai-edge-litert")
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
            **{name: version(name) for name in parts},
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
    }
