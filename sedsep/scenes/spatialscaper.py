"""Playing sources through the SpatialScaper package instead of our own transforms: `data.engine=spatialscaper`.

The package draws, loads, spatialises and adds up whole soundscapes, with other conventions than the challenge's: it
cuts reverberation off where the source file ends, sets levels by mean magnitude and knows no dry targets. So it is
given one source at a time, followed by as much silence as the reverberation lasts, and all responses of that source at
once, the target's among them. It scales all of them alike, and the challenge's level is set afterwards.

Axes: N taps, F samples of a source, R responses.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile

from sedsep.errors import UserError
from sedsep.scenes import audio
from sedsep.scenes.layout import Layout
from sedsep.scenes.mixing import SceneParts, gain, power
from sedsep.scenes.rendering import Renderer
from sedsep.types import FloatArray, Scene

PACKAGE = "spatialscaper"
ORIGIN = "git+https://github.com/iranroman/SpatialScaper"

LABEL, POSITION = "sound", [1.0, 0.0, 0.0]
"""The package wants a class and a position of every event, for annotations that are not used here."""


class SpatialScaperRenderer(Renderer):
    """A `Renderer` whose sources are convolved by SpatialScaper's `Scaper`.

    Args:
        layout: where the files lie, and the rate and channels scenes have.
        choices: those of `Renderer`.

    Raises:
        UserError: the package is not installed.
    """

    def __init__(self, layout: Layout, **choices: str) -> None:
        super().__init__(layout, **choices)
        try:
            importlib.import_module(PACKAGE)
        except ImportError as error:
            raise UserError(
                f"data.engine=spatialscaper needs the package SpatialScaper ({error}): run pip install {ORIGIN}, "
                "in a clone pip install --group spatialscaper, or leave data.engine=sedsep."
            ) from error

    def mix(self, parts: SceneParts) -> Scene:
        mixture = parts.background
        channels, length = mixture.shape
        targets = np.zeros((len(parts.labels), length), np.float32)
        for sound in parts.sounds:
            responses = sound.response
            if sound.slot is not None:
                # The target is played through one microphone's response, zero but for its direct path.
                start, end = sound.direct
                direct = np.zeros((1, responses.shape[1]), np.float32)
                direct[0, start:end] = responses[parts.ref_channel, start:end]
                responses = np.concatenate([responses, direct])
            tracks = self.play(sound.source, responses)
            tracks *= gain(power(tracks[:channels]), sound.level_db)
            tracks = tracks[:, : length - sound.onset]
            span = slice(sound.onset, sound.onset + tracks.shape[1])
            mixture[:, span] += tracks[:channels]
            if sound.slot is not None:
                targets[sound.slot, span] = tracks[channels]
        return Scene(mixture, targets, parts.labels, parts.spans, parts.name)

    def play(self, source: FloatArray, responses: FloatArray) -> FloatArray:
        """A source [F] as heard through each response [R, N]: [R, F + N - 1], up to a factor common to all."""
        rows, taps = responses.shape
        length = len(source) + taps - 1
        if not source.any():  # the package divides by the peak
            return np.zeros((rows, length), np.float32)
        core = importlib.import_module(f"{PACKAGE}.core")
        with TemporaryDirectory() as folder:
            file, no_labels = Path(folder) / "source.wav", Path(folder) / "labels"
            no_labels.mkdir()
            soundfile.write(file, audio.fit(source, length), self.sample_rate, subtype="FLOAT")
            scaper = core.Scaper(duration=length / self.sample_rate, foreground_dir=str(no_labels), sr=self.sample_rate)
            scaper.fg_labels = {LABEL: 0}
            scaper.fg_events = [
                core.Event(
                    label=LABEL,
                    source_file=str(file),
                    source_time=0,
                    event_time=0,
                    event_duration=(length + 0.5) / self.sample_rate,  # the package cuts products off
                    snr=0,
                    role="foreground",
                    pitch_shift=None,
                    time_stretch=None,
                    event_position=[POSITION],
                )
            ]
            tracks, _ = scaper.synthesize_events_and_labels(
                responses[None], np.array([POSITION]), np.zeros((length, rows))
            )
        return np.ascontiguousarray(tracks.T, np.float32)
