"""What becomes of a visitor's recording: it is heard once, and each sound separated once, in a folder of the visitor's.

Axes: f frames of the recording.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from sedsep.errors import UserError
from sedsep.inference import Detection, Recording, Request, SceneSeparator, SoundEvent, from_file
from sedsep.inference.job import Watch
from sedsep.inference.writing import RESIDUAL, file_name
from sedsep.scenes import audio
from sedsep.types import FloatArray

LONGEST_NAME = 60
"""Letters of a recording's name that those of its stems begin with."""


@dataclass(frozen=True)
class Stem:
    """A sound of its own.

    Attributes:
        label: its class, or `RESIDUAL`.
        waveform: float32 [f].
        file: that holds it.
    """

    label: str
    waveform: FloatArray
    file: Path


class Visit:
    """A recording that was listened to.

    Args:
        system: that takes it apart.
        source: the recording, which is copied.
        folder: for all that is made of it; it goes with `leave`.
        longest_s: seconds that a recording may last.
        watch: told of the progress.

    Raises:
        UserError: the recording cannot be used, or is too long.
    """

    def __init__(self, system: SceneSeparator, source: Path, folder: Path, longest_s: float, watch: Watch) -> None:
        if (duration := audio.info(source).duration) > longest_s:
            raise UserError(
                f"{source.name} lasts {duration:.1f} s, and {longest_s:g} s are the most here: choose a shorter "
                "recording, or cut this one."
            )
        self.threshold, self._folder, self._made = system.threshold, folder, dict[tuple[object, ...], Path]()
        folder.mkdir()
        try:
            # Whoever else sent the same file shares the source, which goes when its time is over.
            recording = from_file(Path(shutil.copy(source, folder)))
            self._job = system.begin(recording, Request(threshold=self.threshold), watch)
        except BaseException:
            self.leave()
            raise

    @property
    def recording(self) -> Recording:
        """What was heard."""
        return self._job.recording

    @property
    def heard_as(self) -> str:
        """What was done with its channels."""
        return self._job.channel_mix.description

    @property
    def detection(self) -> Detection:
        """What the SED model says of it."""
        assert self._job.detection is not None  # a system without one is not let in
        return self._job.detection

    @property
    def mixture(self) -> FloatArray:
        """What stems and residual add up to [f]."""
        return np.concatenate([block @ self._job.channel_mix.matrix[0] for block in self.recording.blocks()])

    def sounds(self, threshold: float) -> list[str]:
        """What is heard from a probability on, the likeliest first."""
        return list(self._job.again(Request(threshold=threshold)).labels)

    def events(self, labels: Sequence[str], threshold: float) -> list[SoundEvent]:
        """When some sounds are heard from a probability on."""
        return self._job.again(Request(tuple(labels), threshold)).events

    def stems(self, labels: Sequence[str], passes: int | None, watch: Watch) -> list[Stem]:
        """Each of some sounds and, last, the residual; only what was not asked for before is separated.

        Args:
            labels: the sounds, different ones.
            passes: of refinement; `None` for as many as the separator is made for.
            watch: told of the progress.

        Raises:
            UserError: no sound is named.
        """
        if not labels:
            raise UserError("No sound is chosen: choose at least one to separate, or lower the threshold.")
        # Where the answer to one query depends on the others, sounds are known by their company.
        company = tuple(labels) if self._job.system.network.outputs > 1 else None
        missing = [label for label in labels if (label, passes, company) not in self._made]
        if missing:
            job = self._job.again(Request(tuple(missing), iters=passes), watch)
            for label, waveform in zip(missing, np.concatenate([block for block, _ in job.stems()]).T, strict=True):
                self._made[label, passes, company] = self._write(label, waveform)
        files = [self._made[label, passes, company] for label in labels]
        found = [Stem(label, _read(file), file) for label, file in zip(labels, files, strict=True)]
        residual = self.mixture - np.sum([stem.waveform for stem in found], axis=0)
        key = (RESIDUAL, passes, tuple(sorted(labels)))
        if key not in self._made:
            self._made[key] = self._write(RESIDUAL, residual)
        return [*found, Stem(RESIDUAL, residual, self._made[key])]

    def leave(self) -> None:
        """Remove all that was made."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def _write(self, label: str, waveform: FloatArray) -> Path:
        """A file that browsers save under a name that says what it is."""
        file = self._folder / str(len(self._made)) / file_name(f"{self.recording.name[:LONGEST_NAME]} - {label}.wav")
        file.parent.mkdir()
        soundfile.write(file, waveform, self.recording.rate, subtype="FLOAT")
        return file


def _read(file: Path) -> FloatArray:
    return soundfile.read(file, dtype="float32")[0]
