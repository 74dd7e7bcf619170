"""The events of a scene as dcase_util knows them, and in the text format of the DCASE challenges.

One line an event: onset and offset in seconds and the label, separated by tabs, in order of onset. An event lasts as
long as the sound that was played; its reverberation is not counted, as in other synthetic sets with strong labels.

The frame targets of training are not made by dcase_util's event-roll encoder: it rounds onsets down and offsets up, so
that a frame counts which an event only touches, where the recipe scales spans in samples to frames and rounds both
(`sedsep.training.sed.frame_labels`). The two differ by up to a frame at each end, and the trained networks follow the
recipe.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sedsep.types import SceneSpec

if TYPE_CHECKING:
    from dcase_util.containers import MetaDataContainer  # type: ignore[import-untyped]


def annotation(spec: SceneSpec) -> MetaDataContainer:
    """The target events of a scene: `onset` and `offset` in seconds, rounded to microseconds, and `event_label`."""
    from dcase_util.containers import MetaDataContainer  # half a second, which only those who write files wait for

    return MetaDataContainer(
        [
            {
                "onset": round(event.event_time, 6),
                "offset": round(min(event.event_time + event.event_duration, spec.duration), 6),
                "event_label": event.label,
            }
            for event in sorted(spec.foreground, key=lambda event: event.event_time)
        ]
    )


def write_annotation(spec: SceneSpec, path: Path) -> None:
    """Write the events of a scene to the text file `path`, whose folder must exist."""
    annotation(spec).save(filename=str(path))
