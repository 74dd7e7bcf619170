"""Studies: many runs, launched where they are missing, collected from MLflow, and set beside published numbers."""

from sedsep.studies.command import main
from sedsep.studies.figures import curves, dots
from sedsep.studies.study import Row, Study

__all__ = ["Row", "Study", "curves", "dots", "main"]
