"""What `run.py` can do: one module a task, each composing the parts of the suite."""

from sedsep.tasks.entry import guarded, run

__all__ = ["guarded", "run"]
