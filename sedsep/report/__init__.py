"""The report: one HTML page with the numbers, curves, sounds and pictures of a run."""

from sedsep.report.data import ORACLE, ClassRow, Curve, Example, Report, Stem
from sedsep.report.page import charts, render, write_report

__all__ = ["ORACLE", "ClassRow", "Curve", "Example", "Report", "Stem", "charts", "render", "write_report"]
