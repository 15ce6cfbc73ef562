"""Make a run folder of weights that were trained elsewhere, to measure what their export loses.

    python benchmarks/run_of_weights.py PHOTOS --weights NOTOP.h5 --head HEAD.npz --image-size 75 --out RUN

PHOTOS has train and test folders of class folders; a tenth of the training photos becomes the validation split. WEIGHTS
is an InceptionResNetV2 without classifier in the official Keras layout; HEAD holds ``kernel`` (1536, classes) and
``bias`` (classes,) of the classifier. Then ``edgewise export release RUN`` as for any run.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from edgewise.spec.files import sha256_file
from edgewise.train.architecture import choose
from edgewise.train.dataset import Selection, load_dataset
from edgewise.train.network import build
from edgewise.train.recipe import Recipe
from edgewise.train.run import Config, Run
from edgewise.train.weights import load_official, save_weights


def main() -> None:
    """Read the weights and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--head", type=Path, required=True)
    parser.add_argument("--image-size", type=int, default=75)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    selection = Selection(val_split=0.1)
    dataset = load_dataset(options.photos, seed=0, selection=selection)
    architecture = choose("inception_resnet_v2", len(dataset.labels), image_size=options.image_size)
    model = build(architecture)
    load_official(model, options.weights)
    head = np.load(options.head, allow_pickle=False)
    model.get_layer("predictions").set_weights([head["kernel"], head["bias"]])
    config = Config(
        architecture, Recipe(weights=str(options.weights)), options.photos.resolve(), dataset.sha256,
        sha256_file(options.weights), selection,
    )  # fmt: skip
    run = Run.create(options.out, config, dataset)
    save_weights(model, run.weights_path)


if __name__ == "__main__":
    main()
