from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from sedsep.errors import UserError
from sedsep.scenes.kept import Kept
from sedsep.scenes.layout import Layout
from sedsep.scenes.metadata import load_index
from sedsep.scenes.mixing import power
from sedsep.scenes.rendering import Renderer, direct_path
from sedsep.scenes.rooms import write_sofa
from sedsep.scenes.sampling import SceneSampler
from sedsep.types import Event, Scene, SceneDirs, SceneSpec

RATE, TAPS = 8000, 400


@pytest.mark.parametrize("number", range(6))
def test_a_scene_is_what_the_reference_renders(golden: Path, number: int) -> None:
    layout = Layout(golden / "scenes", 32000, 4)
    spec = load_index(layout.root / "metadata" / "valid.json", layout)[number]
    scene = Renderer(layout).render(spec)
    expected = np.load(golden / "scenes" / "digest.npz")

    assert scene.labels == spec.slots
    np.testing.assert_allclose(scene.mixture[:, ::37].T, expected[f"mixture_{number}"], rtol=0, atol=2e-7)
    # The digest lists the sources by onset, the scene by slot.
    slots = [scene.labels.index(str(event.label)) for event in spec.foreground]
    np.testing.assert_allclose(scene.targets[slots, ::37], expected[f"dry_{number}"], rtol=0, atol=2e-7)
    assert [list(scene.spans[slot]) for slot in slots] == expected[f"on_offset_{number}"].tolist()
    power = np.square(scene.mixture.astype(np.float64)).mean(axis=1)
    np.testing.assert_allclose(np.sqrt(power), expected[f"rms_mix_{number}"], rtol=1e-6)
    for slot, label in enumerate(scene.labels):
        if label == "silence":
            assert scene.spans[slot] == (0, 0)
            assert not scene.targets[slot].any()


def test_real_scenes_are_what_the_data_set_ships(shared: Path) -> None:
    layout = Layout(shared / "realmini", 32000, 4)
    renderer = Renderer(layout)
    step = 2**-15 + 2e-7  # written as 16 bit, cut off towards minus infinity
    for number, spec in enumerate(load_index(layout.root / "metadata" / "test.json", layout)[:3]):
        scene = renderer.render(spec)
        mixture, _ = soundfile.read(layout.root / "test" / "soundscape" / f"test_{number:04d}.wav", always_2d=True)
        np.testing.assert_allclose(scene.mixture, mixture.T, rtol=0, atol=step)
        for label, target in zip(scene.labels, scene.targets, strict=True):
            if label != "silence":
                dry, _ = soundfile.read(layout.root / "test" / "oracle_target" / f"test_{number:04d}_{label}.wav")
                np.testing.assert_allclose(target, dry, rtol=0, atol=step)


@pytest.fixture
def renderer(root: Path) -> Renderer:
    return Renderer(Layout(root, RATE, 4))


@pytest.fixture
def scene() -> Callable[..., SceneSpec]:
    """A scene of 2 s of what it is given."""

    def scene(
        foreground: tuple[Event, ...] = (),
        background: tuple[Event, ...] = (),
        interference: tuple[Event, ...] = (),
        slots: tuple[str, ...] | None = None,
        **changes: object,
    ) -> SceneSpec:
        spec = SceneSpec(
            name="scene",
            dirs=SceneDirs("sound_event/train", "noise/train", "room_ir/train", "interference/train"),
            room="roomA.sofa",
            foreground=foreground,
            background=background,
            interference=interference,
            duration=2.0,
            sample_rate=RATE,
            ref_db=-50.0,
            ref_channel=0,
            direct_path_ms=(6.0, 50.0),
            slots=tuple(str(event.label) for event in foreground) if slots is None else slots,
        )
        return dataclasses.replace(spec, **changes)

    return scene


COUGH = Event("Cough", "Cough/cough_0.wav", 0.0, 0.75, 0.5, 12.0, position_index=3)
WIND = Event("Wind", "Wind/wind_0.wav", 0.0, 0.2, 0.5, 3.0, position_index=1)
LONG = Event(None, "long.wav", 1.0, 0.0, 2.0, 0.0)


def level(signal: np.ndarray) -> float:
    return float(10 * np.log10(np.square(signal.astype(np.float64)).mean()))


