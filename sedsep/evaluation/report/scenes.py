"""From rendered scenes to one HTML file to look at and listen to.

Axes: L samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from sedsep.evaluation.report.clips import Clips
from sedsep.evaluation.report.figures import Curve, curve_figure
from sedsep.evaluation.report.html import number, write_page
from sedsep.evaluation.report.timelines import sounds_figure
from sedsep.types import FloatArray


@dataclass(frozen=True)
class PlacedSound:
    """A sound in a scene; what is not known of it is `None` or empty.

    Attributes:
        label: class name, or what else to call it.
        role: whether it is to be separated, disturbs, or is the background.
        onset: when it begins, seconds.
        offset: when it ends, seconds; its reverberation goes on.
        file: where it is from.
        level: dB above the scene's reference, which is where a background with level 0 lies.
        level_in_mixture: of a target, dB over everything else in the mixture, at the reference channel.
        position: as in the room's file.
        reverberation: seconds the room's response at the position takes to fall by 60 dB.
        direct: dB of the direct sound over the rest of that response.
        target: the dry sound at the reference channel, float32 [L].
    """

    label: str
    role: Literal["target", "interference", "background"]
    onset: float
    offset: float
    file: str = ""
    level: float | None = None
    level_in_mixture: float | None = None
    position: tuple[float, ...] = ()
    reverberation: float | None = None
    direct: float | None = None
    target: FloatArray | None = None


@dataclass(frozen=True)
class SceneSheet:
    """A rendered scene, and what it was made of.

    Attributes:
        name: of the scene.
        sample_rate: Hz.
        mixture: reference channel, float32 [L].
        sounds: in the order they are shown.
        room: its name; empty where it is not known.
        decay: how the room's energy falls, a line a sound.
    """

    name: str
    sample_rate: int
    mixture: FloatArray
    sounds: Sequence[PlacedSound]
    room: str = ""
    decay: Curve | None = None

    @property
    def duration(self) -> float:
        """Length of the mixture, seconds."""
        return len(self.mixture) / self.sample_rate


def write_scenes(
    path: Path, sheets: Sequence[SceneSheet], *, title: str, subtitle: str = "", facts: Sequence[tuple[str, str]] = ()
) -> None:
    """Write scenes as one self-contained HTML page; nothing is fetched when it is opened.

    Args:
        path: the HTML file.
        sheets: the scenes.
        title: heading.
        subtitle: the line below it.
        facts: (name, value) pairs on where the scenes are from.

    Raises:
        UserError: the file cannot be written there.
    """
    views = [_view(sheet) for sheet in sheets]
    write_page(path, "scenes.html", title=title, subtitle=subtitle, facts=facts, views=views)


def _view(sheet: SceneSheet) -> dict[str, Any]:
    targets = [(sound.label, sound.target) for sound in sheet.sounds if sound.target is not None]
    clips = Clips([sheet.mixture, *(target for _, target in targets)], sheet.sample_rate)
    spans = [(sound.label, sound.role, sound.onset, sound.offset) for sound in sheet.sounds]
    times = [sound.reverberation for sound in sheet.sounds if sound.reverberation is not None]
    return {
        "sheet": sheet,
        "gain_db": number(clips.gain_db, 1, "dB"),
        "mixture": clips.card(sheet.mixture, "Mixture", "mixture", f"mixture {sheet.name}"),
        "targets": [
            clips.card(target, label, "target", f"dry target of {label} in {sheet.name}") for label, target in targets
        ],
        "timeline": sounds_figure(spans, clips.seconds),
        "spans": "; ".join(f"{s.label} from {number(s.onset, 2)} to {number(s.offset, 2)} s" for s in sheet.sounds),
        "reverberation": median(times) if times else None,
        "decay": sheet.decay and curve_figure(sheet.decay),
    }
