"""What may be overridden, by what: the whole config as types, checked in one place before anything starts."""

from sedsep.runs.command_line.settings.checking import check_settings

__all__ = ["check_settings"]
