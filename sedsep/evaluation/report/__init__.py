"""Pages of HTML that hold everything they show: the report of a run, and scenes of a data set."""

from sedsep.evaluation.report.data import (
    ORACLE,
    Bounds,
    Breakdown,
    BreakdownRow,
    ClassRow,
    Confusion,
    Curve,
    Example,
    Measured,
    Report,
    Stem,
)
from sedsep.evaluation.report.page import charts, render, write_report
from sedsep.evaluation.report.scenes import PlacedSound, SceneBook, SceneSheet, render_scenes, write_scenes

__all__ = [
    "ORACLE",
    "Bounds",
    "Breakdown",
    "BreakdownRow",
    "ClassRow",
    "Confusion",
    "Curve",
    "Example",
    "Measured",
    "PlacedSound",
    "Report",
    "SceneBook",
    "SceneSheet",
    "Stem",
    "charts",
    "render",
    "render_scenes",
    "write_report",
    "write_scenes",
]
