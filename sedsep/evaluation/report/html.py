"""Pages as text and as files: one look for all, and nothing fetched when one is opened."""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sedsep.errors import UserError
from sedsep.evaluation.report.data import Measured
from sedsep.files import write_whole

MISSING = "–"  # noqa: RUF001 - an en dash is meant


def fill(template: str, **values: Any) -> str:
    """The page that a template of this package makes of `values`."""
    environment = Environment(
        loader=PackageLoader("sedsep.evaluation.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    style = Markup(files("sedsep.evaluation.report").joinpath("style.css").read_text("utf-8"))
    return environment.get_template(template).render(style=style, **values)


def write_page(path: Path, text: str) -> None:
    """Write a page; the file appears whole or not at all, and an older one stays until then.

    Raises:
        UserError: the file cannot be written there.
    """
    try:
        write_whole(path, text)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"The page cannot be written to {path} ({reason}): name a file in a writable folder."
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


class Cell(NamedTuple):
    """A number for a reader: as text, and its interval as text, empty where there is none."""

    text: str
    interval: str = ""


def cell(measured: Measured, digits: int = 2, unit: str = "") -> Cell:
    """What is shown of a number and its interval."""
    value, *bounds = measured
    known = value is not None and all(map(math.isfinite, (value, *bounds)))
    low, high = (number(bound, digits) for bound in bounds)
    return Cell(number(value, digits, unit), f"{low} to {high}" if known else "")
