"""Pages as text and as files: one look for all, and nothing fetched when one is opened."""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sedsep.errors import UserError, reason
from sedsep.evaluation.report.clips import PEAK, ROUNDING_DB
from sedsep.evaluation.report.drawing import svg_uri
from sedsep.files import write_whole
from sedsep.metrics.bootstrap import Estimate

MISSING = "–"  # noqa: RUF001 - an en dash is meant


def write_page(path: Path, template: str, **values: Any) -> None:
    """Fill a template of this package; the file appears whole or not at all, and an older one stays until then.

    Raises:
        UserError: the file cannot be written there.
    """
    environment = Environment(
        loader=PackageLoader("sedsep.evaluation.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": number, "interval": interval, "uri": svg_uri}
    environment.globals |= {"peak": PEAK, "rounding_db": ROUNDING_DB}
    style = Markup(files("sedsep.evaluation.report").joinpath("style.css").read_text("utf-8"))
    text = environment.get_template(template).render(style=style, **values)
    try:
        write_whole(path, text)
    except OSError as error:
        raise UserError(
            f"The page cannot be written to {path} ({reason(error)}): name a file in a writable folder."
        ) from error


def number(value: float | None, digits: int = 2, unit: str = "") -> str:
    """`value` with its unit for a reader: a true minus sign, and a dash for `None` and what is not finite."""
    if value is None or not math.isfinite(value):
        return MISSING
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    # No-break space: a number never loses its unit at the end of a line.
    return text.replace("-", "\u2212") + (f"\u00a0{unit}" if unit else "")


def interval(score: Estimate | None, digits: int = 2) -> str:
    """A score's interval for a reader; nothing where there is none."""
    if score is None or not all(map(math.isfinite, (score.value, score.low, score.high))):
        return ""
    return f"{number(score.low, digits)} to {number(score.high, digits)}"
