"""Reading audio files: exactly the frames asked for, or one sentence on what is wrong with the file.

Axes: F frames, C channels.
"""

from __future__ import annotations

import io
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import soundfile
import soxr

from sedsep.errors import reason
from sedsep.scenes.headers import UNSAID, check_whole
from sedsep.scenes.problems import DataProblem, FileError
from sedsep.types import FloatArray

FORMATS = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC", "OGG", "MP3"}
"""What is read: formats of which it can be told whether a file is whole, but for some MP3 files."""

BLOCK = 1 << 16
"""Frames that are read at a time."""

MOST_CHANNELS = 64
RATES = 1000, 1_000_000
"""The lowest and the highest, Hz."""

UNKNOWN = 2**63 - 1
"""Frames of a file that does not say how many it has, as libsndfile has it."""

UNSEEKABLE = ("GSM", "G72", "NMS")
"""How the names of codecs begin that libsndfile reads from front to back alone."""


class Stream(soundfile.SoundFile):
    """Audio that is read from front to back: libsndfile does not seek in every kind."""

    def seekable(self) -> bool:
        """Whether one can seek: no."""
        return False


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
    """Read a file's header, and its last sample: files that are cut off are known by it.

    Raises:
        FileError: the file is missing, is not audio, is cut off or holds no frames.
    """
    with _opened(Path(path)) as file:
        if isinstance(file, Stream):
            frames = sum(map(len, decoded(file)))
        else:
            frames = file.frames
            _check_last_frame(file)
        return AudioInfo(frames, file.channels, file.samplerate)


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
        path: a file in one of `FORMATS`.
        start_s: where to start, seconds.
        duration_s: how much to read, seconds; `None` reads to the end. Both times become frames by cutting off after
            the multiplication, as the challenge's data does.

    Returns:
        Samples, float32 [F, C], and the file's rate in Hz.

    Raises:
        FileError: the file is missing, is not audio, is cut off, is shorter than asked for, or holds NaN or Inf.
    """
    path = Path(path)
    with _opened(path) as file:
        rate = file.samplerate
        # Whole numbers are read as such and scaled here: exactly what libsndfile does, in a fifth of the time.
        whole = file.subtype == "PCM_16"
        every = np.concatenate(list(decoded(file))) if isinstance(file, Stream) else None
        frames = file.frames if every is None else len(every)
        start = int(start_s * rate)
        count = frames - start if duration_s is None else int(duration_s * rate)
        if start < 0 or count < 1 or start + count > frames:
            raise FileError(
                f"{path} holds {frames} frames, but {count} are asked for from frame {start}: "
                "correct the scene or replace the file.",
                path,
            )
        if every is not None:
            whole, samples = False, every[start : start + count]
        else:
            file.seek(start)
            samples = file.read(count, dtype="int16" if whole else "float32", always_2d=True)
        if len(samples) < count:
            raise ValueError(f"ends after {start + len(samples)} of {start + count} frames")
        if whole:
            return samples * np.float32(2**-15), rate
        # A sum is NaN or infinite exactly when a sample is: float32 audio cannot overflow float64.
        if not math.isfinite(float(samples.sum(dtype=np.float64))):
            raise FileError(f"{path} holds NaN or infinite samples: convert it again.", path)
        return samples, rate


def blocks(path: Path) -> Iterator[FloatArray]:
    """All samples of a file, float32 [f, C], at most `BLOCK` frames at a time.

    Raises:
        FileError: as `read`.
    """
    with _opened(path) as file:
        yield from decoded(file)


def decoded(file: soundfile.SoundFile) -> Iterator[FloatArray]:
    """What is left to read of an `opened` file, float32 [f, C], at most `BLOCK` frames at a time."""
    while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
        yield block


@contextmanager
def opened(source: BinaryIO) -> Iterator[soundfile.SoundFile]:
    """Audio that can be used: the one door for all that is read, be it a file's or not.

    Args:
        source: a file or bytes in one of `FORMATS`.

    Yields:
        A `Stream` where nothing says how many frames there are, or where one cannot seek.

    Raises:
        ValueError: it is no audio, is cut off, holds nothing, or more channels or another rate than can be meant; also
            where it is read and cannot be decoded. The text goes on after the file's name.
    """
    says_length = check_whole(source)
    try:
        file = soundfile.SoundFile(_handle(source))
        guessed = file.format == "MP3" and not says_length
        if guessed or file.frames == UNKNOWN or file.subtype.startswith(UNSEEKABLE):
            file.close()
            file = Stream(_handle(source))
    except soundfile.SoundFileError as error:
        raise ValueError(f"is not a readable audio file ({reason(error)})") from error
    with file:
        if file.format not in FORMATS:
            raise ValueError(f"is a {file.format} file, which may be cut off without a sign of it: convert it to WAV")
        if not file.frames:
            raise ValueError("holds no samples" if says_length else UNSAID)
        if file.channels > MOST_CHANNELS:
            raise ValueError(f"has {file.channels} channels, more than the {MOST_CHANNELS} of any recording")
        if not RATES[0] <= file.samplerate <= RATES[1]:
            raise ValueError(f"is sampled at {file.samplerate} Hz, not between {RATES[0]} and {RATES[1]} Hz")
        try:
            yield file
        except soundfile.SoundFileError as error:
            raise ValueError(f"cannot be decoded ({reason(error)})") from error


def write(path: Path, samples: FloatArray, rate: int) -> None:
    """Write samples [F] or [F, C] as a 16-bit WAV file.

    Raises:
        OSError: it cannot be written; libsndfile itself would not say why.
    """
    content = io.BytesIO()
    soundfile.write(content, samples, rate, subtype="PCM_16", format="WAV")
    path.write_bytes(content.getvalue())


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


@contextmanager
def _opened(path: Path) -> Iterator[soundfile.SoundFile]:
    """What lies at `path`, as `opened`; what is wrong with it is a `FileError`."""
    try:
        with _regular(path).open("rb") as source, opened(source) as file:
            yield file
    except FileNotFoundError as error:
        raise FileError(
            f"The audio file {path} does not exist: check the path, or the data set's root.", path
        ) from error
    except OSError as error:
        raise FileError(f"The audio file {path} cannot be read ({reason(error)}): check the path.", path) from error
    except ValueError as error:
        raise FileError(f"{path} {error}: fetch or convert it again.", path) from error


def _regular(path: Path) -> Path:
    """A path that leads to a file with something in it. Others may never end, or never begin."""
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        raise FileError(f"{path} is a folder, not an audio file: give the path of one.", path)
    if not stat.S_ISREG(status.st_mode):
        raise FileError(f"{path} is a device or a pipe, not an audio file: write what comes from it into one.", path)
    if not status.st_size:
        raise ValueError("is empty")
    return path


def _handle(source: BinaryIO) -> int | BinaryIO:
    """What libsndfile reads a source from. Of a file it gets no name: it would guess by that what the file is."""
    if isinstance(source, io.BytesIO):
        source.seek(0)
        return source
    return os.open(source.name, os.O_RDONLY)


def _check_last_frame(file: soundfile.SoundFile) -> None:
    """Raise a `ValueError` where not all frames can be decoded."""
    with suppress(soundfile.SoundFileError):
        file.seek(file.frames - 1)
        if len(file.read(1)):
            return
    read = 0
    with suppress(soundfile.SoundFileError):
        file.seek(0)
        for block in decoded(file):
            read += len(block)
    raise ValueError(f"is cut off or damaged: of {file.frames} frames that its header promises, {read} can be decoded")
