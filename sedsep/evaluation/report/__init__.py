"""Pages of HTML that hold everything they show: the report of an evaluation, and scenes of a data set."""

from sedsep.evaluation.report.alarms import write_alarms
from sedsep.evaluation.report.examples import Example, Stem, take_apart
from sedsep.evaluation.report.figures import Curve
from sedsep.evaluation.report.page import training_curves, write_report
from sedsep.evaluation.report.reliability import reliability_curves
from sedsep.evaluation.report.scenes import PlacedSound, SceneSheet, write_scenes
from sedsep.evaluation.writing import show_scores

__all__ = [
    "Curve",
    "Example",
    "PlacedSound",
    "SceneSheet",
    "Stem",
    "reliability_curves",
    "show_scores",
    "take_apart",
    "training_curves",
    "write_alarms",
    "write_report",
    "write_scenes",
]
