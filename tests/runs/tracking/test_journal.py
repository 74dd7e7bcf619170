"""The journal by itself: what it repeats, and what it passes over."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from sedsep.runs.tracking.base import Steps
from sedsep.runs.tracking.journal import EVENTS, Event, Journal, events


def told(journal: Journal) -> list[Event]:
    return [replace(event, t=0) for _, event in events(journal.folder)]


def begin(journal: Journal, params: Mapping[str, object], tags: Mapping[str, str]) -> None:
    journal.begin("job", "sqlite:////store.db", "test", params, tags)


def test_every_line_is_on_its_way_at_once(tmp_path: Path) -> None:
    """A kill comes at any moment."""
    journal = Journal(tmp_path)
    journal.steps({"loss": math.inf}, 5)
    assert told(journal) == [Event(0, metrics={"loss": math.inf}, step=5)]


def test_an_event_holds_no_more_than_a_request_takes(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    begin(journal, {f"p{index}": index for index in range(250)}, {f"t{index}": "x" for index in range(101)})
    assert [len(event.params) for event in told(journal) if event.params] == [100, 100, 50]
    assert [len(event.tags) for event in told(journal) if event.tags] == [100, 1]


def test_a_file_of_the_directory_is_found_when_that_has_moved(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "job")
    journal.artifact(tmp_path / "job" / "figures" / "a.svg", "figures")
    assert [event.file for event in told(journal)] == [("figures/a.svg", "figures")]


def test_damaged_lines_cost_themselves_alone(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    begin(journal, {"seed": 1}, {})
    key = journal.key
    journal.close()
    with (tmp_path / "tracking" / EVENTS).open("ab") as file:
        file.write(b"\0\0\0\n[1]\n" + json.dumps({"t": 1, "tags": {"a": "b"}}).encode() + b"\n{torn")
    again = Journal(tmp_path)
    again.tags({"a": "b", "c": "d"})
    assert again.key == key
    assert told(again)[-1] == Event(0, tags={"c": "d"})


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_steps_of_any_attempts_make_one_curve(first: int, back: int, more: int) -> None:
    known, curve = Steps(), []
    for attempt in (range(first), range(max(0, first - back), first + more)):
        for step in attempt:
            new = known.new({"loss": float(step)}, step)
            known.take(new, step)
            curve += [step] * len(new)
    assert curve == list(range(first + more))
