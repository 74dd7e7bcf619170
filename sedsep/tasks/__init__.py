"""What the command line can do: one module a task, each composing the parts of the suite."""

from sedsep.tasks.entry import main

__all__ = ["main"]
