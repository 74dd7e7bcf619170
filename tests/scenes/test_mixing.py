from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfilt

from sedsep.scenes import mixing
from sedsep.scenes.mixing import SceneParts, Sound, mix
from sedsep.types import FloatArray, Scene

LENGTH, CHANNELS, REF = 6000, 4, 2


def parts(*sounds: Sound) -> SceneParts:
    labels = ("Bell", "Cough")
    return SceneParts("scene", labels, ((0, 0),) * 2, np.zeros((CHANNELS, LENGTH), np.float32), sounds, REF)


def textbook(scene: SceneParts) -> tuple[np.ndarray, np.ndarray]:
    """The scene in float64, sound by sound."""
    mixture, targets = np.zeros((CHANNELS, LENGTH + 20000)), np.zeros((2, LENGTH + 20000))
    for sound in scene.sounds:
        source, response = sound.source.astype(np.float64), sound.response.astype(np.float64)
        heard = np.stack([np.convolve(source, row) for row in response])
        scale = 10 ** (sound.level_db / 20) / np.sqrt(np.square(heard).mean())
        mixture[:, sound.onset : sound.onset + heard.shape[1]] += scale * heard
        if sound.slot is not None:
            start, end = sound.direct
            target = scale * np.convolve(source, response[REF, start:end])
            targets[sound.slot, sound.onset + start : sound.onset + start + len(target)] += target
    return mixture[:, :LENGTH], targets[:, :LENGTH]


def agree(scene: Scene, expected: tuple[np.ndarray, np.ndarray]) -> None:
    assert scene.mixture.dtype == scene.targets.dtype == np.float32
    for ours, theirs in zip((scene.mixture, scene.targets), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6 * np.abs(theirs).max())


def noise(length: int, taps: int, seed: int) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    decay = 10 ** (-2 * np.arange(taps) / taps)
    return rng.uniform(-1, 1, length).astype(np.float32), (rng.standard_normal((4, taps)) * decay).astype(np.float32)


@pytest.mark.parametrize("longest", [mixing.LONGEST, 1000])
@pytest.mark.parametrize("taps", [1, 77, 375, 900, 5999, 10001])
def test_scenes_are_the_textbook_convolutions(taps: int, longest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mixing, "LONGEST", longest)
    part = (taps // 3, taps // 2 + 1)
    sounds = (
        Sound(*noise(1, taps, 0), onset=LENGTH - 1, level_db=-3, slot=0, direct=part),
        Sound(*noise(2500, taps, 1), onset=700, level_db=-20, slot=1, direct=part),
        Sound(*noise(5999, taps, 2), onset=1, level_db=-30),
        Sound(*noise(9000, taps, 3), onset=375, level_db=-25),
    )
    agree(mix(parts(*sounds)), textbook(parts(*sounds)))
    for sound in sounds:
        alone = mix(parts(sound))
        agree(alone, textbook(parts(sound)))
        assert not alone.mixture[:, : sound.onset].any()
        assert not alone.mixture[:, sound.onset + len(sound.source) + taps - 1 :].any()


def test_long_responses_are_cut_into_equal_blocks() -> None:
    step = mixing.block_length(174_763, 320_000)
    assert 174_763 / 2 <= step < 1.01 * 174_763 / 2
    assert mixing.block_length(32_000, 320_000) == 32_000


def test_a_rumble_that_the_room_swallows_lies_at_its_level() -> None:
    time = np.arange(4000) / 8000
    rumble = (np.sin(2 * np.pi * 20 * time) * np.hanning(4000)).astype(np.float32)
    response = sosfilt(butter(4, 800, "high", fs=8000, output="sos"), noise(1, 900, 0)[1]).astype(np.float32)
    sound = Sound(rumble, response, onset=1000, level_db=-20)
    heard = np.stack([np.convolve(rumble, row) for row in response.astype(np.float64)])
    assert np.square(heard).sum() < 1e-4 * np.square(rumble).sum() * np.square(response).sum()
    mixture = mix(parts(sound)).mixture[:, 1000:5899]
    assert 10 * np.log10(np.square(mixture.astype(np.float64)).mean()) == pytest.approx(-20, abs=0.05)


def test_a_scene_does_not_depend_on_the_number_of_threads() -> None:
    scene = parts(Sound(*noise(1500, 375, 0), onset=100, level_db=-20, slot=0, direct=(3, 20)))
    threads, mixtures = torch.get_num_threads(), []
    try:
        for number in (1, 3):
            torch.set_num_threads(number)
            scene.background[:] = 0
            mixtures.append(mix(scene).mixture.tobytes())
            assert torch.get_num_threads() == number
    finally:
        torch.set_num_threads(threads)
    assert mixtures[0] == mixtures[1]
