"""The gallery of the site: five scenes taken apart, each with its sounds and pictures, and small."""

from __future__ import annotations

import io
import runpy
from pathlib import Path

import pytest
import soundfile

PROJECT = Path(__file__).parents[1]


@pytest.mark.slow
def test_the_gallery_plays_what_it_shows() -> None:
    files: dict[str, bytes] = {}
    gallery = runpy.run_path(str(PROJECT / "docs" / "gallery.py"))

    def add(name: str, content: bytes) -> str:
        files[name] = content
        return name

    text = gallery["scenes"](add)
    assert text.count("## ") == 5
    assert "missed" in text
    assert all(f'src="{name}"' in text for name in files)
    sounds = [content for name, content in files.items() if name.endswith(".mp3")]
    assert all(abs(soundfile.info(io.BytesIO(sound)).duration - 10) < 0.1 for sound in sounds)
    assert sum(map(len, files.values())) < 2e6
    assert gallery["PLACE"] in (PROJECT / "docs" / gallery["PAGE"]).read_text()
