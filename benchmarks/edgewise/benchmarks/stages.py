"""Where the time of one photo goes, from its file to its label: the runtime's own steps, timed one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgewise.benchmarks.latency import Clock
from edgewise.benchmarks.networks import Network
from edgewise.benchmarks.task import StageSums
from edgewise.runtime.images import decode, fit, read
from edgewise.spec import PhotoError
from edgewise.spec.files import path_text


def time_stages(
    network: Network,
    photos: Sequence[str],
    clock: Clock,
    limit_ns: int,
    between: Callable[[], object] = lambda: None,
) -> StageSums:
    """Label photos one after the other until ``limit_ns`` are over; photos that cannot be read do not count.

    Args:
        network: labels them.
        photos: their paths.
        clock: with what they are timed.
        limit_ns: nanoseconds.
        between: called after each of them, outside of what is timed.
    """
    end = clock.now() + limit_ns
    sums = StageSums()
    for photo in photos:
        if sums.photos and clock.now() >= end:
            break
        try:
            spent, _ = time_one(network, Path(photo), clock)
        except PhotoError:
            continue
        sums = sums.plus(spent)
        between()
    return sums


def time_one(network: Network, path: Path, clock: Clock) -> tuple[StageSums, NDArray[np.float32]]:
    """Label one photo as `edgewise.runtime.classifier.Classifier.predict` does it.

    Returns:
        Where the time went, and the ``(classes,)`` probabilities.

    Raises:
        PhotoError: it cannot be read.
    """
    height, width = network.height, network.width
    begin = clock.now()
    content = read(path)
    were_read = clock.now()
    picture = decode(content, path_text(path), at_least=(2 * height, 2 * width))
    decoded = clock.now()
    pixels = fit(picture, height, width)[None]
    resized = clock.now()
    row = network.run(pixels)[0]
    inferred = clock.now()
    _ = network.labels[int(row.argmax())]
    spent = StageSums(
        photos=1,
        read=were_read - begin,
        decode=decoded - were_read,
        resize=resized - decoded,
        inference=inferred - resized,
        total=clock.now() - begin,
    )
    return spent, row
