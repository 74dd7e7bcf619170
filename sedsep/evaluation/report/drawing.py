"""What all figures share: the look, in the reader's light or dark mode, and the way to SVG bytes."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterable
from functools import wraps
from itertools import cycle
from typing import Any, ParamSpec
from urllib.parse import quote

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

P = ParamSpec("P")

SERIES_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's palette, which the common colour-vision deficiencies keep apart; the colours that stand out on
white as well as on black come first."""

KNOWN = ("tagger", "baseline", "oracle")
"""Label sources with a colour of their own, the same in every figure."""

# Inches at 72 points each: for half the page, and for a third of it with text of the same size on the screen.
WIDE, NARROW = (4.6, 1.75), (3.8, 1.55)

# Stands for "the text colour of the page": replaced by `currentColor` in the SVG, and used nowhere else.
INK = "#0a1b2c"
_THEME = "<style>svg{color:#3f464f}@media (prefers-color-scheme:dark){svg{color:#c3c9d1}}</style>"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "sedsep",
    "text.parse_math": False,  # a label with two dollar signs is a name, not a formula
    "font.size": 9,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "savefig.bbox": None,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": INK,
    "grid.alpha": 0.18,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}


def as_svg(build: Callable[P, Figure]) -> Callable[P, bytes]:
    """Turn a function that builds a figure into one that returns it as SVG bytes, in the style of the pages."""

    @wraps(build)
    def draw(*args: P.args, **kwargs: P.kwargs) -> bytes:
        with mpl.rc_context(_STYLE):  # the caller's own settings hold again after it
            return _svg(build(*args, **kwargs))

    return draw


def _svg(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Text stays text, in the reader's own font.
    text = re.sub(r"(font: [^;\"]*?px|font-family:) [^;\"]*", r"\1 system-ui, sans-serif", text)
    text = text.replace(INK, "currentColor")
    text = re.sub(r"(?<=data:image/png;base64,)[^\"]+", lambda match: _indexed(match[0]), text)
    return re.sub(r"(<svg[^>]*>)", rf"\1{_THEME}", text, count=1).encode()


def _indexed(png: str) -> str:
    """The same image (base64 PNG) with a palette: what Matplotlib writes in full colour takes thrice the space."""
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA"))
    palette, indices = np.unique(pixels.reshape(-1, 4), axis=0, return_inverse=True)
    if len(palette) > 256:
        return png
    image = Image.fromarray(indices.reshape(pixels.shape[:2]).astype(np.uint8), mode="P")
    image.putpalette(palette[:, :3].tobytes())
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True, transparency=palette[:, 3].tobytes())
    return base64.b64encode(buffer.getvalue()).decode()


def colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name: label sources keep theirs, others share what is left."""
    names = list(names)
    own = {name: SERIES_COLOURS[KNOWN.index(name)] for name in names if name in KNOWN}
    free = cycle([colour for colour in SERIES_COLOURS if colour not in own.values()])
    return {name: own[name] if name in own else next(free) for name in names}


def plain(height: float) -> tuple[Figure, Axes]:
    """A figure half a page wide and `height` inches high, with its axes."""
    figure = Figure(figsize=(WIDE[0], height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axisbelow(True)
    return figure, axes


def legend(figure: Figure, handles: list, names: list[str]) -> None:
    """Name what is drawn above it, unless it is one kind of bar."""
    if len(names) > 1 or (names and isinstance(handles[0], Line2D)):
        # Matplotlib leaves out names that begin with an underscore: a zero-width space keeps them.
        shown = [f"\u200b{name}" if name.startswith("_") else name for name in names]
        # A legend wider than the figure loses its last columns: a letter takes some 4.3 points, a sample 36.
        widths, room = [36 + 4.3 * len(name) for name in names], 72 * figure.get_figwidth()
        columns = len(names) if sum(widths) <= room else max(1, int(room / max(widths)))
        figure.legend(handles, shown, loc="outside upper left", ncols=columns, borderpad=0, columnspacing=1.2)


def tidy(bar: Colorbar) -> None:
    """Leave the colours of a colour bar only."""
    bar.outline.set_visible(False)
    # As an image: the edges between vector steps shine through as lines.
    if bar.solids is not None:
        bar.solids.set_rasterized(True)


def heat(colour: str) -> Colormap:
    """From nothing to `colour` by opacity, so that zero is the page itself, light or dark."""
    red, green, blue, _ = mpl.colors.to_rgba(colour)
    return LinearSegmentedColormap.from_list("heat", [(red, green, blue, 0.04), (red, green, blue, 1.0)], N=32)


def svg_uri(svg: bytes) -> str:
    """An SVG as the address of an image."""
    # Percent signs instead of base64: the image within the SVG is base64 already, and twice costs a third more.
    return "data:image/svg+xml," + quote(svg, safe="/+=;, ()!*'.-_~$@")
