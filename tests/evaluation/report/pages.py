"""Pages as a reader gets them, and sounds to put on them."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser
from urllib.parse import unquote_to_bytes

import numpy as np
import soundfile

RATE = 16000
HOSTILE = """<script>alert("x")</script>'&$a$"""


class Page(HTMLParser):
    """The elements of a page with their attributes, and the text a reader sees."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._hidden = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        self._hidden += tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def tone(hertz: float, level: float, seconds: float = 1.0) -> np.ndarray:
    noise = np.random.default_rng(int(hertz)).normal(0, level / 100, int(RATE * seconds))
    return (level * np.sin(2 * np.pi * hertz * np.arange(int(RATE * seconds)) / RATE) + noise).astype(np.float32)


def images(page_: Page) -> list[bytes]:
    return [unquote_to_bytes(element["src"].partition(",")[2]) for element in page_.all("img")]


def sounds(page_: Page) -> dict[str, np.ndarray]:
    """What each player plays, by its accessible name."""
    decoded = {}
    for element in page_.all("audio"):
        kind, _, data = element["src"].partition("base64,")
        assert kind == "data:audio/flac;"
        wave, rate = soundfile.read(io.BytesIO(base64.b64decode(data)), dtype="float32")
        assert rate == RATE
        decoded[element["aria-label"].removeprefix("Listen to the ")] = wave
    return decoded
