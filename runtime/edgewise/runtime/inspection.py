"""What is in a model file, from anywhere: its manifest, its graph, its weights, and what works in float.

The file is read, never loaded: no interpreter sees it.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from edgewise.runtime.graph import Graph, Node, Tensor, elements, macs
from edgewise.runtime.islands import Numerics, numerics
from edgewise.runtime.modelfile import check_sums, format_of, read_content, tflite_manifest
from edgewise.runtime.onnx_graph_reader import onnx_graph
from edgewise.runtime.onnxfile import onnx_manifest, refuse_foreign_parts
from edgewise.runtime.tflite_graph import tflite_graph
from edgewise.spec import Format, Manifest, ModelError
from edgewise.spec.digest import verify
from edgewise.spec.files import path_text, sha256

GZIP_LEVEL = 6
MAX_NAME = 200
"""Longer names of tensors and operators are cut off, in characters."""

_PIECE = 1 << 20
_GZIP_WINDOW = 31  # zlib's number for the largest window with the header of gzip
_MAX_DEPTH = 8
"""Levels of the provenance in a manifest that are shown."""


@dataclass(frozen=True)
class Inspection:
    """A model file that was looked at."""

    path: Path
    format: Format
    manifest: Manifest | None
    sealed: bool  # it carries a digest, which fits
    graph: Graph
    numerics: Numerics
    macs: tuple[int | None, ...]  # of each node for one picture; None: it has some, and their shapes are unknown
    sha256: str
    size: int  # bytes
    gzip_size: int  # bytes, compressed at GZIP_LEVEL
    remarks: tuple[str, ...]

    @property
    def operators(self) -> dict[str, int]:
        """How many nodes each operator has, the most frequent first, then by name."""
        counts = Counter(short(node.operator) for node in self.graph.nodes)
        return dict(sorted(counts.items(), key=lambda entry: (-entry[1], entry[0])))

    @property
    def weights(self) -> dict[str, tuple[int, int]]:
        """Of each dtype, the count of weights and their bytes in the file; the most bytes first."""
        sums: dict[str, tuple[int, int]] = {}
        for tensor in (self.graph.tensors[key] for key in self.graph.parameters):
            count, size = sums.get(tensor.dtype, (0, 0))
            sums[tensor.dtype] = count + (elements(tensor.shape) or 0), size + tensor.size
        return dict(sorted(sums.items(), key=lambda entry: -entry[1][1]))

    def to_data(self, *, graph: bool = False) -> dict[str, Any]:
        """Plain data for JSON. The keys stay as they are.

        Args:
            graph: also list every node, under ``"graph"``.

        Returns:
            ``kind`` ("file"), ``path``, ``format``, ``manifest`` (as in the file, or None), ``sealed``, ``inputs`` and
            ``outputs`` (lists of name, shape, dtype, quantization), ``operators`` (name -> count), ``parameters``,
            ``macs`` (for one picture), ``macs_complete``, ``weights`` (dtype -> count, bytes), ``arithmetic``
            ("integer" or "float"), ``dtypes`` (of the activations, the most frequent first), ``islands`` (list of
            index, operator, name), ``sha256``, ``bytes``, ``gzip_bytes``, ``remarks``; and ``graph``, a list of index,
            operator, name, shape of the first output, dtypes of the inputs, macs. None stands for what is unknown, in
            shapes too.
        """
        data = {
            "kind": "file",
            "path": path_text(self.path),
            "format": self.format.value,
            "manifest": None if self.manifest is None else _manifest_data(self.manifest),
            "sealed": self.sealed,
            "inputs": [_tensor_data(self.graph.tensors.get(key)) for key in self.graph.inputs],
            "outputs": [_tensor_data(self.graph.tensors.get(key)) for key in self.graph.outputs],
            "operators": self.operators,
            "parameters": sum(count for count, _ in self.weights.values()),
            "macs": sum(count or 0 for count in self.macs),
            "macs_complete": None not in self.macs,
            "weights": {dtype: {"count": count, "bytes": size} for dtype, (count, size) in self.weights.items()},
            "arithmetic": self.numerics.arithmetic.value,
            "dtypes": list(self.numerics.dtypes),
            "islands": [self._node_data(index) for index in self.numerics.islands],
            "sha256": self.sha256,
            "bytes": self.size,
            "gzip_bytes": self.gzip_size,
            "remarks": list(self.remarks),
        }
        if graph:
            data["graph"] = [self._full_node_data(index) for index in range(len(self.graph.nodes))]
        return data

    def _node_data(self, index: int) -> dict[str, Any]:
        node = self.graph.nodes[index]
        return {"index": index, "operator": short(node.operator), "name": self._name(node)}

    def _name(self, node: Node) -> str:
        """A node's own name; where the format has none, its first output's."""
        output = self.graph.tensors.get(node.outputs[0]) if node.outputs else None
        return short(node.name or (output.name if output else ""))

    def _full_node_data(self, index: int) -> dict[str, Any]:
        node = self.graph.nodes[index]
        return {
            **self._node_data(index),
            "shape": _plain_shape(self.graph.shape(node.outputs[0]) if node.outputs else None),
            "dtypes": [self.graph.dtype(key) for key in node.inputs if key],
            "macs": self.macs[index],
        }


def inspect_file(path: Path) -> Inspection:
    """Look into a ``.tflite`` or ``.onnx`` file, with or without a manifest.

    Raises:
        ModelError: no readable file, another kind of file, damaged, or made to take for ever.
    """
    content = read_content(path)
    name, digest = path_text(path), sha256(content)
    check_sums(path, digest)
    sealed = verify(content, name)
    form, remarks = format_of(path, content), list[str]()
    if form is Format.TFLITE:
        manifest, graph = tflite_manifest(content, name), read_graph(form, content, name)
    else:
        manifest, graph = onnx_manifest(content, name), read_graph(form, content, name)
        try:
            refuse_foreign_parts(content, name)
        except ModelError as error:
            remarks.append(f"Edgewise does not run it: {error.got}")
    if manifest:
        _check_depth(manifest.provenance, name)
    return Inspection(
        path=path,
        format=form,
        manifest=manifest,
        sealed=sealed,
        graph=graph,
        numerics=numerics(graph),
        macs=tuple(macs(graph, node) for node in graph.nodes),
        sha256=digest,
        size=len(content),
        gzip_size=gzip_size(content),
        remarks=(*graph.remarks, *remarks),
    )


def read_graph(form: Format, content: bytes, name: str) -> Graph:
    """The steps of a network and its numbers, without loading it.

    Args:
        form: of the file.
        content: the whole file.
        name: how the file is called in error messages.

    Raises:
        ModelError: it is damaged, or made to take for ever.
    """
    return (tflite_graph if form is Format.TFLITE else onnx_graph)(content, name)


def short(name: str) -> str:
    """A name from a file, not longer than MAX_NAME."""
    return name if len(name) <= MAX_NAME else name[: MAX_NAME - 1] + "…"


def gzip_size(content: bytes) -> int:
    """Bytes that a web server or an app package would send."""
    packer, whole, size = zlib.compressobj(GZIP_LEVEL, wbits=_GZIP_WINDOW), memoryview(content), 0
    for start in range(0, len(content), _PIECE):
        size += len(packer.compress(whole[start : start + _PIECE]))
    return size + len(packer.flush())


def _check_depth(provenance: Any, name: str) -> None:
    """Raise ModelError for provenance that is nested deeper than anything could print, or not finite."""
    todo = [(provenance, 0)]
    while todo:
        value, depth = todo.pop()
        if depth > _MAX_DEPTH or (isinstance(value, float) and not isfinite(value)):
            raise ModelError(
                f"{name}: 'provenance' in its manifest is nested deeper than {_MAX_DEPTH} levels, or has numbers that "
                "are not finite",
                "texts and numbers, as `edgewise export` writes them",
                "export the file again",
            )
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        todo += [(each, depth + 1) for each in inner]


def _manifest_data(manifest: Manifest) -> dict[str, Any]:
    return {**asdict(manifest), "labels": list(manifest.labels), "scheme": manifest.scheme.value}


def _tensor_data(tensor: Tensor | None) -> dict[str, Any]:
    if tensor is None:
        return {"name": "", "shape": None, "dtype": "unknown", "quantization": None}
    return {
        "name": short(tensor.name),
        "shape": _plain_shape(tensor.shape),
        "dtype": tensor.dtype,
        "quantization": asdict(tensor.quantization) if tensor.quantization else None,
    }


def _plain_shape(shape: Sequence[int | None] | None) -> list[int | None] | None:
    return None if shape is None else list(shape)
