"""Figures of a report: one drawing gives the SVG of the page and a PNG file."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Text and axes. In the page they take the colour of its text, so that a figure fits both the
# light and the dark page.
INK = "#1f2328"
# Distinct for readers with colour blindness (Okabe and Ito 2008), on light and on dark.
BEST, PLAIN, WORSE, GOOD = "#d55e00", "#3b8ec2", "#9aa0a6", "#009e73"
RAMP = "viridis"

_WIDTH = 9.6  # inches; 72 units of the SVG each
_PNG_DPI = 144
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "venation",
    "font.size": 9.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#9aa0a6",
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "figure.dpi": 72,
    # Names of classes and files are no formulas.
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Drawing:
    """A finished figure: its file name without suffix, its title, and what it shows in words."""

    name: str
    title: str
    alt: str
    svg: str
    png: bytes


class Canvas:
    """A figure that is being drawn; ``finish`` makes the drawing."""

    def __init__(self, *, height: float, rows: int = 1, columns: int = 1, width: float = _WIDTH) -> None:
        self.figure = Figure(figsize=(width, height), layout="constrained")
        self.grid = self.figure.subplots(rows, columns, squeeze=False)

    @property
    def axes(self) -> Axes:
        """The only, or the first, pair of axes."""
        return self.grid[0, 0]

    def finish(self, name: str, title: str, alt: str) -> Drawing:
        """Return the drawing; the PNG has the title in it, the page has it above the figure."""
        svg = io.StringIO()
        self.figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        self.figure.suptitle(title)
        png = io.BytesIO()
        self.figure.savefig(png, format="png", dpi=_PNG_DPI, facecolor="white")
        return Drawing(name, title, alt, _inline(svg.getvalue(), name), png.getvalue())


@contextmanager
def drawing_style() -> Iterator[None]:
    """Draw in the style of reports inside the block."""
    with matplotlib.rc_context(_STYLE):
        yield


def _inline(svg: str, name: str) -> str:
    """Return an SVG file as an element of a page: own ids, the page's text colour."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"\s*<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = svg.replace(INK, "currentColor")
    return re.sub(r'<svg .*?viewBox="([^"]+)".*?>', _ROOT, svg, count=1, flags=re.DOTALL)


_ROOT = r'<svg viewBox="\1" xmlns:xlink="http://www.w3.org/1999/xlink" aria-hidden="true" focusable="false">'
