"""The page of scenes: everything that was asked for is on it, and nothing is fetched."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import soundfile
from minis import refused
from pages import HOSTILE, RATE, Page

from sedsep.evaluation.report import Curve, PlacedSound, SceneBook, SceneSheet, render_scenes, write_scenes


def wave(hertz: float, level: float) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * np.arange(RATE) / RATE)).astype(np.float32)


def make_book(label: str = "Bird") -> SceneBook:
    bird = wave(880, 0.2)
    sounds = [
        PlacedSound(label, "target", 0.25, 0.75, "sound_event/valid/Bird/a.wav from 1.50 s", 12.34, -3.21,
                    (1.0, -2.0, 0.5), 0.321, -4.56, bird),
        PlacedSound("Rain", "interference", 0.1, 0.9, "interference/valid/Rain/b.wav", 7.0, position=(0.0, 1.0, 0.0)),
        PlacedSound("background", "background", 0.0, 1.0, "noise/valid/c.wav", 0.0),
    ]  # fmt: skip
    decay = Curve("Energy left", "Time (ms)", "Energy left (dB)", {label: ([0.0, 1.0], [0.0, -5.0])})
    sheet = SceneSheet("scene_1", RATE, bird + wave(200, 0.1), sounds, "roomA.sofa", decay)
    return SceneBook("Scenes", "1 of 3 scenes", [sheet], [("Seed", "0")])


def test_the_page_shows_every_sound_with_its_figures() -> None:
    page = Page(render_scenes(make_book()))
    for text in ("Bird", "Rain", "0.25", "0.75", "12.3", "−3.2", "−4.6", "0.32", "1.00, −2.00, 0.50", "roomA.sofa"):  # noqa: RUF001
        assert text in page.words
    assert "sound_event/valid/Bird/a.wav from 1.50 s" in page.words
    rows = render_scenes(make_book()).count("<tr>")
    assert rows == 1 + 3 + 1  # the heading, the sounds, a fact


def test_mixture_and_targets_can_be_heard() -> None:
    players = Page(render_scenes(make_book())).all("audio")
    assert len(players) == 2
    (bird,) = [player for player in players if "dry target of Bird" in player["aria-label"]]
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(bird["src"].split(",", 1)[1])))
    assert (len(samples), rate) == (RATE, RATE)
    assert np.corrcoef(samples, wave(880, 0.2))[0, 1] > 0.999


def test_nothing_is_fetched_and_every_picture_is_described() -> None:
    page = Page(render_scenes(make_book()))
    for tag, attributes in page.elements:
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("data:", "#")), tag
    images = page.all("img")
    assert len(images) == 4  # mixture, sounds, target, decay
    assert all(image["alt"] for image in images)
    targets = {attributes.get("id") for _, attributes in page.elements}
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= targets


def test_a_hostile_label_stays_text() -> None:
    text = render_scenes(make_book(HOSTILE))
    assert "<script>alert" not in text
    assert HOSTILE in Page(text).words


def test_a_scene_of_nothing_but_background_has_a_page() -> None:
    sheet = make_book().sheets[0]
    quiet = SceneSheet("quiet", RATE, 0 * sheet.mixture, sheet.sounds[2:])
    page = Page(render_scenes(SceneBook("Scenes", "1 scene", [quiet])))
    assert len(page.all("audio")) == 1
    assert "Targets" not in page.words


def test_the_page_is_written_whole_or_refused(tmp_path: Path) -> None:
    write_scenes(tmp_path / "new" / "scenes.html", make_book())
    assert (tmp_path / "new" / "scenes.html").read_text() == render_scenes(make_book())
    with refused("cannot be written"):
        write_scenes(tmp_path / "new" / "scenes.html" / "more.html", make_book())


def test_sounds_need_samples() -> None:
    with refused("at least one sample"):
        PlacedSound("Bird", "target", 0.0, 1.0, target=np.zeros(0, np.float32))
    with refused("expected one channel"):
        SceneSheet("s", RATE, np.zeros((4, 10), np.float32), [])
