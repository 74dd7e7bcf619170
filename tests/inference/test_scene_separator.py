from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from minis import LABELS, RATE, noise, refused
from whole_systems import GUIDED, SED, TIME_FILM, make, saved, system, tagger

import sedsep
from sedsep.dsp import snr_db
from sedsep.inference import SceneSeparator, SeparationResult

EDGE = 800
NAMED = ("Dog", "Rain")

# A part of a clip is heard as in the whole but for what the embedding injection standardises over all there is.
AGREE_DB = {"label": 60.0, "time_film": 55.0, "soundbeam": 30.0, "refined": 30.0, "three at once": 60.0}
VARIANTS: dict[str, dict[str, Any]] = {
    "label": {},
    "time_film": {"time_film": TIME_FILM},
    "soundbeam": GUIDED,
    "refined": {**GUIDED, "iters": 2},
    "three at once": {"outputs": 3},
}


def recording(frames: int, channels: int = 4) -> torch.Tensor:
    """Noise that comes and goes, at a level of scenes."""
    return 0.015 * noise(channels, frames) * (1 + torch.sin(torch.arange(frames) / 3000))


def agreement(whole: SeparationResult, parts: SeparationResult) -> float:
    inner = slice(EDGE, -EDGE)
    pairs = [[torch.as_tensor(one.waveforms[label][inner]) for one in (whole, parts)] for label in whole.labels]
    return min(float(snr_db(*pair)) for pair in pairs)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("frames", [24_000, 23_923])
def test_chunks_give_what_all_at_once_gives(variant: str, frames: int) -> None:
    mixture = recording(frames)
    whole = system(100.0, **VARIANTS[variant]).separate(mixture, RATE, NAMED)
    parts = system(0.5, **VARIANTS[variant]).separate(mixture, RATE, NAMED)
    assert agreement(whole, parts) > AGREE_DB[variant]


def test_a_clip_that_fits_is_heard_by_the_networks_themselves() -> None:
    mixture, ours = recording(8000), system(**GUIDED)
    with torch.inference_mode():
        expected = ours.network(mixture[None], LABELS.one_hot(NAMED)[None]).estimates[0]
    result = ours.separate(mixture, RATE, NAMED, level_db=None)
    for label, estimate in zip(NAMED, expected, strict=True):
        torch.testing.assert_close(result.waveforms[label], estimate)


@pytest.mark.parametrize("frames", [8000, 24_000])  # one chunk; several, with a guide
def test_bfloat16_answers_in_float32_and_nearly_the_same(frames: int) -> None:
    mixture, ours = recording(frames), system(0.5, **GUIDED)
    rounding = SceneSeparator(ours.network, LABELS, ours.tagger, 0.5, precision="bf16")
    exact, rounded = (one.separate(mixture, RATE, NAMED) for one in (ours, rounding))
    assert 25 < agreement(exact, rounded) < 90
    assert all(stem.dtype == torch.float32 for stem in rounded.waveforms.values())
    assert rounded.probabilities == pytest.approx(exact.probabilities, abs=0.05)


def test_real_sound_in_chunks(shared: Path) -> None:
    mixture, rate = soundfile.read(shared / "realmini" / "test" / "soundscape" / "test_0004.wav", dtype="float32")
    whole, parts = (system(chunk_s, time_film=TIME_FILM).separate(mixture.T, rate, NAMED) for chunk_s in (100, 2))
    assert agreement(whole, parts) > 40


@pytest.mark.parametrize("frames", [1, 37, 800, 801, 9000])
@pytest.mark.parametrize("rate", [RATE, 11025, 44100])
def test_everything_is_as_long_as_the_recording_and_adds_up_to_it(frames: int, rate: int) -> None:
    mixture = recording(frames, 2).numpy()
    result = system(0.5, tagger(), **GUIDED).separate(mixture, rate, ["Dog"])
    assert result.waveforms["Dog"].shape == result.residual.shape == (frames,)
    np.testing.assert_allclose(result.waveforms["Dog"] + result.residual, mixture.mean(0), atol=1e-6)
    assert result.activity is not None
    assert np.isfinite(result.activity).all()


@pytest.mark.parametrize("frames", [6000, 24_000])
def test_outputs_follow_the_recording_s_level(frames: int) -> None:
    mixture, ours = recording(frames), system(1.0, tagger(), **GUIDED)
    level = 10 * np.log10(float(mixture[0].square().mean()))
    assert -45 < level < -30
    softest, loudest = (ours.separate(mixture * gain, RATE, NAMED) for gain in (1e-3, 30.0))
    for label in NAMED:
        assert torch.isfinite(loudest.waveforms[label]).all()
    # Both ends of the range are heard as such, so that gains beyond it change nothing but the level.
    louder = ours.separate(mixture * 60.0, RATE, NAMED)
    torch.testing.assert_close(louder.waveforms["Dog"], 2 * loudest.waveforms["Dog"], rtol=1e-3, atol=1e-4)
    softer = ours.separate(mixture * 5e-4, RATE, NAMED)
    torch.testing.assert_close(2 * softer.waveforms["Dog"], softest.waveforms["Dog"], rtol=1e-3, atol=1e-7)
    silent = ours.separate(torch.zeros(4, frames), RATE, NAMED)
    assert torch.isfinite(silent.residual).all()


def test_sounds_that_are_heard_are_asked_for() -> None:
    mixture, ours = recording(24_000), system(1.0, tagger(), **GUIDED)
    everything = ours.separate(mixture, RATE, threshold=0.0)
    assert set(everything.labels) == set(LABELS)
    order = list(everything.probabilities)
    assert list(everything.labels) == order
    middle = everything.probabilities[order[2]]
    assert ours.separate(mixture, RATE, threshold=middle).labels == tuple(order[:3])
    nothing = ours.separate(mixture, RATE, threshold=1.0)
    assert (nothing.labels, nothing.events) == ((), [])
    torch.testing.assert_close(nothing.residual, mixture[0])


