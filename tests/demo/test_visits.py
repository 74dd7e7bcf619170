"""A visitor's recording: heard once, each sound separated once, nothing left behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from minis import RATE, noise, refused
from whole_systems import GUIDED, system, tagger

from sedsep.demo.visits import Visit
from sedsep.inference import SceneSeparator
from sedsep.types import FloatArray


def quiet(*_: object) -> None:
    pass


def asked(separator: SceneSeparator) -> list[int]:
    """Grows with each question to the separator, by the sounds in it."""
    questions: list[int] = []
    separator.network.separator.register_forward_pre_hook(lambda _, inputs: questions.append(int(inputs[1].sum())))
    return questions


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "street.wav", (0.02 * noise(2, 3000)).T.numpy(), RATE, subtype="FLOAT")
    return tmp_path / "street.wav"


def read(path: Path) -> FloatArray:
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


def test_what_is_known_is_not_asked_again(recording: Path, tmp_path: Path) -> None:
    separator = system(0.5, tagger=tagger(), **GUIDED)
    expected = separator.separate(read(recording), RATE, ["Bell", "Dog", "Rain"])
    visit, heard = Visit(separator, recording, tmp_path / "visit", 60, quiet), []
    assert separator.tagger is not None
    separator.tagger.register_forward_pre_hook(lambda *_: heard.append(1))
    questions = asked(separator)
    assert visit.sounds(1.0) == []
    assert set(visit.sounds(0.0)) == set(separator.labels)
    visit.stems(["Bell", "Dog"], None, quiet)
    once = len(questions)
    stems = {stem.label: stem for stem in visit.stems(["Dog", "Rain", "Bell"], None, quiet)}
    assert set(questions[:once]) == {2}
    assert set(questions[once:]) == {1}
    again = len(questions)
    visit.stems(["Rain", "Dog"], None, quiet)
    assert len(questions) == again
    assert not heard
    for label, waveform in expected.waveforms.items():
        np.testing.assert_allclose(stems[label].waveform, waveform, atol=1e-6)
        np.testing.assert_array_equal(read(stems[label].file)[0], stems[label].waveform)
    np.testing.assert_allclose(sum(stem.waveform for stem in stems.values()), visit.mixture, atol=1e-6)
    visit.leave()
    assert not (tmp_path / "visit").exists()


def test_where_answers_depend_on_each_other_each_company_is_asked(recording: Path, tmp_path: Path) -> None:
    separator = system(0.5, tagger=tagger(), outputs=2)
    visit = Visit(separator, recording, tmp_path / "visit", 60, quiet)
    visit.stems(["Bell", "Dog"], None, quiet)
    stems = visit.stems(["Bell", "Rain"], None, quiet)
    expected = separator.separate(read(recording), RATE, ["Bell", "Rain"])
    for stem in stems[:-1]:
        np.testing.assert_allclose(stem.waveform, expected.waveforms[stem.label], atol=1e-6)


def test_what_cannot_be_used_leaves_nothing(recording: Path, tmp_path: Path) -> None:
    separator = system(0.5, tagger=tagger(), **GUIDED)
    with refused("street.wav lasts 0.4 s, and 0.1 s are the most here"):
        Visit(separator, recording, tmp_path / "visit", 0.1, quiet)
    soundfile.write(tmp_path / "nan.wav", np.full(3000, np.nan, np.float32), RATE, subtype="FLOAT")
    with refused("NaN or infinite samples"):
        Visit(separator, tmp_path / "nan.wav", tmp_path / "visit", 60, quiet)
    assert {path.name for path in tmp_path.iterdir()} == {"street.wav", "nan.wav"}
    visit = Visit(separator, recording, tmp_path / "visit", 60, quiet)
    with refused("No sound is chosen"):
        visit.stems([], None, quiet)
