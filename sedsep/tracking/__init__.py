"""Where results go: `logger=mlflow`, `csv` or `none` make a `Logging`, which gives each job its `Tracker`."""

from sedsep.tracking.base import Logging, NoTracking, Tracker
from sedsep.tracking.csv_file import Csv, HistoryLogger, read_history
from sedsep.tracking.mlflow_runs import Mlflow

__all__ = ["Csv", "HistoryLogger", "Logging", "Mlflow", "NoTracking", "Tracker", "read_history"]