def test_a_source_lies_at_its_snr_over_its_span(renderer: Renderer, scene: Callable[..., SceneSpec]) -> None:
    rendered = renderer.render(scene((COUGH,)))
    on, off = rendered.spans[0]
    assert (on, off - on) == (int(0.75 * RATE), int(0.5 * RATE) + TAPS - 1)
    assert level(rendered.mixture[:, on:off]) == pytest.approx(-50 + 12, abs=1e-4)
    assert not rendered.mixture[:, :on].any()
    assert not rendered.mixture[:, off:].any()


def test_the_level_counts_the_tail_that_the_end_cuts_off(renderer: Renderer, scene: Callable[..., SceneSpec]) -> None:
    early = renderer.render(scene((dataclasses.replace(COUGH, event_time=0.5),)))
    late = renderer.render(scene((dataclasses.replace(COUGH, event_time=1.5),)))
    assert late.spans[0] == (int(1.5 * RATE), 2 * RATE)
    np.testing.assert_array_equal(late.mixture[:, int(1.5 * RATE) :], early.mixture[:, int(0.5 * RATE) : RATE])
    np.testing.assert_array_equal(late.targets[:, int(1.5 * RATE) :], early.targets[:, int(0.5 * RATE) : RATE])


def test_the_background_lies_at_the_reference_level(renderer: Renderer, scene: Callable[..., SceneSpec]) -> None:
    assert level(renderer.render(scene(background=(LONG,))).mixture) == pytest.approx(-50, abs=1e-4)
    louder = dataclasses.replace(LONG, snr=7.0)
    assert level(renderer.render(scene(background=(louder,))).mixture) == pytest.approx(-43, abs=1e-4)


def test_a_short_background_is_played_over_and_over(renderer: Renderer, scene: Callable[..., SceneSpec]) -> None:
    short = Event(None, "short.wav", None, 0.0, 2.0, 0.0)
    mixture = renderer.render(scene(background=(short,))).mixture
    assert level(mixture) == pytest.approx(-50, abs=1e-4)
    half = RATE // 2
    for part in range(1, 4):
        np.testing.assert_array_equal(mixture[:, part * half : (part + 1) * half], mixture[:, :half])


def test_a_mixture_is_the_sum_of_its_parts(renderer: Renderer, scene: Callable[..., SceneSpec]) -> None:
    bell = Event("Bell", "Bell/bell_0.wav", 0.1, 0.9, 0.3, 8.0, position_index=0)
    parts = [scene((bell,)), scene((COUGH,)), scene(interference=(WIND,)), scene(background=(LONG,))]
    together = renderer.render(scene((COUGH, bell), (LONG,), (WIND,)))
    total = sum(renderer.render(part).mixture for part in parts)
    np.testing.assert_allclose(together.mixture, total, rtol=0, atol=3e-8)  # levels are about 1e-2


def test_targets_stand_in_slot_order(renderer: Renderer, scene: Callable[..., SceneSpec]) -> None:
    bell = Event("Bell", "Bell/bell_0.wav", 0.1, 0.9, 0.3, 8.0, position_index=0)
    rendered = renderer.render(scene((COUGH, bell), slots=("Bell", "silence", "Cough")))
    assert rendered.labels == ("Bell", "silence", "Cough")
    assert rendered.spans[0][0] == int(0.9 * RATE)
    assert rendered.spans[2][0] == int(0.75 * RATE)
    assert rendered.spans[1] == (0, 0)
    assert not rendered.targets[1].any()
    assert rendered.targets[0].any()
    assert rendered.targets[2].any()


def test_in_an_anechoic_room_the_target_is_what_the_microphone_hears(
    root: Path, scene: Callable[..., SceneSpec]
) -> None:
    responses = np.zeros((1, 4, TAPS), np.float32)
    responses[0, :, 100] = [1.0, 0.5, -0.25, 0.1]
    write_sofa(root / "room_ir" / "train" / "dead.sofa", responses, np.ones((1, 3)), RATE, title="dead")
    event = dataclasses.replace(COUGH, position_index=0)
    rendered = Renderer(Layout(root, RATE, 4)).render(scene((event,), room="dead.sofa"))
    np.testing.assert_allclose(rendered.targets[0], rendered.mixture[0], rtol=0, atol=1e-7)
    source, _ = soundfile.read(root / "sound_event" / "train" / "Cough" / "cough_0.wav")
    on = rendered.spans[0][0] + 100
    heard = rendered.mixture[:, on : on + len(source)]
    gain = heard[0] @ source / (source @ source)
    np.testing.assert_allclose(heard, gain * np.outer([1.0, 0.5, -0.25, 0.1], source), rtol=0, atol=1e-7)


