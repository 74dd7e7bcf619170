"""The page in a browser: what visitors do, and what they are told."""

from __future__ import annotations

import io
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile
from minis import RATE, noise
from whole_systems import GUIDED, saved, system, tagger

from sedsep.inference import SceneSeparator

pytest.importorskip("gradio")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")]

ROOT = Path(__file__).parents[2]
LONGEST_S, MEGABYTES = 5, 1
PATIENCE_MS = 60_000


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for name, seconds in (("street.wav", 2), ("yard.wav", 3), ("long.wav", 6), ("large.wav", 20)):
        soundfile.write(folder / name, (0.02 * noise(2, seconds * RATE)).T.numpy(), RATE, subtype="FLOAT")
    (folder / "broken.wav").write_text("hello")
    return folder


@pytest.fixture(scope="module")
def separator() -> SceneSeparator:
    return system(1.0, tagger=tagger(), **GUIDED)


@pytest.fixture(scope="module")
def served(separator: SceneSeparator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path, set[str]]]:
    """The address of the page, where its files go, and hosts that the server looked for."""
    from sedsep.demo.serving import serving

    looked, look = set(), socket.getaddrinfo

    def note(host: Any, *rest: Any, **more: Any) -> Any:
        looked.add(str(host))
        return look(host, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("files")
        patch.setattr(tempfile, "tempdir", str(folder))
        patch.setattr(socket, "getaddrinfo", note)
        with serving(separator, "127.0.0.1", free_port(), LONGEST_S, MEGABYTES) as address:
            yield address, folder, looked
        assert not list(folder.glob("sedsep-demo-*"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    fake = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", "--no-sandbox")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(
            executable_path=CHROMIUM, args=[*fake, "--autoplay-policy=no-user-gesture-required"]
        )
        yield opened
        opened.close()


Visitor = Callable[..., Any]


@pytest.fixture
def visitor(browser: Any, served: tuple[str, Path, set[str]]) -> Iterator[Visitor]:
    """Opens the page, each time for another one."""
    contexts = []

    def come(width: int = 1300, theme: str = "light") -> Any:
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, permissions=["microphone"]))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"{served[0]}?__theme={theme}")
        page.wait_for_selector("#recording input[type=file]", state="attached")
        return page

    yield come
    for context in contexts:
        context.close()


def give(page: Any, file: Path) -> None:
    if clear := page.query_selector("#recording button[aria-label=Clear]"):
        clear.click()
    page.set_input_files("#recording input[type=file]", file)


def listen(page: Any, file: Path, threshold: float = 0.0) -> None:
    give(page, file)
    page.wait_for_selector("#separate")
    page.fill("#threshold input[type=number]", str(threshold))
    page.keyboard.press("Tab")


def chosen(page: Any, count: int) -> list[str]:
    """The names of the sounds that are chosen, once they are so many."""
    page.wait_for_function("n => document.querySelectorAll('#sounds .token').length === n", arg=count)
    return [text.split()[0] for text in page.locator("#sounds .token").all_inner_texts()]


def separated(page: Any, count: int) -> list[str]:
    """Press the button, and wait for so many sounds and what is left."""
    page.click("#separate")
    page.wait_for_function("n => document.querySelectorAll('#stems audio').length === n", arg=count + 1)
    return page.locator("#stems figcaption b").all_inner_texts()


def message(page: Any) -> str:
    return page.locator("#message .message").inner_text()


@pytest.mark.parametrize("width", [400, 1300])
def test_a_recording_is_taken_apart(
    width: int,
    visitor: Visitor,
    served: tuple[str, Path, set[str]],
    sounds: Path,
    separator: SceneSeparator,
) -> None:
    page, hosts = visitor(width, "dark"), set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]) if "//" in request.url else None)
    listen(page, sounds / "street.wav")
    labels = chosen(page, 5)
    assert separated(page, 5) == [*labels, "Everything else"]
    waveform, _ = soundfile.read(sounds / "street.wav", dtype="float32")
    expected = separator.separate(waveform.T, RATE, labels)
    stems = [*expected.waveforms.values(), expected.residual]
    for link, audio, stem in zip(
        page.locator("#stems a").all(), page.locator("#stems audio").all(), stems, strict=True
    ):
        file = page.request.get(served[0] + link.get_attribute("href")).body()
        np.testing.assert_allclose(soundfile.read(io.BytesIO(file), dtype="float32")[0], stem, atol=1e-6)
        ended = (
            "a => new Promise((done, fail) => { a.onended = () => done(a.currentTime); a.onerror = fail; a.play() })"
        )
        assert audio.evaluate(ended) == pytest.approx(2, abs=0.1)
    with page.expect_download() as download:
        page.locator("#stems a").first.click()
    assert download.value.suggested_filename == f"street - {labels[0]}.wav"
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert hosts == {served[0].split("/")[2]}, "nothing is fetched from elsewhere"
    assert served[2] <= {"127.0.0.1", "localhost"}


