"""What stands in place of a terminal: whole tables."""

from __future__ import annotations

import pytest
from rich.table import Table

from sedsep.console import print_table


def test_a_table_in_a_file_is_as_wide_as_its_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(*(f"column {index}" for index in range(30)))
    table.add_row(*(f"{index}.123456" for index in range(30)))
    print_table(table)
    shown = capsys.readouterr().out
    assert all(f" {index}.123456 " in shown for index in range(30))
