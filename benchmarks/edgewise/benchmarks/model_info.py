"""What a benchmark has to know of a model file before it runs it. The file is read, never loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgewise.runtime.graph import macs
from edgewise.runtime.inspection import gzip_size, read_graph
from edgewise.runtime.modelfile import ModelFile, read_model
from edgewise.spec import EdgewiseError, Format, ModelError
from edgewise.spec.files import path_text, sha256_file


@dataclass(frozen=True)
class ModelInfo:
    """One readable file."""

    path: Path
    format: Format
    scheme: str  # such as "int8"
    labels: tuple[str, ...]
    height: int  # pixels of the input
    width: int
    sha256: str
    bytes: int
    gzip_bytes: int
    macs: int  # multiply-accumulates for one photo; 0: not known


def read_info(path: Path, digest: str, gzip_bytes: int, index: str) -> ModelInfo:
    """Read a file.

    Args:
        path: the file.
        digest: SHA-256 that it should have; empty: any.
        gzip_bytes: its compressed size, where that is known with the digest; 0: it is found out.
        index: name of the file that tells the digest, for messages.

    Raises:
        ModelError: it is not there, damaged, not ours, or of another digest.
    """
    if digest and path.is_file() and sha256_file(path) != digest:
        raise ModelError(
            f"{path_text(path)} is not the file that {index} describes: its SHA-256 differs",
            do="copy or export the release again",
        )
    model = read_model(path)
    size = model.manifest.input
    return ModelInfo(
        path=path,
        format=model.format,
        scheme=model.manifest.scheme.value,
        labels=tuple(model.manifest.labels),
        height=size.height,
        width=size.width,
        sha256=model.sha256,
        bytes=len(model.content),
        gzip_bytes=gzip_bytes if digest and gzip_bytes > 0 else gzip_size(model.content),
        macs=count_macs(model),
    )


def count_macs(model: ModelFile) -> int:
    """Multiply-accumulates for one photo; 0 where a shape is not known."""
    try:
        graph = read_graph(model.format, model.content, path_text(model.path))
    except EdgewiseError:  # the backends may understand what our reader does not
        return 0
    counts = [macs(graph, node) for node in graph.nodes]
    return 0 if None in counts else sum(count or 0 for count in counts)
