"""A data set small enough to render hundreds of scenes a second: 8 kHz, four microphones, 50 ms responses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sedsep.scenes.datamodule import SceneDataModule
from sedsep.scenes.layout import Layout
from sedsep.scenes.rooms import write_sofa
from sedsep.scenes.sampling import SceneSampler

RATE, CHANNELS, TAPS = 8000, 4, 400
EVENTS = {"Bell": [0.4, 0.7], "Cough": [0.5], "Dog": [0.3, 5.0], "Speech": [0.9]}
INTERFERENCE = {"Wind": [0.5], "Rain": [0.6]}


def noise(rng: np.random.Generator, seconds: float, channels: int = 1) -> np.ndarray:
    return (0.1 * rng.standard_normal((int(seconds * RATE), channels))).astype(np.float32)


def build(root: Path, splits: tuple[str, ...] = ("train",)) -> Path:
    rng = np.random.default_rng(0)
    for split in splits:
        for group, labels in (("sound_event", EVENTS), ("interference", INTERFERENCE)):
            for label, durations in labels.items():
                folder = root / group / split / label
                folder.mkdir(parents=True)
                for number, seconds in enumerate(durations):
                    soundfile.write(folder / f"{label.lower()}_{number}.wav", noise(rng, seconds), RATE)
        (root / "noise" / split).mkdir(parents=True)
        soundfile.write(root / "noise" / split / "long.wav", noise(rng, 5.5, CHANNELS), RATE)
        soundfile.write(root / "noise" / split / "short.wav", noise(rng, 0.5, CHANNELS), RATE)
        decay = np.exp(-np.arange(TAPS) / 60)
        for name in ("roomA", "roomB"):
            responses = (rng.standard_normal((5, CHANNELS, TAPS)) * decay).astype(np.float32)
            write_sofa(
                root / "room_ir" / split / f"{name}.sofa", responses, rng.standard_normal((5, 3)), RATE, title=name
            )
    return root


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The data set's folder, free to be damaged."""
    return build(tmp_path / "set")


@pytest.fixture(scope="session")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """The data set, to be left as it is; it has a train and a valid split."""
    return Layout(build(tmp_path_factory.mktemp("layout") / "set", ("train", "valid")), RATE, CHANNELS)


@pytest.fixture(scope="session")
def sampler(layout: Layout) -> SceneSampler:
    """Draws scenes of 2 s."""
    return SceneSampler(layout.split("train"), 2.0)


@pytest.fixture(scope="session")
def make_module(layout: Layout) -> Callable[..., SceneDataModule]:
    """Builds a data module of the data set; keywords change its settings."""
    settings = {
        "layout": layout,
        "labels": layout.labels(),
        "sampler": partial(SceneSampler),
        "seed": 1,
        "epoch_size": 6,
        "batch_size": 2,
        "eval_batch_size": 2,
        "duration": 1.0,
        "eval_duration": 2.0,
        "workers": 0,
        "eval_scenes": 3,
        "test_split": "valid",
    }
    return lambda **changes: SceneDataModule(**(settings | changes))