def test_a_known_measurement_wins_over_its_coordinates(root: Path, scene: Callable[..., SceneSpec]) -> None:
    responses = np.random.default_rng(0).standard_normal((3, 4, TAPS)).astype(np.float32)
    write_sofa(root / "room_ir" / "train" / "same.sofa", responses, np.ones((3, 3)), RATE, title="same")
    renderer = Renderer(Layout(root, RATE, 4))

    def render(index: int | None) -> np.ndarray:
        event = dataclasses.replace(COUGH, position=(1.0, 1.0, 1.0), position_index=index)
        return renderer.render(scene((event,), room="same.sofa")).mixture

    np.testing.assert_array_equal(render(None), render(0))
    assert np.abs(render(2) - render(0)).max() > 1e-3


def test_a_silent_source_stays_silent(root: Path, scene: Callable[..., SceneSpec]) -> None:
    soundfile.write(root / "sound_event" / "train" / "Cough" / "cough_0.wav", np.zeros(RATE), RATE)
    rendered = Renderer(Layout(root, RATE, 4)).render(scene((COUGH,)))
    assert rendered.labels == ("Cough",)
    assert not rendered.mixture.any()


def test_a_scene_has_the_promised_shapes(renderer: Renderer, sampler: SceneSampler) -> None:
    for index in range(20):
        scene: Scene = renderer.render(sampler.sample(0, 0, index))
        assert scene.mixture.shape == (4, 2 * RATE)
        assert scene.targets.shape == (3, 2 * RATE)
        assert scene.mixture.dtype == scene.targets.dtype == np.float32
        assert scene.mixture.flags.c_contiguous
        assert len(scene.spans) == len(scene.labels) == 3
        assert np.isfinite(scene.mixture).all()
        assert np.isfinite(scene.targets).all()


def test_the_direct_path_is_cut_around_the_signed_peak() -> None:
    response = np.zeros(4000, np.float32)
    response[[60, 1000, 3950]] = [0.5, -1.0, 0.4]
    # 6 ms and 50 ms are 48 and 400 samples; the stronger negative peak does not count.
    assert direct_path(response, (6.0, 50.0), RATE) == (12, 460)
    response[60] = 0
    assert direct_path(response, (6.0, 50.0), RATE) == (3950 - 48, 4000)
    response[20] = 0.9
    assert direct_path(response, (6.0, 50.0), RATE) == (0, 420)


def test_the_true_direct_path_may_be_asked_for(root: Path, scene: Callable[..., SceneSpec]) -> None:
    responses = np.zeros((1, 4, TAPS), np.float32)
    responses[0, :, 100], responses[0, :, 300] = -1.0, 0.5
    write_sofa(root / "room_ir" / "train" / "wall.sofa", responses, np.ones((1, 3)), RATE, title="wall")
    spec = scene((dataclasses.replace(COUGH, position_index=0),), room="wall.sofa", direct_path_ms=(1.0, 2.0))
    source, _ = soundfile.read(root / "sound_event" / "train" / "Cough" / "cough_0.wav")
    on = int(0.75 * RATE)
    for choice, tap in (("signed", 300), ("absolute", 100)):
        target = Renderer(Layout(root, RATE, 4), direct_path=choice).render(spec).targets[0]
        heard = target[on + tap : on + tap + len(source)]
        assert abs(np.corrcoef(heard, source)[0, 1]) == pytest.approx(1, abs=1e-5)


def test_an_event_may_end_with_its_target(root: Path, scene: Callable[..., SceneSpec]) -> None:
    spec = scene((COUGH,), direct_path_ms=(1.0, 2.0))
    rendered = Renderer(Layout(root, RATE, 4), spans="dry").render(spec)
    on, off = rendered.spans[0]
    assert on == int(0.75 * RATE)
    assert rendered.targets[0, off - 1] != 0
    assert np.abs(rendered.targets[0, off:]).max() < 1e-7
    assert off < Renderer(Layout(root, RATE, 4)).render(spec).spans[0][1]


