"""``edgewise inspect``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.console import load
from edgewise.cli.model_options import chosen_of
from edgewise.spec.opening import Opening
from edgewise.spec.printable import printable

if TYPE_CHECKING:
    from edgewise.train.run import Run

FEW_LABELS = 5
"""Class names that are printed; --json has all of them."""

MOST_LETTERS = 60
"""Letters of a node's name that are printed; converters make names of hundreds."""

MOST_ISLANDS = 20
"""Float islands that are printed; --json has all of them."""

_TITLE_WIDTH = 14
_RUN_MARK = "config.yaml"


def inspect(
    model: Annotated[
        Path,
        typer.Argument(
            help="A .tflite or .onnx file, a run folder, or a release with a chosen file.", show_default=False
        ),
    ],
    graph: Annotated[bool, typer.Option("--graph", help="List every node of a file, in order.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> None:
    """Show what is in a model: manifest, inputs, operators, weights, cost, and what an int8 file computes in float."""
    if (model / _RUN_MARK).is_file():
        data = _run_data(model)
        lines = _run_lines(data)
    else:
        from edgewise.runtime.inspection import inspect_file

        data = inspect_file(chosen_of(model, Opening())[0]).to_data(graph=graph)
        lines = _file_lines(data)
    if as_json:
        typer.echo(json.dumps(data))
        return
    for line in lines:
        # Names come from the file: nothing in them may steer the terminal.
        typer.echo(printable(line))


def _file_lines(data: Mapping[str, Any]) -> Iterable[str]:
    yield _fact("file", f"{data['path']}, {data['format']}")
    yield _fact("size", f"{_bytes(data['bytes'])}, {_bytes(data['gzip_bytes'])} gzip-compressed")
    yield _fact("SHA-256", data["sha256"])
    yield from _manifest_lines(data["manifest"], sealed=data["sealed"])
    for title in ("inputs", "outputs"):
        for tensor in data[title]:
            yield _fact(title.removesuffix("s"), _tensor(tensor))
    yield from _cost_lines(data)
    yield _fact("computes in", _arithmetic(data))
    for remark in data["remarks"]:
        yield _fact("remark", remark)
    yield ""
    yield f"operators ({sum(data['operators'].values())})"
    width = max(map(len, data["operators"]), default=0)
    for operator, count in data["operators"].items():
        yield f"  {operator:<{width}} {count:>6}"
    yield from _island_lines(data["islands"])
    if "graph" in data:
        yield from _graph_lines(data["graph"])


def _fact(title: str, value: object) -> str:
    return f"{title:<{_TITLE_WIDTH}}{value}"


def _cut(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else name[: MOST_LETTERS - 1] + "…"


def _bytes(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def _manifest_lines(manifest: Mapping[str, Any] | None, *, sealed: bool) -> Iterable[str]:
    if manifest is None:
        yield _fact("manifest", "none: not made by `edgewise export`")
        return
    digest = "its digest fits" if sealed else "no digest"
    yield _fact("manifest", f"{manifest['name']}, {manifest['scheme']}, {digest}")
    yield _fact("labels", _labels(manifest["labels"]))
    if calibration := manifest["calibration"]:
        yield _fact("calibration", f"{calibration['photos']} photos, {calibration['method']}")
    if accuracy := manifest["accuracy"]:
        yield _fact("accuracy", f"top-1 {accuracy['top1']:.2%} on {accuracy['photos']} {accuracy['split']} photos")
    if parity := manifest["parity"]:
        yield _fact(
            "parity",
            f"{parity['agreement']:.2%} of the answers are those of the network, which has top-1 "
            f"{parity['reference_top1']:.2%}; probabilities differ by {parity['max_difference']:.4f} at most "
            f"({parity['photos']} photos)",
        )
    yield from _probability_lines(manifest)
    for key, value in manifest["provenance"].items():
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        yield _fact("provenance", f"{key}: {shown}")


def _labels(labels: list[str]) -> str:
    rest = ", ..." if len(labels) > FEW_LABELS else ""
    return f"{len(labels)}: {', '.join(labels[:FEW_LABELS])}{rest}"


def _probability_lines(data: Mapping[str, Any]) -> Iterable[str]:
    yield _fact("temperature", f"{data['temperature']:g}")
    threshold = data["unknown_threshold"]
    yield _fact("unknown", "never answered" if threshold is None else f"below a probability of {threshold:g}")


def _tensor(tensor: Mapping[str, Any]) -> str:
    text = f"{tensor['name']}  {_shape(tensor['shape'])} {tensor['dtype']}"
    quantization = tensor["quantization"]
    if not quantization:
        return text
    scale = "not finite" if quantization["scale"] is None else f"{quantization['scale']:g}"
    channels = f", and {quantization['channels'] - 1} more" if quantization["channels"] > 1 else ""
    return f"{text}, scale {scale}, zero point {quantization['zero_point']}{channels}"


def _shape(shape: list[int | None] | None) -> str:
    return "?" if shape is None else "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"


def _cost_lines(data: Mapping[str, Any]) -> Iterable[str]:
    yield _fact("parameters", f"{data['parameters']:,}")
    least = "" if data["macs_complete"] else ", at least: some shapes are unknown"
    yield _fact("MACs", f"{data['macs']:,} for one picture{least}")
    for dtype, weights in data["weights"].items():
        yield _fact("weights", f"{weights['count']:,} of {dtype}, {_bytes(weights['bytes'])}")


def _arithmetic(data: Mapping[str, Any]) -> str:
    dtypes = [dtype for dtype in data["dtypes"] if dtype != "unknown"]
    if data["arithmetic"] == "float":
        return dtypes[0] if dtypes else "nothing that is known"
    if count := len(data["islands"]):
        return f"integers, with {count} float island{'s' if count > 1 else ''}, see below"
    return "integers everywhere"


def _island_lines(islands: list[Mapping[str, Any]]) -> Iterable[str]:
    if not islands:
        return
    yield ""
    yield f"float islands ({len(islands)}): computed in float between integers"
    for island in islands[:MOST_ISLANDS]:
        yield f"  {island['index']:>5}  {island['operator']}  {_cut(island['name'])}"
    if len(islands) > MOST_ISLANDS:
        yield f"  and {len(islands) - MOST_ISLANDS} more: see --json"


def _graph_lines(nodes: list[Mapping[str, Any]]) -> Iterable[str]:
    yield ""
    width = max((len(node["operator"]) for node in nodes), default=0)
    yield "graph"
    yield f"  {'node':>5}  {'operator':<{width}}  {'output':<22}{'MACs':>15}  inputs  name"
    for node in nodes:
        macs = "?" if node["macs"] is None else f"{node['macs']:,}" if node["macs"] else ""
        yield (
            f"  {node['index']:>5}  {node['operator']:<{width}}  {_shape(node['shape']):<22}{macs:>15}  "
            f"{'/'.join(node['dtypes'])}  {_cut(node['name'])}"
        )


def _run_data(path: Path) -> dict[str, Any]:
    """What a run folder holds, as plain data; the keys stay as they are.

    ``weights`` are those of the network, 4 bytes each; ``metrics`` and ``weights_file_bytes`` are None where training
    has not come that far. Raises ModelError, ExtraMissingError.
    """
    runs = load("edgewise.train.run", "train")
    run: Run = runs.Run.open(path)
    network = load("edgewise.train.network", "train").build(run.config.architecture)
    cost = load("edgewise.train.complexity", "train").complexity(network)
    scaling = load("edgewise.train.temperature", "train").read_scaling(path / runs.METRICS)
    from edgewise.spec.files import path_text

    return {
        "kind": "run",
        "path": path_text(path),
        "finished": run.finished,
        "architecture": run.config.architecture.to_data(),
        "labels": list(run.labels),
        "parameters": cost.parameters,
        "macs": cost.macs,
        "weights": {"float32": {"count": cost.parameters, "bytes": 4 * cost.parameters}},
        "weights_file_bytes": run.weights_path.stat().st_size if run.weights_path.is_file() else None,
        "metrics": _metrics(path / runs.METRICS),
        "temperature": scaling.temperature,
        "unknown_threshold": scaling.unknown_threshold,
        "data_sha256": run.config.data_sha256,
    }


def _metrics(path: Path) -> dict[str, Any] | None:
    """The figures that are shares and counts; `read_scaling` has looked at the file before. None: not finished."""
    if not path.is_file():
        return None
    stored = json.loads(path.read_bytes())
    found = {key: stored.get(key) for key in ("split", "photos", "top1", "top5", "macro_f1")}
    shares = [found[key] for key in ("top1", "top5", "macro_f1")]
    fine = all(isinstance(share, (int, float)) and 0 <= share <= 1 for share in shares)
    if not fine or not isinstance(found["split"], str) or not isinstance(found["photos"], int):
        from edgewise.spec.errors import ModelError

        raise ModelError(f"{path} lacks figures", "split, photos, top1, top5 and macro_f1", "train again")
    return found


def _run_lines(data: Mapping[str, Any]) -> Iterable[str]:
    architecture, metrics = data["architecture"], data["metrics"]
    size, weights = architecture["image_size"], data["weights_file_bytes"]
    yield _fact("run", f"{data['path']}{'' if data['finished'] else ', not finished'}")
    yield _fact("network", f"{architecture['backbone']}, {size} px, {architecture['classes']} classes")
    if architecture["blocks"]:
        yield _fact("blocks", ", ".join(f"{len(kept)} of {stage}" for stage, kept in architecture["blocks"].items()))
    yield _fact("labels", _labels(data["labels"]))
    yield from _cost_lines({**data, "macs_complete": True})
    yield _fact("weights file", "none yet" if weights is None else _bytes(weights))
    if metrics:
        figures = f"top-1 {metrics['top1']:.2%}, top-5 {metrics['top5']:.2%}, macro F1 {metrics['macro_f1']:.3f}"
        yield _fact("metrics", f"{figures} ({metrics['photos']} {metrics['split']} photos)")
    yield from _probability_lines(data)
