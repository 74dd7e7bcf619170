"""The adapter against a stand-in that does what the package's documentation says, and against the package itself
where it is installed."""

from __future__ import annotations

import importlib.util
import sys
from collections import namedtuple
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
from minis import refused
from scipy.signal import fftconvolve

from sedsep.scenes.layout import Layout
from sedsep.scenes.metadata import load_index
from sedsep.scenes.rendering import Renderer
from sedsep.scenes.sampling import SceneSampler
from sedsep.scenes.spatialscaper import SpatialScaperRenderer

INSTALLED = importlib.util.find_spec("spatialscaper") is not None

Event = namedtuple(
    "Event",
    "label source_file source_time event_time event_duration snr role pitch_shift time_stretch event_position",
)


class StandIn:
    """Cuts reverberation off with the source, scales by mean magnitude, and looks its classes up."""

    def __init__(self, duration: float, foreground_dir: str, sr: int, ref_db: float = -60) -> None:
        assert not list(Path(foreground_dir).iterdir())  # a class that is not the package's own would be refused
        self.sr, self.ref_db = sr, ref_db
        self.fg_events: list[Event] = []
        self.fg_labels: dict[str, int] = {}

    def synthesize_events_and_labels(
        self, all_irs: np.ndarray, all_ir_xyzs: np.ndarray, out_audio: np.ndarray
    ) -> tuple[np.ndarray, list[int]]:
        for event in self.fg_events:
            assert len(event.event_position[0]) == all_ir_xyzs.shape[1] == 3
            x, rate = soundfile.read(event.source_file)
            assert rate == self.sr
            x = x[: int(event.event_duration * self.sr)]
            x = x / np.abs(x).max()
            irs = all_irs[0] / np.sqrt(np.square(all_irs[0]).sum(axis=-1)).mean()
            heard = fftconvolve(x[:, None], irs.T, axes=0)[: len(x)]
            heard *= 10 ** ((self.ref_db + event.snr) / 20) / np.abs(heard).mean()
            start = int(event.event_time * self.sr)
            out_audio[start : start + len(heard)] += heard
        return out_audio, [self.fg_labels[event.label] for event in self.fg_events]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    package, core = ModuleType("spatialscaper"), ModuleType("spatialscaper.core")
    core.Scaper, core.Event = StandIn, Event  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spatialscaper", package)
    monkeypatch.setitem(sys.modules, "spatialscaper.core", core)


@pytest.mark.skipif(INSTALLED, reason="the package is installed")
def test_without_the_package_one_sentence_says_how_to_install_it(layout: Layout) -> None:
    with refused(r"pip install git\+https://github\.com/iranroman/SpatialScaper"):
        SpatialScaperRenderer(layout)


def agree(layout: Layout, golden: Path) -> None:
    """Both engines render the golden scenes, and the golden figures are met."""
    assert layout.root.is_relative_to(golden)
    expected = np.load(golden / "scenes" / "digest.npz")
    ours, theirs = Renderer(layout), SpatialScaperRenderer(layout)
    for number, spec in enumerate(load_index(layout.root / "metadata" / "valid.json", layout)):
        one, other = ours.render(spec), theirs.render(spec)
        np.testing.assert_allclose(other.mixture, one.mixture, rtol=0, atol=3e-7)
        np.testing.assert_allclose(other.targets, one.targets, rtol=0, atol=3e-7)
        assert (other.labels, other.spans) == (one.labels, one.spans)
        np.testing.assert_allclose(other.mixture[:, ::37].T, expected[f"mixture_{number}"], rtol=0, atol=3e-7)


@pytest.mark.usefixtures("stand_in")
def test_the_stand_in_renders_the_golden_scenes(golden: Path) -> None:
    agree(Layout(golden / "scenes", 32000, 4), golden)


@pytest.mark.usefixtures("stand_in")
def test_drawn_scenes_and_silent_sources(layout: Layout, sampler: SceneSampler) -> None:
    for index in range(4):
        spec = sampler.sample(0, 0, index)
        one, other = Renderer(layout).render(spec), SpatialScaperRenderer(layout).render(spec)
        np.testing.assert_allclose(other.mixture, one.mixture, rtol=0, atol=3e-7)
    silent = SpatialScaperRenderer(layout).play(np.zeros(10, np.float32), np.ones((4, 5), np.float32))
    np.testing.assert_array_equal(silent, np.zeros((4, 14)))


@pytest.mark.skipif(not INSTALLED, reason="the package is not installed")
def test_the_package_renders_the_golden_scenes(golden: Path) -> None:
    agree(Layout(golden / "scenes", 32000, 4), golden)
