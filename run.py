"""The entry of the suite in a clone: `python run.py --help`; `sedsep` and `python -m sedsep` do the same."""

from sedsep.__main__ import command

if __name__ == "__main__":
    command()
