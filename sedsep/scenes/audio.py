"""Reading audio files: exactly the frames asked for, or one sentence on what is wrong with the file.

Axes: F frames, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from sedsep.errors import reason
from sedsep.scenes.problems import DataProblem, FileError
from sedsep.types import FloatArray


@dataclass(frozen=True)
class AudioInfo:
    """What a file's header says.

    Attributes:
        frames: samples of each channel.
        channels: how many.
        rate: Hz.
    """

    frames: int
    channels: int
    rate: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.rate


def info(path: Path) -> AudioInfo:
    """Read a file's header.

    Raises:
        FileError: the file is missing, is not audio, is cut off or holds no frames.
    """
    with _open(Path(path)) as file:
        return AudioInfo(file.frames, file.channels, file.samplerate)


def format_problems(path: Path, info: AudioInfo, channels: int, rate: int | None = None) -> Iterator[DataProblem]:
    """Where a file differs from what it must be.

    Args:
        path: the file.
        info: its header.
        channels: it must have.
        rate: it must have, Hz; `None` takes any.
    """
    if info.channels != channels:
        text = f"{path} has {info.channels} channels, not {channels}: replace it by a recording that has."
        yield DataProblem("file", path, text)
    if rate not in (None, info.rate):
        text = f"{path} is sampled at {info.rate} Hz, not at {rate} Hz: set the sample rate to match or resample it."
        yield DataProblem("file", path, text)


def read(path: Path, start_s: float = 0.0, duration_s: float | None = None) -> tuple[FloatArray, int]:
    """Read part of a file.

    Args:
        path: any format libsndfile reads.
        start_s: where to start, seconds.
        duration_s: how much to read, seconds; `None` reads to the end. Both times become frames by cutting off after
            the multiplication, as the challenge's data does.

    Returns:
        Samples, float32 [F, C], and the file's rate in Hz.

    Raises:
        FileError: the file is missing, is not audio, is cut off, is shorter than asked for, or holds NaN or Inf.
    """
    path = Path(path)
    with _open(path) as file:
        rate = file.samplerate
        start = int(start_s * rate)
        count = file.frames - start if duration_s is None else int(duration_s * rate)
        if start < 0 or count < 1 or start + count > file.frames:
            raise FileError(
                f"{path} holds {file.frames} frames, but {count} are asked for from frame {start}: "
                "correct the scene or replace the file.",
                path,
            )
        # Whole numbers are read as such and scaled here: exactly what libsndfile does, in a fifth of the time.
        whole = file.subtype == "PCM_16"
        try:
            file.seek(start)
            samples = file.read(count, dtype="int16" if whole else "float32", always_2d=True)
        except soundfile.SoundFileError as error:
            raise FileError(f"{path} cannot be decoded ({reason(error)}): fetch or convert it again.", path) from error
    if len(samples) < count:
        raise FileError(
            f"{path} ends after {start + len(samples)} of {start + count} frames: fetch or convert it again.", path
        )
    if whole:
        return samples * np.float32(2**-15), rate
    # A sum is NaN or infinite exactly when a sample is: float32 audio cannot overflow float64.
    if not math.isfinite(float(samples.sum(dtype=np.float64))):
        raise FileError(f"{path} holds NaN or infinite samples: convert it again.", path)
    return samples, rate


def resample(samples: FloatArray, rate: int, new_rate: int) -> FloatArray:
    """Change the rate of float32 [F] or [F, C] to `ceil(F * new_rate / rate)` frames, each channel on its own."""
    if rate == new_rate:
        return samples
    length = math.ceil(len(samples) * (new_rate / rate))
    return fit(soxr.resample(samples, rate, new_rate, quality="HQ"), length)


def fit(samples: FloatArray, length: int) -> FloatArray:
    """Cut or zero-pad [F, ...] at the end to `length` frames."""
    missing = length - len(samples)
    if missing <= 0:
        return samples[:length]
    return np.pad(samples, [(0, missing), *[(0, 0)] * (samples.ndim - 1)])


def _open(path: Path) -> soundfile.SoundFile:
    if not path.is_file():
        what = "is a folder, not an audio file" if path.is_dir() else "does not exist"
        raise FileError(f"The audio file {path} {what}: check the data set's root.", path)
    try:
        file = soundfile.SoundFile(path)
        cut_off = _cut_off(path)
    except (soundfile.SoundFileError, OSError) as error:
        raise FileError(
            f"{path} is not a readable audio file ({reason(error)}): fetch or convert it again.", path
        ) from error
    if cut_off:
        problem = "is shorter than its header says"
    elif file.frames == 0:
        problem = "holds no samples"
    else:
        return file
    file.close()
    raise FileError(f"{path} {problem}: fetch or convert it again.", path)


def _cut_off(path: Path) -> bool:
    """Whether a WAV file ends before the size in its header; libsndfile reads such files without complaint."""
    with path.open("rb") as file:
        head = file.read(8)
    declared = int.from_bytes(head[4:8], "little")
    # All ones stand for a size unknown when the header was written.
    return head[:4] == b"RIFF" and declared != 0xFFFFFFFF and declared + 8 > path.stat().st_size
