"""The entry of the suite: `sedsep`, `python -m sedsep`, and in a clone `python run.py`."""

import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback of what a key interrupts before `main` listens


def command() -> None:
    """Explain the suite, or run the task of the command line."""
    if {"-h", "--help"} & {*sys.argv[1:]}:
        from sedsep.runs.command_line import configs  # without Hydra: at once

        print(configs.explained(sys.argv[1:]))
    else:
        from sedsep.tasks import main

        main()


if __name__ == "__main__":
    command()
