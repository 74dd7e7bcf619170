"""task=verify: what a data set holds, and everything that is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich import box
from rich.console import Console
from rich.table import Table

from sedsep.datasets.verify import Content, Verdict, verify
from sedsep.errors import UserError
from sedsep.labels import LabelSet
from sedsep.tasks.session import data_root

OTHERS = {
    "interference": "interference ({labels} classes)",
    "noise": "background",
    "room_ir": "rooms",
    "soundscape": "recordings",
    "oracle_target": "their targets",
}
"""How the groups without classes of ours are called in the table."""


def run(config: DictConfig) -> None:
    """Print the contents by class and split and every problem, and write both to verify.json in the run directory.

    Raises:
        UserError: something is wrong.
    """
    verdict = verify(
        data_root(config),
        LabelSet(tuple(config.labels.names)),
        config.sample_rate,
        config.microphones,
        splits=_splits(config),
        decode=config.task.decode,
    )
    if verdict.contents:
        Console().print(_table(verdict, _splits(config)))
    for problem in verdict.problems:
        print(f"{problem.kind}: {problem.text}")
    file = Path(config.paths.run) / "verify.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(_plain(verdict, config.task.decode), indent=1) + "\n", encoding="utf-8")
    if count := len(verdict.problems):
        raise UserError(
            f"{verdict.root} has {count} problem{'s' * (count > 1)}, listed above and in {file}: mend and verify again."
        )
    print(f"Nothing is wrong with {verdict.root}.")


def _splits(config: DictConfig) -> tuple[str, ...]:
    module = config.data.module
    return module.train_split, module.valid_split, module.test_split


def _table(verdict: Verdict, order: Sequence[str]) -> Table:
    """A row for each class and each other group; files, hours and size for each split."""
    present = {content.split for content in verdict.contents}
    splits = [*(split for split in dict.fromkeys(order) if split in present), *sorted(present - set(order))]
    table = Table(
        title=str(verdict.root), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0)
    )
    table.add_column("\n")
    for split in splits:
        for column in (f"{split}\nfiles", "\ntime", "\nMB"):
            table.add_column(column, justify="right", no_wrap=True)
    for name, contents in _rows(verdict.contents):
        by_split = [[content for content in contents if content.split == split] for split in splits]
        table.add_row(name, *(cell for group in by_split for cell in _cells(group)))
    if verdict.scenes:
        table.add_section()
        counts = [str(verdict.scenes.get(split, "")) for split in splits]
        table.add_row("fixed scenes", *(cell for count in counts for cell in (count, "", "")))
    table.add_section()
    table.add_row("all", *(cell for s in splits for cell in _cells(c for c in verdict.contents if c.split == s)))
    return table


def _rows(contents: Sequence[Content]) -> list[tuple[str, list[Content]]]:
    events = [content for content in contents if content.group == "sound_event"]
    labels = sorted({str(content.label) for content in events})
    rows = [(label, [content for content in events if content.label == label]) for label in labels]
    for group, title in OTHERS.items():
        others = [content for content in contents if content.group == group]
        if others:
            rows.append((title.format(labels=len({content.label for content in others})), others))
    return rows


def _cells(contents: Iterable[Content]) -> tuple[str, str, str]:
    listed = list(contents)
    if not listed:
        return "", "", ""
    seconds = sum(content.seconds for content in listed)
    size = sum(content.size for content in listed)
    hours = _clock(seconds) if seconds else ""
    return str(sum(content.files for content in listed)), hours, f"{size / 1e6:.1f}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _plain(verdict: Verdict, decoded: bool) -> dict[str, Any]:
    return {
        "root": str(verdict.root),
        "decoded": decoded,
        "contents": [
            {
                "split": content.split,
                "group": content.group,
                "label": content.label,
                "files": content.files,
                "hours": round(content.seconds / 3600, 6),
                "bytes": content.size,
            }
            for content in verdict.contents
        ],
        "scenes": verdict.scenes,
        "problems": [
            {"kind": problem.kind, "path": str(problem.path), "text": problem.text} for problem in verdict.problems
        ],
    }
