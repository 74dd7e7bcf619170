"""What a data set holds, and the table that tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table

from sedsep.scenes import audio
from sedsep.scenes.layout import (
    EVENTS,
    INTERFERENCE,
    MIXTURES,
    NOISE,
    ROOMS,
    TARGETS,
    Layout,
    places,
    recorded_splits,
)  # fmt: skip
from sedsep.scenes.problems import raise_first

GROUPS = {
    EVENTS: "sounds ({labels} classes)",
    INTERFERENCE: "interference ({labels} classes)",
    NOISE: "background",
    ROOMS: "rooms",
    MIXTURES: "recordings",
    TARGETS: "their targets",
}
"""How the groups are called in the table."""


@dataclass
class Content:
    """What a place in the data set holds.

    Attributes:
        split: the split.
        group: sound_event, interference, noise, room_ir, or soundscape and oracle_target of mixtures kept as audio.
        label: of the sounds; `None` for groups without labels.
        files: how many.
        seconds: of audio in them.
        size: bytes.
    """

    split: str
    group: str
    label: str | None
    files: int = 0
    seconds: float = 0.0
    size: int = 0

    def add(self, size: int, info: audio.AudioInfo | None) -> None:
        """Count a file of `size` bytes; rooms have no `info`."""
        self.files += 1
        self.size += size
        self.seconds += info.duration if info else 0.0


def contents(layout: Layout) -> list[Content]:
    """One entry for each split, group and label, from headers alone.

    Raises:
        UserError: a folder is empty, or a header is not what it must be.
    """
    entries = []
    for split in sorted({*layout.split_names, *recorded_splits(layout.root)}):
        infos = layout.split(split).infos if split in layout.split_names else {}
        for place in places(layout.root, split):
            raise_first(place.problems())
            content = Content(split, place.group, place.label)
            for path in place.files:
                info = None if place.group == ROOMS else infos.get(path) or audio.info(path)
                content.add(path.stat().st_size, info)
            entries.append(content)
    return entries


def contents_table(
    title: str,
    contents: Sequence[Content],
    order: Sequence[str] = (),
    scenes: Mapping[str, int] | None = None,
    by_class: bool = True,
) -> Table:
    """Files, hours and megabytes in each split.

    Args:
        title: stands above.
        contents: what is told.
        order: of the splits; others follow by name.
        scenes: fixed ones of each split.
        by_class: a row for each class of the sounds, beside those for the groups.
    """
    present = {content.split for content in contents}
    splits = [*(split for split in dict.fromkeys(order) if split in present), *sorted(present - set(order))]
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("\n")
    for split in splits:
        for column in (f"{split}\nfiles", "\ntime", "\nMB"):
            table.add_column(column, justify="right", no_wrap=True)

    def add_row(name: str, part: Sequence[Content]) -> None:
        table.add_row(name, *(cell for split in splits for cell in _cells([c for c in part if c.split == split])))

    if by_class:
        events = [content for content in contents if content.group == EVENTS]
        for label in sorted({str(content.label) for content in events}):
            add_row(label, [content for content in events if content.label == label])
        table.add_section()
    for group, name in GROUPS.items():
        if part := [content for content in contents if content.group == group]:
            add_row(name.format(labels=len({content.label for content in part})), part)
    if scenes:
        table.add_section()
        table.add_row("fixed scenes", *(cell for split in splits for cell in (str(scenes.get(split, "")), "", "")))
    table.add_section()
    add_row("all", contents)
    return table


def _cells(contents: Sequence[Content]) -> tuple[str, str, str]:
    """Files, time and megabytes; nothing where there are none."""
    if not contents:
        return "", "", ""
    minutes, seconds = divmod(round(sum(content.seconds for content in contents)), 60)
    hours, minutes = divmod(minutes, 60)
    time = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
    silent = not any(content.seconds for content in contents)
    size = sum(content.size for content in contents)
    return str(sum(content.files for content in contents)), "" if silent else time, f"{size / 1e6:.1f}"
