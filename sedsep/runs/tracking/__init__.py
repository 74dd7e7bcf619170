"""Where results go: `logger=mlflow`, `csv` or `none` make a `Logging`, which gives each job its `Tracker`."""

from sedsep.runs.tracking.base import Logging, Tracker
from sedsep.runs.tracking.csv_file import Csv, HistoryLogger, read_history
from sedsep.runs.tracking.mlflow_runs import Mlflow

__all__ = ["Csv", "HistoryLogger", "Logging", "Mlflow", "Tracker", "read_history"]
