"""Figures for Prometheus, in its text format 0.0.4 (https://prometheus.io/docs/instrumenting/exposition_formats/)."""

from __future__ import annotations

from typing import Any

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_COUNTERS = {
    "frames_captured_total": ("captured", "Frames read from the source."),
    "frames_classified_total": ("classified", "Frames that were classified."),
    "frames_dropped_total": ("dropped", "Frames replaced by a newer one before they were classified."),
    "source_reopened_total": ("reopened", "Times the source was lost and opened again."),
}
_GAUGES = {
    "source_up": ("up", 1.0, "1 while the source gives frames, else 0."),
    "inference_seconds": ("inference_ms", 1e-3, "Time of the newest answer in the network."),
    "frame_age_seconds": ("age_ms", 1e-3, "Age of the newest classified frame: at its answer, or by now."),
    "answers_per_second": ("fps", 1.0, "Answers per second over the last 30."),
    "probability": ("probability", 1.0, "Probability of the newest answer, 0-1."),
    "viewers": ("viewers", 1.0, "Browsers that watch."),
    "cameras": ("cameras", 1.0, "Browsers that send their camera."),
}


def metrics_text(figures: dict[str, Any]) -> str:
    """Write the figures that are there; values of the page's messages, see ``page/live.js``."""
    lines: list[str] = []
    for name, (key, what) in _COUNTERS.items():
        lines += _sample(name, "counter", what, figures.get(key), 1.0)
    for name, (key, factor, what) in _GAUGES.items():
        lines += _sample(name, "gauge", what, figures.get(key), factor)
    return "".join(f"{line}\n" for line in lines)


def _sample(name: str, kind: str, what: str, value: float | None, factor: float) -> list[str]:
    if value is None:
        return []
    full = f"edgewise_{name}"
    return [f"# HELP {full} {what}", f"# TYPE {full} {kind}", f"{full} {value * factor:.6g}"]
