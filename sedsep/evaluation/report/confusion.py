"""What was named where something else sounded: a heat map, and the same in words.

Axes: N classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from sedsep.evaluation.report.data import Confusion
from sedsep.evaluation.report.drawing import INK, SERIES_COLOURS, drawn, svg_uri
from sedsep.evaluation.report.html import number

WORST = 5
"""Confusions that are told in words."""

RIGHT, WRONG = SERIES_COLOURS[:2]
# Beyond this opacity a cell's number, in the colour of the page's text, cannot be read in light and dark mode alike.
FAINTEST, DEEPEST = 0.12, 0.6
EMPTY = to_rgba(INK, 0.05)
GAP = 0.25
"""Between the classes and what is none, in cells."""

NAME_LENGTH = 28
"""Letters of a class name that are drawn at most."""


def confusion_view(confusion: Confusion | None) -> dict[str, Any] | None:
    """What the page says of a confusion; `None` where there is nothing to count."""
    if confusion is None or not np.any(confusion.counts):
        return None
    counts = np.asarray(confusion.counts, float)
    events, right = counts[:-1].sum(), np.trace(counts[:-1, :-1])
    return {
        "source": confusion.source,
        "image": svg_uri(confusion_figure(confusion)),
        "events": brief(events),
        "right": brief(right),
        "share": number(100 * right / events if events else None, 1, "%"),
        "other": brief(counts[:-1, :-1].sum() - right),
        "missed": brief(counts[:-1, -1].sum()),
        "invented": brief(counts[-1, :-1].sum()),
        "shared": not np.array_equal(counts, counts.round()),
        "worst": _worst(confusion.labels, counts),
    }


def _worst(labels: Sequence[str], counts: NDArray[np.float64]) -> list[dict[str, str]]:
    """The most frequent confusions of one class with another."""
    wrong = counts[:-1, :-1] * (1 - np.eye(len(labels)))
    order = np.argsort(-wrong, axis=None, kind="stable")[:WORST]
    pairs = [divmod(int(place), len(labels)) for place in order if wrong.flat[place] > 0]
    return [
        {
            "true": labels[row],
            "named": labels[column],
            "count": brief(wrong[row, column]),
            "events": brief(counts[row].sum()),
            "share": number(100 * wrong[row, column] / counts[row].sum(), 0, "%"),
        }
        for row, column in pairs
    ]


def brief(count: float) -> str:
    """A count of events for a reader: whole where it is whole, or large; five figures at most."""
    if count >= 99_999.5:
        return f"{count / 1000:.0f}k"
    return f"{count:.0f}" if count >= 100 or abs(count - round(count)) < 0.05 else f"{count:.1f}"


@drawn
def confusion_figure(confusion: Confusion) -> Figure:
    """Draw a heat map: a row a true class, a column a named class, a number where something was counted.

    What is right and what is wrong have a colour each, deeper with the share of the true class's events; what was
    named although nothing more sounded is set against a class of average size.
    """
    counts = np.asarray(confusion.counts, float)
    names = [_short(label) for label in confusion.labels]
    rows, columns = [*names, "nothing more"], [*names, "missed"]
    places = np.arange(len(rows)) + GAP * (np.arange(len(rows)) == len(names))
    side = min(0.6, max(0.33, 2.4 / len(rows)))  # inches; a cell holds five figures
    extent = side * (len(rows) + GAP)
    # Letters take some 5.2 points, the names of the axes 20.
    left, top = ((20 + 5.2 * max(map(len, names_))) / 72 for names_ in (rows, columns))
    width, height = left + extent, top + extent
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((left / width, 0, extent / width, extent / height))
    _cells(axes, _shares(counts), places)
    for row, column in np.argwhere(counts >= 0.05):
        text = brief(float(counts[row, column]))
        axes.text(places[column], places[row], text, ha="center", va="center", fontsize=7.5)
    axes.set_xticks(places, columns, rotation=90)
    axes.set_yticks(places, rows)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("Named")
    axes.set_ylabel("True")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlim(-0.5, len(names) + 0.5 + GAP)
    axes.set_ylim(len(names) + 0.5 + GAP, -0.5)
    return figure


def _short(label: str) -> str:
    return label if len(label) <= NAME_LENGTH else f"{label[: NAME_LENGTH - 1].rstrip()}…"


def _shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Counts [N + 1, N + 1] over the events of their true class, 0 to 1."""
    events = counts[:-1].sum(1)
    sizes = np.append(events, events.mean())[:, None]
    return np.minimum(np.divide(counts, sizes, out=np.zeros_like(counts), where=sizes > 0), 1)


def _cells(axes: Axes, shares: NDArray[np.float64], places: NDArray[np.float64]) -> None:
    """Colour the cells [N + 1, N + 1], except for what was neither there nor named."""
    squares, fills = [], []
    for row, column in list(np.ndindex(*shares.shape))[:-1]:
        left, right = places[column] - 0.47, places[column] + 0.47
        top, bottom = places[row] - 0.47, places[row] + 0.47
        squares.append([(left, top), (right, top), (right, bottom), (left, bottom)])
        # Confusions are rare beside what is right: the root lets them differ to the eye.
        depth = FAINTEST + (DEEPEST - FAINTEST) * float(shares[row, column]) ** 0.5
        fills.append(to_rgba(RIGHT if row == column else WRONG, depth) if shares[row, column] > 0 else EMPTY)
    axes.add_collection(PolyCollection(squares, facecolors=fills, linewidths=0))