def test_another_threshold_separates_what_is_new_alone(
    visitor: Visitor, sounds: Path, separator: SceneSeparator
) -> None:
    waveform, _ = soundfile.read(sounds / "street.wav", dtype="float32")
    first, second, third = list(separator.separate(waveform.T, RATE, "Bell").probabilities.items())[:3]
    page = visitor()
    listen(page, sounds / "street.wav", round((first[1] + second[1]) / 2, 4))
    assert chosen(page, 1) == [first[0]]
    separated(page, 1)
    questions: list[int] = []
    hook = lambda _, inputs: questions.append(int(inputs[1].sum()))  # noqa: E731
    with separator.network.separator.register_forward_pre_hook(hook):
        page.fill("#threshold input[type=number]", str(round((second[1] + third[1]) / 2, 4)))
        page.keyboard.press("Tab")
        assert chosen(page, 2) == [first[0], second[0]]
        assert separated(page, 2) == [first[0], second[0], "Everything else"]
    assert set(questions) == {1}, "the second sound, and never the first again"


def test_mistakes_are_sentences_and_the_page_goes_on(visitor: Visitor, sounds: Path) -> None:
    page = visitor()
    give(page, sounds / "broken.wav")
    assert message(page).startswith("broken.wav is not a readable audio file")
    give(page, sounds / "long.wav")
    page.wait_for_selector("text=long.wav lasts 6.0 s, and 5 s are the most here")
    give(page, sounds / "large.wav")
    page.wait_for_selector("text=exceed the maximum allowed size")
    page.reload()
    page.wait_for_selector("#recording input[type=file]", state="attached")
    listen(page, sounds / "street.wav", 1.0)
    chosen(page, 0)
    page.wait_for_selector("text=Nothing is heard at a threshold of 1")
    page.click("#separate")
    page.wait_for_selector("text=No sound is chosen")
    page.click("#sounds input")
    page.get_by_role("option", name="Dog").click()
    chosen(page, 1)
    assert separated(page, 1) == ["Dog", "Everything else"]
    assert page.locator("#message .message").count() == 0


def test_a_sound_can_be_recorded(visitor: Visitor) -> None:
    page = visitor()
    page.click("#recording button[aria-label='Record audio']")
    page.locator("#recording button", has_text="Record").last.click()
    page.wait_for_timeout(1000)
    page.locator("#recording button", has_text="Stop").first.click()
    page.wait_for_selector("#separate")


def test_two_visitors_do_not_meet(visitor: Visitor, served: tuple[str, Path, set[str]], sounds: Path) -> None:
    (root,) = served[1].glob("sedsep-demo-*")

    def visits() -> set[Path]:
        return {folder.parent for folder in root.glob("*/0")}

    before = visits()
    one, other, third = visitor(), visitor(), visitor()
    listen(one, sounds / "street.wav")
    listen(other, sounds / "yard.wav", 0.0)
    for page in (one, other):
        chosen(page, 5)
        page.click("#separate")
    give(third, sounds / "broken.wav")
    assert message(third).startswith("broken.wav")
    for page, name, seconds in ((one, "street", 2), (other, "yard", 3)):
        page.wait_for_function("document.querySelectorAll('#stems audio').length === 6")
        audio = page.locator("#stems audio").first
        page.wait_for_function("!isNaN(document.querySelector('#stems audio').duration)")
        assert audio.evaluate("a => a.duration") == pytest.approx(seconds, abs=0.01)
        assert f"{name} - " in unquote(page.locator("#stems a").first.get_attribute("href"))
    assert len(visits() - before) == 2
    one.close()
    other.close()
    for _ in range(300):
        if not visits() - before:
            break
        time.sleep(0.1)
    assert not visits() - before, "what was made goes with the visitor"


def test_the_command_serves_the_page_and_leaves_nothing(browser: Any, sounds: Path, tmp_path: Path) -> None:
    separator, names = saved(tmp_path, **GUIDED)
    temp, port = tmp_path / "temp", free_port()
    temp.mkdir()
    env = {**os.environ, "TMPDIR": str(temp), "SEDSEP_CACHE": str(tmp_path / "cache")}
    command = [
        sys.executable,
        ROOT / "run.py",
        "task=demo",
        f"ckpt={separator}",
        f"tagger.ckpt={names}",
        f"task.port={port}",
    ]
    with subprocess.Popen(command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == f"The page is at http://127.0.0.1:{port}/ until Ctrl-C.\n"
        taken = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert taken.returncode == 1
        assert taken.stderr.startswith(f"Error: The page cannot be served at 127.0.0.1:{port}")
        page = browser.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.goto(f"http://127.0.0.1:{port}/")
        listen(page, sounds / "street.wav")
        chosen(page, 5)
        separated(page, 5)
        assert list(temp.glob("sedsep-demo-*/*"))
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 130
        page.close()
    assert not list(temp.glob("sedsep-demo-*"))