def test_a_chunk_without_a_sound_is_silent_where_chunks_decide() -> None:
    ours, mixture = system(1.0, tagger(), **GUIDED), recording(24_000)
    mixture[:, 12_000:] *= 1e-4
    everywhere = ours.separate(mixture, RATE, NAMED)
    clips = ours.begin(sedsep.inference.from_array(mixture.T.numpy(), RATE), sedsep.inference.Request(NAMED))
    assert clips.detection is not None
    curve = clips.detection.pieces[LABELS.index("Dog")]
    threshold = float(np.sort(curve)[-1])  # one chunk alone
    result = ours.separate(mixture, RATE, NAMED, threshold=threshold, per_chunk=True)
    piece = clips.pieces[int(curve.argmax())]
    outside = torch.ones(24_000, dtype=torch.bool)
    outside[piece.keep_from : piece.keep_to] = False
    assert not result.waveforms["Dog"][outside].any()
    assert everywhere.waveforms["Dog"][outside].any()
    inner = slice(piece.keep_from + 400, piece.keep_to - 400)
    torch.testing.assert_close(result.waveforms["Dog"][inner], everywhere.waveforms["Dog"][inner])


def test_answers_are_arrays_of_the_kind_that_is_given() -> None:
    ours, mixture = system(), recording(4000)
    tensors, arrays = (ours.separate(given, RATE, "Dog") for given in (mixture, mixture.numpy()))
    assert isinstance(tensors.waveforms["Dog"], torch.Tensor)
    assert isinstance(arrays.waveforms["Dog"], np.ndarray)
    np.testing.assert_array_equal(tensors.waveforms["Dog"].numpy(), arrays.waveforms["Dog"])
    assert (arrays.events, arrays.probabilities, arrays.activity) == ([], {}, None)
    mono = ours.separate(mixture[0].double(), RATE, "Dog")
    assert mono.residual.dtype == torch.float32
    assert "1 channel" in mono.heard_as


def test_passes_are_those_asked_for() -> None:
    ours, mixture = system(iters=2), recording(4000)
    trained, one, two = (ours.separate(mixture, RATE, "Dog", iters=n).waveforms["Dog"] for n in (None, 1, 2))
    assert torch.equal(trained, two)
    assert not torch.equal(one, two)


def test_a_guide_with_a_memory_hears_each_chunk() -> None:
    ours = system(0.5, **GUIDED)
    ours.network.sed = make({**SED, "sequence": "bigru"})
    assert ours.separate(recording(12_000), RATE, NAMED).labels == NAMED


def test_what_cannot_be_asked_is_refused() -> None:
    plain, mixture = system(), recording(4000)
    with refused("'Dogs' is not among the 5 classes: did you mean Dog"):
        plain.separate(mixture, RATE, ["Dogs"])
    with refused("Nothing names the sounds"):
        plain.separate(mixture, RATE)
    with refused("Nothing hears which sounds"):
        plain.separate(mixture, RATE, "Dog", per_chunk=True)
    with refused("No sounds are named"):
        plain.separate(mixture, RATE, [])
    with refused("threshold=1.5"):
        plain.separate(mixture, RATE, "Dog", threshold=1.5)
    with refused("3 passes were asked"):
        plain.separate(mixture, RATE, "Dog", iters=3)
    with refused("no range"):
        plain.separate(mixture, RATE, "Dog", level_db=(-20, -30))
    with refused(r"4000 channels: give \[channels, samples\]"):
        plain.separate(mixture.T, RATE, "Dog")
    with refused("of type int16"):
        plain.separate(np.zeros(100, np.int16), RATE, "Dog")
    with refused(r"shape \[1, 4, 4000\]"):
        plain.separate(mixture[None], RATE, "Dog")
    with refused("at least 0.02 s"):
        system(0.01)
    with refused("The tagger listens at 16000 Hz"):
        frontend = {**SED["backbone"]["frontend"], "input_rate": 16000}
        system(tagger=tagger(backbone={**SED["backbone"], "frontend": frontend}))


def test_a_system_is_loaded_from_its_checkpoints(tmp_path: Path) -> None:
    separator, names = saved(tmp_path, **GUIDED)
    ours = sedsep.load(separator, names, device="cpu")
    assert ours.labels == LABELS.names
    result = ours.separate(recording(9000), RATE, threshold=0.0)
    assert set(result.labels) == set(LABELS)
    alone = sedsep.load(separator, device="cpu")
    assert alone.named_by == "the separator's own Stage 2 SED model"
    assert set(alone.separate(recording(9000), RATE, threshold=0.0).labels) == set(LABELS)
    with refused("no checkpoint at"):
        sedsep.load(tmp_path / "absent.ckpt", cache=tmp_path)
    with refused("holds a sed model where a separator model is needed"):
        sedsep.load(names)


def test_the_package_has_nothing_else_in_store() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'lode'"):
        _ = sedsep.lode


@pytest.mark.parametrize("given", [{"sample_rate": np.inf}, {"level_db": (np.inf, np.inf)}, {"threshold": np.nan}])
def test_numbers_that_are_none_are_refused(given: dict[str, Any]) -> None:
    with refused(next(iter(given))):
        system(0.5, **GUIDED).separate(recording(2000), **{"sample_rate": RATE, "labels": "Dog", **given})


def test_what_is_softer_than_any_number_comes_back() -> None:
    faint = torch.full((4, 2000), 1e-44).bfloat16()
    found = system(0.5, **GUIDED).separate(faint, RATE, "Dog")
    assert torch.isfinite(found.waveforms["Dog"] + found.residual).all()
