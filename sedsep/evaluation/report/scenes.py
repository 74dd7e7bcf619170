"""From rendered scenes to one HTML file to look at and listen to.

Axes: L samples.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

from sedsep.evaluation.report.clips import PEAK, ROUNDING_DB, Clips
from sedsep.evaluation.report.data import Curve, FloatArray, check_waveform
from sedsep.evaluation.report.drawing import svg_uri
from sedsep.evaluation.report.figures import curve_figure
from sedsep.evaluation.report.html import fill, number, write_page
from sedsep.evaluation.report.timelines import sounds_figure


@dataclass(frozen=True)
class PlacedSound:
    """A sound in a scene; what is not known of it is `None` or empty.

    Attributes:
        label: class name, or what else to call it.
        role: whether it is to be separated, disturbs, or is the background.
        onset, offset: when it is played, seconds; its reverberation goes on.
        file: where it is from.
        level: dB above the scene's reference, which is where a background with level 0 lies.
        heard: of a target, dB over everything else in the mixture, at the reference channel.
        position: as in the room's file.
        reverberation: seconds the room's response at the position takes to fall by 60 dB. direct: dB of the direct
            sound over the rest of that response.
        target: the dry sound at the reference channel, float32 [L].
    """

    label: str
    role: Literal["target", "interference", "background"]
    onset: float
    offset: float
    file: str = ""
    level: float | None = None
    heard: float | None = None
    position: tuple[float, ...] = ()
    reverberation: float | None = None
    direct: float | None = None
    target: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.target is not None:
            check_waveform(self.target, f"The target of '{self.label}'")


@dataclass(frozen=True)
class SceneSheet:
    """A rendered scene, and what it was made of.

    Attributes:
        name: of the scene.
        sample_rate: Hz. mixture: reference channel, float32 [L].
        sounds: in the order they are shown.
        room: its name; empty where it is not known. decay: how the room's energy falls, a line a sound.
    """

    name: str
    sample_rate: int
    mixture: FloatArray
    sounds: Sequence[PlacedSound]
    room: str = ""
    decay: Curve | None = None

    def __post_init__(self) -> None:
        check_waveform(self.mixture, f"The mixture of '{self.name}'")

    @property
    def duration(self) -> float:
        """Length of the mixture, seconds."""
        return len(self.mixture) / self.sample_rate


@dataclass(frozen=True)
class SceneBook:
    """What a page of scenes shows.

    Attributes:
        title, subtitle: heading and the line below it.
        sheets: the scenes. facts: (name, value) pairs on where they are from.
    """

    title: str
    subtitle: str
    sheets: Sequence[SceneSheet]
    facts: Sequence[tuple[str, str]] = ()


def write_scenes(path: Path, book: SceneBook) -> None:
    """Write `book` as one self-contained HTML page; nothing is fetched when it is opened.

    Raises:
        UserError: the file cannot be written there.
    """
    write_page(path, render_scenes(book))


def render_scenes(book: SceneBook) -> str:
    """The page of `book` as HTML text."""
    views = [_view(sheet) for sheet in book.sheets]
    return fill("scenes.html", page=book, views=views, peak=PEAK, rounding_db=ROUNDING_DB)


def _view(sheet: SceneSheet) -> dict[str, Any]:
    targets = [sound for sound in sheet.sounds if sound.target is not None]
    clips = Clips([sheet.mixture, *(sound.target for sound in targets if sound.target is not None)], sheet.sample_rate)
    cards = [
        clips.card(sound.target, sound.label, "target", f"dry target of {sound.label} in {sheet.name}")
        for sound in targets
        if sound.target is not None
    ]
    spans = [(sound.label, sound.role, sound.onset, sound.offset) for sound in sheet.sounds]
    times = [sound.reverberation for sound in sheet.sounds if sound.reverberation is not None]
    return {
        "sheet": sheet,
        "gain_db": number(clips.gain_db, 1, "dB"),
        "mixture": clips.card(sheet.mixture, "Mixture", "mixture", f"mixture {sheet.name}"),
        "targets": cards,
        "timeline": svg_uri(sounds_figure(spans, clips.seconds)),
        "spans": "; ".join(f"{s.label} from {number(s.onset, 2)} to {number(s.offset, 2)} s" for s in sheet.sounds),
        "rows": [_row(sound) for sound in sheet.sounds],
        "reverberation": median(times) if times else None,
        "decay": svg_uri(curve_figure(sheet.decay)) if sheet.decay else None,
    }


def _row(sound: PlacedSound) -> dict[str, Any]:
    return {"sound": sound, "position": _joined(number(value, 2) for value in sound.position)}


def _joined(numbers: Iterable[str]) -> str:
    return ", ".join(numbers)
