"""From rendered scenes to one HTML file to look at and listen to."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from sedsep.report import figures
from sedsep.report.clips import PEAK, ROUNDING_DB, Clips, svg_uri
from sedsep.report.data import PlacedSound, SceneBook, SceneSheet
from sedsep.report.html import fill, number, write_page


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
        "timeline": svg_uri(figures.sounds_figure(spans, clips.seconds)),
        "spans": "; ".join(f"{s.label} from {number(s.onset, 2)} to {number(s.offset, 2)} s" for s in sheet.sounds),
        "rows": [_row(sound) for sound in sheet.sounds],
        "reverberation": median(times) if times else None,
        "decay": svg_uri(figures.curve_figure(sheet.decay)) if sheet.decay else None,
    }


def _row(sound: PlacedSound) -> dict[str, Any]:
    return {"sound": sound, "position": _joined(number(value, 2) for value in sound.position)}


def _joined(numbers: Iterable[str]) -> str:
    return ", ".join(numbers)
