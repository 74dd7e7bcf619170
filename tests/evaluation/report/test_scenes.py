"""The page of scenes: everything that was asked for is on it, and nothing is fetched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from minis import refused
from pages import HOSTILE, RATE, Page, sounds

from sedsep.evaluation.report import Curve, PlacedSound, SceneSheet, write_scenes


def wave(hertz: float, level: float) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)).astype(np.float32)


def make_sheet(label: str = "Bird") -> SceneSheet:
    bird = wave(880, 0.2)
    placed = [
        PlacedSound(label, "target", 0.25, 0.75, "sound_event/valid/Bird/a.wav from 1.50 s", 12.34, -3.21,
                    (1.0, -2.0, 0.5), 0.321, -4.56, bird),
        PlacedSound("Rain", "interference", 0.1, 0.9, "interference/valid/Rain/b.wav", 7.0, position=(0.0, 1.0, 0.0)),
        PlacedSound("background", "background", 0.0, 1.0, "noise/valid/c.wav", 0.0),
    ]  # fmt: skip
    decay = Curve("Energy left", "Time (ms)", "Energy left (dB)", {label: ([0.0, 1.0], [0.0, -5.0])})
    return SceneSheet("scene_1", RATE, bird + wave(200, 0.1), placed, "roomA.sofa", decay)


def written(folder: Path, sheet: SceneSheet) -> str:
    path = folder / "new" / "scenes.html"
    write_scenes(path, [sheet], title="Scenes", subtitle="1 of 3 scenes", facts=[("Seed", "0")])
    return path.read_text("utf-8")


def test_the_page_shows_every_sound_with_its_figures(tmp_path: Path) -> None:
    text = written(tmp_path, make_sheet())
    page = Page(text)
    for part in ("Bird", "Rain", "0.25", "0.75", "12.3", "−3.2", "−4.6", "0.32", "1.00, −2.00, 0.50", "roomA.sofa"):  # noqa: RUF001
        assert part in page.words
    assert "sound_event/valid/Bird/a.wav from 1.50 s" in page.words
    assert text.count("<tr>") == 1 + 3 + 1  # the heading, the sounds, a fact


def test_mixture_and_targets_can_be_heard(tmp_path: Path) -> None:
    played = sounds(Page(written(tmp_path, make_sheet())))
    assert len(played) == 2
    bird = played["dry target of Bird in scene_1"]
    assert len(bird) == RATE
    assert np.corrcoef(bird, wave(880, 0.2))[0, 1] > 0.999


def test_nothing_is_fetched_and_every_picture_is_described(tmp_path: Path) -> None:
    page = Page(written(tmp_path, make_sheet()))
    for tag, attributes in page.elements:
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("data:", "#")), tag
    images = page.all("img")
    assert len(images) == 4  # mixture, sounds, target, decay
    assert all(image["alt"] for image in images)
    targets = {attributes.get("id") for _, attributes in page.elements}
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= targets


def test_a_hostile_label_stays_text(tmp_path: Path) -> None:
    text = written(tmp_path, make_sheet(HOSTILE))
    assert "<script>alert" not in text
    assert HOSTILE in Page(text).words


def test_a_scene_of_nothing_but_background_has_a_page(tmp_path: Path) -> None:
    sheet = make_sheet()
    page = Page(written(tmp_path, SceneSheet("quiet", RATE, 0 * sheet.mixture, sheet.sounds[2:])))
    assert len(page.all("audio")) == 1
    assert "Targets" not in page.words


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    with refused("cannot be written"):
        written(tmp_path, make_sheet())
