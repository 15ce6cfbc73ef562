"""From a photo to a label: the runtime's front door.

>>> classifier = Classifier.open("clothes-int8.tflite")
>>> classifier.predict("photo.jpg").label
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgewise.runtime.backends import Backend
from edgewise.runtime.images import Picture, fit, prepare
from edgewise.runtime.loading import load
from edgewise.runtime.modelfile import ModelFile
from edgewise.spec import InputError, Manifest
from edgewise.spec.opening import Opening

if TYPE_CHECKING:
    from edgewise.runtime.rows import Row
    from edgewise.runtime.stream import Source

UNKNOWN = "unknown"
"""The label of an answer whose probability stays below the threshold."""

_UINT8 = np.dtype(np.uint8)


@dataclass(frozen=True)
class Score:
    """One class with its probability."""

    label: str
    index: int  # position in the model's labels, from 0
    probability: float  # 0-1


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture."""

    label: str  # a class name, or "unknown"
    probability: float  # of the best class, 0-1, also where the label is "unknown"
    top: tuple[Score, ...]  # best first


class Classifier:
    """A model file, opened on one backend. Not safe for use by several threads at once."""

    def __init__(self, model: ModelFile, backend: Backend, unknown_threshold: float | None = None) -> None:
        self.model = model
        self.backend = backend
        self._shape = (model.manifest.input.height, model.manifest.input.width, 3)  # of a prepared picture
        stored = model.manifest.unknown_threshold
        self.unknown_threshold = stored if unknown_threshold is None else unknown_threshold
        if self.unknown_threshold is not None and not 0 <= self.unknown_threshold <= 1:
            raise InputError(f"--unknown-threshold {self.unknown_threshold}", "a probability from 0 to 1")

    @classmethod
    def open(cls, path: Path | str, opening: Opening | None = None, **fields: Any) -> Classifier:
        """Verify and load a .tflite or .onnx file, of Edgewise or of another maker.

        Args:
            path: the file.
            opening: how; None: as ``fields`` say.
            fields: those of `Opening`, instead of one, such as ``backend="auto"``; a file of another maker needs
                ``labels``, and whatever else it does not say itself.

        Raises:
            ModelError: the file is missing, damaged, or does not fit its description.
            BackendError: the backend cannot run it, or does not grant what is asked for.
            InputError: the threshold is no probability, or a file of another maker leaves something open; the message
                names the option that tells it.
        """
        opening = opening or Opening(**fields)
        loaded = load(Path(path), opening)
        return cls(loaded.model, loaded.backend, opening.unknown_threshold)

    @property
    def manifest(self) -> Manifest:
        """What the file says about itself."""
        return self.model.manifest

    @property
    def labels(self) -> tuple[str, ...]:
        """Class names in index order."""
        return self.model.manifest.labels

    def prepare(self, source: Path | str | bytes | NDArray[np.uint8], *, name: str = "the photo") -> Picture:
        """Bring a photo to the model's input size.

        Args:
            source: path or content of an image file, or a decoded ``(height, width, 3)`` uint8 RGB picture.
            name: how content without a path is called in error messages.

        Returns:
            ``(height, width, 3)`` uint8 RGB.

        Raises:
            PhotoError: it cannot be read.
            InputError: an array of another shape or dtype.
        """
        size = self._shape[:2]
        if isinstance(source, np.ndarray):
            if source.ndim != 3 or source.shape[2] != 3 or source.dtype != np.uint8 or not source.size:
                raise InputError(
                    f"an array of shape {source.shape} and dtype {source.dtype}", "(height, width, 3) uint8 RGB"
                )
            return fit(source, *size)
        return prepare(source if isinstance(source, bytes) else Path(source), *size, name=name)

    def predict(self, source: Path | str | bytes | NDArray[np.uint8], top_k: int = 5) -> Prediction:
        """Classify one photo. Arguments and errors as `prepare`; ``top_k`` classes are listed, at least 1."""
        return self.prediction(self.probabilities(self.prepare(source)[np.newaxis])[0], top_k)

    def probabilities(self, batch: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Classify prepared pictures.

        Args:
            batch: ``(n, height, width, 3)`` uint8 RGB at the model's input size, n >= 1.

        Returns:
            ``(n, classes)`` float32 probabilities.

        Raises:
            InputError: an array of another shape or dtype.
        """
        self.check(batch)
        return self.backend.run(batch)

    def check(self, batch: NDArray[np.uint8]) -> None:
        """Raise InputError for anything but ``(n, height, width, 3)`` uint8 at the model's input size, n >= 1."""
        if batch.shape[1:] != self._shape or batch.dtype != _UINT8 or not len(batch):
            raise InputError(
                f"an array of shape {batch.shape} and dtype {batch.dtype}",
                f"(n, {', '.join(map(str, self._shape))}) uint8 RGB",
            )

    def stream(
        self,
        sources: Source | Iterable[Source],
        top_k: int = 5,
        *,
        classes: Sequence[str] | None = None,
        every: int | None = None,
        allow_url: bool = False,
        allow_private: bool = False,
    ) -> Iterator[Row]:
        """Classify many photos; while one is answered, the next ones are read and decoded in threads.

        >>> for row in classifier.stream(["new-photos", "more/**/*.jpg"]):
        ...     print(row.name, row.prediction.label if row.prediction else row.error)

        Args:
            sources: one or an endless iterable of: a photo, folder, pattern, list of paths, video or URL (see
                `edgewise.runtime.sources.find`), the content of an image file, or a ``(height, width, 3)`` uint8 RGB
                array. It is iterated in another thread, a bounded number ahead.
            top_k: largest number of classes to list, at least 1.
            classes: only these may be answers; their probabilities stay as they are. None: all.
            every: of a video each n-th frame; None: each frame, and videos in folders are left alone.
            allow_url: fetch http and https URLs, within limits of time and size.
            allow_private: also from addresses of this machine and its network.

        Yields:
            A frozen `Row` for each photo, in order; one that cannot be read has an ``error`` and no ``prediction``.
            Use the classifier for nothing else until the iterator is at its end or closed.

        Raises:
            InputError: a class that the model does not know; from the iterator: a source that does not exist.
        """
        from edgewise.runtime.stream import stream

        return stream(self, sources, top_k, classes, every, allow_url=allow_url, allow_private=allow_private)

    def prediction(
        self, probabilities: NDArray[np.float32], top_k: int = 5, among: Sequence[int] | None = None
    ) -> Prediction:
        """Turn one row of probabilities ``(classes,)`` into an answer with the ``top_k`` best classes.

        ``among`` are the indices of the classes that may be answers, None: all; probabilities stay as they are.
        """
        chosen = np.arange(len(probabilities)) if among is None else np.asarray(among)
        order = chosen[np.argsort(-probabilities[chosen], kind="stable")[: max(top_k, 1)]]
        top = tuple(Score(self.labels[index], int(index), float(probabilities[index])) for index in order)
        known = self.unknown_threshold is None or top[0].probability >= self.unknown_threshold
        return Prediction(top[0].label if known else UNKNOWN, top[0].probability, top)
