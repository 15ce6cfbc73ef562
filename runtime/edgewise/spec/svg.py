"""Drawings within a page: an SVG file that takes its colours and its font from the HTML around it."""

from __future__ import annotations

import re
from collections.abc import Mapping


def for_page(svg: str, inks: Mapping[str, str]) -> str:
    """Strip what only a file of its own needs, and let the page choose colours and font.

    Args:
        svg: what matplotlib wrote, with text as text (``svg.fonttype`` none) and names escaped.
        inks: colours that stand for the page's own, as ``{"#010101": "var(--ink)"}``.

    Returns:
        An ``<svg>`` element for HTML, without links to anything outside.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(
        r'<svg[^>]*?viewBox="([^"]*)"[^>]*>', r'<svg viewBox="\1" role="img" aria-hidden="true">', svg, count=1
    )
    svg = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", svg)
    for stand_in, ink in inks.items():
        svg = svg.replace(stand_in, ink)
    return svg
