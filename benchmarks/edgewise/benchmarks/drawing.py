"""What all drawings of the report share: sizes, the page's colours, and the way from a figure to SVG."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from edgewise.spec.svg import for_page

WIDTHS = {"wide": 8.4, "narrow": 4.1}
"""Width in inches for each shape of screen; text is in points, so that it stays readable in both."""

INKS = {
    "#010101": "var(--ink)",
    "#020202": "var(--quiet)",
    "#030303": "var(--line)",
    "#040404": "var(--litert)",
    "#050505": "var(--onnxruntime)",
    "#060606": "var(--keras)",
    "#070707": "var(--card)",
    "#080808": "var(--openvino)",
}
"""Colours that stand for the page's own, so that one drawing fits light and dark."""

INK, QUIET, LINE, *_, CARD, _OPENVINO = INKS
COLORS = {"litert": "#040404", "onnxruntime": "#050505", "keras": "#060606", "openvino": _OPENVINO}
MARKERS = {"litert": "o", "onnxruntime": "D", "keras": "s", "openvino": "^"}

MANY_TIMES = 6.0
"""Above this ratio of the slowest to the fastest row an axis of times is logarithmic."""


def draw(shape: str, height: float, paint: Callable[[Any], None], salt: str) -> str:
    """Draw for the page.

    Args:
        shape: a key of WIDTHS.
        height: inches.
        paint: draws into the matplotlib figure that it is given. Names are taken as they are, never as mathematics.
        salt: another one for every drawing of a page, so that their inner names differ.

    Returns:
        An ``<svg>`` element for HTML, with names escaped, without links to anything outside.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    look = {
        "svg.fonttype": "none",
        "svg.hashsalt": f"edgewise-{salt}-{shape}",
        "font.size": 10,
        "text.parse_math": False,
    }
    with mpl.rc_context(look), _no_glyph_warnings():
        figure = Figure(figsize=(WIDTHS[shape], height), layout="constrained")
        paint(figure)
        written = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Type", "Format"))
        figure.savefig(written, format="svg", transparent=True, metadata=nothing)
    return for_page(written.getvalue(), INKS)


def style(axes: Any, *, grid: str = "both") -> None:
    """Quiet axes: a pale grid, no frame. ``grid`` is "x", "y" or "both"."""
    axes.grid(color=LINE, linewidth=0.8, axis=grid)
    axes.set_axisbelow(True)
    for name, spine in axes.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color(LINE)
    axes.tick_params(colors=QUIET, length=0)
    for written in (axes.xaxis.label, axes.yaxis.label):
        written.set_color(QUIET)
    axes.title.set_color(INK)


def scale_of_times(axes: Any, fastest: float, slowest: float, label: str) -> None:
    """Lay out a level axis of milliseconds: from zero, or logarithmic where ``slowest`` is `MANY_TIMES` ``fastest``."""
    if slowest / fastest <= MANY_TIMES:
        axes.set_xlim(0, slowest * 1.3)
        axes.set_xlabel(f"{label}, ms  ← faster", fontsize=9.5)
        return
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.set_xlim(fastest / 1.5, slowest * 2)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel(f"{label}, ms (logarithmic)  ← faster", fontsize=9.5)


@contextmanager
def _no_glyph_warnings() -> Iterator[None]:
    """A name in a script that matplotlib's font lacks is shown by the browser's; the warning helps nobody."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")
        yield
