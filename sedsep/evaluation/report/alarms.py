"""The page of false alarms: thresholds for a wanted rate, and a curve a class."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sedsep.evaluation.alarms import Alarms
from sedsep.evaluation.report.figures import Curve, curve_figure
from sedsep.evaluation.report.html import write_page

SHOWN = 20
"""A curve ends at so many times the wanted rate, or at so many alarms in all."""


def write_alarms(
    path: Path,
    alarms: Alarms,
    rate: float,
    threshold: float,
    *,
    title: str,
    subtitle: str,
    facts: Sequence[tuple[str, str]],
) -> None:
    """Write a self-contained page.

    Args:
        path: the HTML file.
        alarms: what was heard.
        rate: wanted alarms of a class an hour.
        threshold: that taggers name classes from where nothing else is said.
        title: heading.
        subtitle: the line below it.
        facts: (name, value) pairs on where it is from.

    Raises:
        UserError: the file cannot be written there.
    """
    wanted = alarms.wanted(rate)
    most = max(SHOWN * rate, SHOWN / alarms.hours)
    curves = {}
    for label in alarms.labels:
        points = [one for one in alarms.curve(label) if one.alarms_per_hour <= most]
        line = ([one.alarms_per_hour for one in points], [one.recall for one in points])
        curves[label] = curve_figure(
            Curve(
                label,
                "False alarms an hour",
                "Recall (%)",
                {"recall": line},
                mark=(rate, f"{rate:g} an hour"),
                share=True,
            )
        )
    write_page(
        path,
        "alarms.html",
        title=title,
        subtitle=subtitle,
        facts=facts,
        hours=alarms.hours,
        windows=len(alarms.windows),
        scenes=len(alarms.scenes),
        rate=rate,
        threshold=threshold,
        so_far=sum(alarms.at(label, threshold).alarms_per_hour for label in alarms.labels),
        too_short=rate * alarms.hours < 1,
        sounds={label: int(alarms.true[:, index].sum()) for index, label in enumerate(alarms.labels)},
        wanted=wanted,
        curves=curves,
    )
