"""Where a network looks: Grad-CAM maps over photos.

Source: Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization",
arXiv:1610.02391. The score of the answer, before the softmax, is differentiated by the activations of one layer; each
channel weighs as much as the mean of its gradient; what is positive in the weighted sum spoke for the answer.

The layer is the deepest one that everything flows through and that still has at least 3 x 3 places. In
InceptionResNetV2 that is ``conv_7b_ac`` from 139 pixels on; smaller inputs end in a map of 1 x 1 or 2 x 2 there, which
cannot show a place, so that an earlier stage is taken.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from edgewise.train.batches import clean_batches
from edgewise.train.framework import keras, tf
from edgewise.train.graph import sources
from edgewise.train.plots import RIGHT, WRONG, plain, save
from edgewise.train.predictions import Answers

SMALLEST_MAP = 3
"""Places per side that a map needs to show anything."""

BATCH = 4
CLASSIFIER = "predictions"


@dataclass(frozen=True)
class Explanation:
    """Maps of what spoke for some answers."""

    layer: str  # that was looked at
    places: tuple[int, int]  # height and width of its map
    heat: NDArray[np.float32]  # (n, size, size), 0-1 per photo; all 0 where nothing spoke for the answer

    @property
    def remark(self) -> str:
        """How coarse the maps are, in words."""
        return f"Grad-CAM at layer {self.layer}, which has {self.places[0]} × {self.places[1]} places"


def explain(model: Any, images: NDArray[np.uint8], answers: NDArray[np.int64]) -> Explanation:
    """Compute Grad-CAM maps.

    Args:
        model: a network with the classifier ``predictions`` at its end, from float32 pictures in [-1, 1].
        images: ``(n, size, size, 3)`` uint8, n >= 1.
        answers: ``(n,)`` class indices to explain.
    """
    layer, classifier = deepest_layer(model), model.get_layer(CLASSIFIER)
    inside = keras.Model(model.input, [layer.output, classifier.input])
    kernel, bias = classifier.kernel, classifier.bias
    maps = []
    for start, batch in zip(range(0, len(images), BATCH), clean_batches(images, BATCH), strict=True):
        with tf.GradientTape() as tape:
            activations, features = inside(batch, training=False)
            scores = tf.matmul(tf.cast(features, kernel.dtype), kernel) + bias
            wanted = tf.gather(scores, answers[start : start + len(batch)], axis=1, batch_dims=1)
        weights = tf.reduce_mean(tape.gradient(wanted, activations), axis=(1, 2), keepdims=True)
        maps.append(tf.nn.relu(tf.reduce_sum(weights * activations, axis=-1)).numpy().astype(np.float32))
    coarse = np.concatenate(maps)
    heat = np.stack([_enlarged(each, images.shape[1]) for each in coarse])
    return Explanation(layer.name, (coarse.shape[1], coarse.shape[2]), heat)


@dataclass(frozen=True)
class ExplainedAnswer:
    """One photo, and what spoke for the answer about it."""

    picture: NDArray[np.uint8]  # (size, size, 3) RGB, as the network sees it
    overlay: NDArray[np.uint8]  # of the same shape
    truth: str
    answer: str
    probability: float  # of the answer, 0-1

    @property
    def right(self) -> bool:
        """Whether the answer is the truth."""
        return self.answer == self.truth


@dataclass(frozen=True)
class Explained:
    """Some answers, explained."""

    remark: str  # how coarse the maps are
    answers: tuple[ExplainedAnswer, ...]  # wrong ones first, the most confident first


def explain_answers(model: Any, answers: Answers, count: int) -> Explained:
    """Explain the ``count`` most confident wrong answers, and as many right ones of different classes.

    Args:
        model: see `explain`.
        answers: at least one; see `edgewise.train.predictions.Answers`.
        count: >= 1.
    """
    chosen = [*answers.worst(count), *answers.typical(count)]
    pictures = np.stack([answers.photos.images[index] for index in chosen])
    found = explain(model, pictures, answers.best[chosen])
    return Explained(
        found.remark,
        tuple(
            ExplainedAnswer(
                picture=picture,
                overlay=overlay(picture, heat),
                truth=answers.labels[answers.photos.labels[index]],
                answer=answers.labels[answers.best[index]],
                probability=float(answers.sure[index]),
            )
            for index, picture, heat in zip(chosen, pictures, found.heat, strict=True)
        ),
    )


def save_sheet(explained: Explained, path: Path) -> None:
    """Draw photos and maps side by side as PNG. Raises OutputError."""
    rows = -(-len(explained.answers) // 2)
    figure = Figure(figsize=(8.4, 0.5 + 2.5 * rows), layout="constrained")
    figure.suptitle(explained.remark, fontsize=9, color="0.35")
    panels = figure.subplots(rows, 4, squeeze=False)
    for axes in panels.flat:
        axes.axis("off")
    for place, shown in enumerate(explained.answers):
        left, right = panels.reshape(-1, 2)[place]
        left.imshow(shown.picture)
        right.imshow(shown.overlay)
        verdict = f"right: {plain(shown.truth)}" if shown.right else f"{plain(shown.truth)}, taken for"
        left.set_title(verdict, fontsize=9, color=RIGHT if shown.right else WRONG, loc="left")
        answer = f"{shown.probability:.0%}" if shown.right else f"{plain(shown.answer)}, {shown.probability:.0%}"
        right.set_title(answer, fontsize=9, color=RIGHT if shown.right else WRONG, loc="left")
    save(figure, path)


def deepest_layer(model: Any) -> Any:
    """The last layer that everything flows through and whose map has at least `SMALLEST_MAP` places per side."""
    fitting = (layer for layer in map(model.get_layer, reversed(list(_bottlenecks(model)))) if _shows_places(layer))
    return next(fitting)


def overlay(picture: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A photo ``(h, w, 3)`` RGB with its heat ``(h, w)`` over it: grey where nothing spoke, yellow where most did."""
    grey = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    colored = cv2.cvtColor(cv2.applyColorMap((255 * heat).astype(np.uint8), cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)
    share = 0.75 * np.sqrt(heat)[..., None]
    return np.asarray((1 - share) * grey + share * colored).astype(np.uint8)


def _bottlenecks(model: Any) -> Iterator[str]:
    """Names of the layers that every path from the input to the output passes, from the input on."""
    order = [layer.name for layer in model.layers]
    place = {name: number for number, name in enumerate(order)}
    used_by = [[place[source.name] for source in sources(layer)] for layer in model.layers]
    last_use = list(range(len(order)))
    for number, used in enumerate(used_by):
        for source in used:
            last_use[source] = max(last_use[source], number)
    reach = 0
    for number, name in enumerate(order):
        # Layers come in the order of computation: where nothing from before is needed later, there is no way around.
        if reach <= number:
            yield name
        reach = max(reach, last_use[number])


def _shows_places(layer: Any) -> bool:
    shape = layer.output_shape
    return isinstance(shape, tuple) and len(shape) == 4 and min(shape[1:3]) >= SMALLEST_MAP


def _enlarged(coarse: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """A map at the size of the picture, from 0 to 1."""
    smooth = np.maximum(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC), 0)
    peak = float(smooth.max())
    return np.asarray(smooth / peak if peak > 0 else smooth, np.float32)