def test_a_short_background_may_be_stretched_as_the_challenge_does(root: Path, scene: Callable[..., SceneSpec]) -> None:
    short = Event(None, "short.wav", None, 0.0, 2.0, 0.0)
    mixture = Renderer(Layout(root, RATE, 4), short_background="stretch").render(scene(background=(short,))).mixture
    assert level(mixture) == pytest.approx(-50, abs=1e-4)
    for shift in range(1, 4):
        np.testing.assert_array_equal(mixture[:, shift::4], mixture[:, ::4])


def test_an_unknown_choice_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match=r"data\.rendering\.spans=long is not known: choose one of wet, dry"):
        Renderer(Layout(root, RATE, 4), spans="long")


def test_levels_do_not_lose_small_samples_among_large_ones() -> None:
    signal = np.full((4, 500_000), 1e-4, np.float32)
    signal[0, 0] = 1e4
    assert power(signal) == pytest.approx((1e8 + (signal.size - 1) * float(np.float32(1e-4)) ** 2) / signal.size, 1e-12)


def test_files_at_other_rates_and_in_stereo_are_converted(root: Path, scene: Callable[..., SceneSpec]) -> None:
    time = np.arange(22050) / 44100
    tone = np.sin(2 * np.pi * 500 * time)
    soundfile.write(root / "sound_event" / "train" / "Cough" / "cough_0.wav", np.stack([tone, 0 * tone], axis=1), 44100)
    rendered = Renderer(Layout(root, RATE, 4)).render(scene((COUGH,)))
    on, off = rendered.spans[0]
    assert off - on == int(0.5 * RATE) + TAPS - 1
    spectrum = np.abs(np.fft.rfft(rendered.mixture[0, on + TAPS : on + int(0.5 * RATE)]))
    assert np.fft.rfftfreq(int(0.5 * RATE) - TAPS, 1 / RATE)[spectrum.argmax()] == pytest.approx(500, abs=3)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sample_rate": 16000}, "scene scene is at 16000 Hz, not at 8000 Hz"),
        ({"ref_channel": 4}, "targets at channel 4 of 4"),
        ({"room": "gone.sofa"}, r"gone\.sofa does not exist"),
        ({"foreground": (dataclasses.replace(COUGH, source_file="Cough/gone.wav"),)}, r"gone\.wav does not exist"),
        ({"foreground": (dataclasses.replace(COUGH, event_duration=0.6),)}, r"cough_0\.wav holds 4000 frames"),
        ({"background": (dataclasses.replace(LONG, source_time=4.0),)}, r"long\.wav holds 44000 frames"),
    ],
)
def test_what_cannot_be_rendered_says_why(
    renderer: Renderer, scene: Callable[..., SceneSpec], changes: dict[str, object], says: str
) -> None:
    with pytest.raises(UserError, match=says) as error:
        renderer.render(dataclasses.replace(scene((COUGH,)), **changes))
    assert "\n" not in str(error.value)


def test_what_a_renderer_has_read_before_changes_no_scene(root: Path, sampler: SceneSampler) -> None:
    layout = Layout(root, RATE, 4)
    seasoned = Renderer(layout)
    for _ in range(2):
        for index in reversed(range(6)):
            spec = sampler.sample(0, 0, index)
            one, other = seasoned.render(spec), Renderer(layout).render(spec)
            assert one.mixture.tobytes() == other.mixture.tobytes()
            assert one.targets.tobytes() == other.targets.tobytes()


def test_a_process_keeps_what_it_read_last_within_its_bytes() -> None:
    made: list[str] = []

    def get(name: str, samples: int = 10) -> np.ndarray:
        return kept.get(name, lambda: made.append(name) or np.zeros(samples, np.float32))

    kept = Kept(100)
    for name in ("a", "b", "a", "c", "a", "b"):
        assert len(get(name)) == 10
    assert made == ["a", "b", "c", "b"]  # c put b out, for a was asked for since
    assert len(get("longer than all of it", 1000)) == 1000
    with pytest.raises(ValueError, match="read-only"):
        get("a")[0] = 1
    assert made[4:] == ["longer than all of it", "a"]


def test_a_background_with_other_channels_is_refused(root: Path, scene: Callable[..., SceneSpec]) -> None:
    renderer = Renderer(Layout(root, RATE, 4))
    soundfile.write(root / "noise" / "train" / "long.wav", np.ones((6 * RATE, 2)), RATE)
    with pytest.raises(UserError, match=r"long\.wav has 2 channels, not 4"):
        renderer.render(scene(background=(LONG,)))
