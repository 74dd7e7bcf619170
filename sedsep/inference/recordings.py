"""Recordings as they come, files that libsndfile reads or arrays, and their channels as a network hears them.

Axes: F frames, C channels of a recording, M microphones of the network.

FOA is taken as the challenge has it, in the order of ACN (W, Y, Z, X) with SN3D levels: a plane wave from the left has
Y = W.
"""

from __future__ import annotations

import glob
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from torch import Tensor

from sedsep.errors import UserError, reason
from sedsep.scenes import audio
from sedsep.scenes.problems import FileError
from sedsep.types import FloatArray

BLOCK = 1 << 16
"""Frames that are read at a time."""

SUFFIXES = (
    *(".wav", ".wave", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aif", ".aiff", ".aifc", ".au", ".caf"),
)
"""What is taken for a recording in a folder."""

OGG_PAGE = 1 << 16
"""Bytes that an Ogg page fits in, but for a few."""

MOST_CHANNELS = 64


@dataclass(frozen=True)
class Recording:
    """Sound to be taken apart, known to be readable from the first to the last frame.

    Attributes:
        name: for people and for files.
        rate: Hz.
        channels: C.
        frames: F, at least 1.
        level: mean power of the loudest channel, dB re full scale; `-inf` for silence.
        blocks: a new pass over the samples, float32 [f, C] with f at most `BLOCK`.
    """

    name: str
    rate: int
    channels: int
    frames: int
    level: float
    blocks: Callable[[], Iterator[FloatArray]]

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.frames / self.rate


def from_file(path: Path) -> Recording:
    """A file, read through once: what is wrong with it shows here and not after hours of work.

    Raises:
        FileError: it is missing, is not audio, is cut off, holds nothing, or NaN or infinite samples.
    """
    if not path.is_file():
        problem = "is a folder" if path.is_dir() else "does not exist"
        raise FileError(f"The recording {path} {problem}: give the path of an audio file.", path)
    if not path.stat().st_size:
        raise FileError(f"{path} is empty: fetch or convert it again.", path)
    info = audio.info(path)
    if _lacks_its_end(path):
        raise FileError(f"{path} stops before its end: fetch or convert it again.", path)
    frames, level = _survey(_blocks(path), str(path))
    if frames < info.frames:
        raise FileError(f"{path} ends after {frames} of {info.frames} frames: fetch or convert it again.", path)
    return Recording(path.stem, info.rate, info.channels, frames, level, partial(_blocks, path))


def from_array(samples: FloatArray, rate: int) -> Recording:
    """Float32 samples [F, C] in memory.

    Raises:
        UserError: there are none, NaN or infinite ones, or the rate is none.
    """
    if rate < 1:
        raise UserError(f"sample_rate={rate} is no rate: give the waveform's samples per second.")
    if not samples.size:
        raise UserError(f"The waveform has shape {list(samples.T.shape)} and holds no samples: give at least one.")

    def blocks() -> Iterator[FloatArray]:
        return (samples[start : start + BLOCK] for start in range(0, len(samples), BLOCK))

    frames, level = _survey(blocks(), "The waveform")
    return Recording("waveform", rate, samples.shape[1], frames, level, blocks)


def frames_first(waveform: FloatArray | Tensor) -> FloatArray:
    """A waveform [F] or [C, F] as float32 [F, C].

    Raises:
        UserError: it is of another type or shape.
    """
    samples = waveform.detach().cpu().numpy() if isinstance(waveform, Tensor) else np.asarray(waveform)
    if not np.issubdtype(samples.dtype, np.floating):
        raise UserError(f"The waveform is of type {samples.dtype}: give floating-point samples, full scale at 1.")
    if samples.ndim not in {1, 2}:
        raise UserError(f"The waveform has shape {list(samples.shape)}: give [samples] or [channels, samples].")
    if samples.ndim == 2 and len(samples) > MOST_CHANNELS:
        raise UserError(f"The waveform has {len(samples)} channels: give [channels, samples], as in waveform.T.")
    return np.atleast_2d(samples).T.astype(np.float32, order="C")


def find(pattern: str) -> list[Path]:
    """The files that a path, a folder or a glob means, in order of their names.

    Raises:
        UserError: there are none.
    """
    path = Path(pattern).expanduser()
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
        if not files:
            raise UserError(
                f"The folder {path} holds no audio files ({', '.join(SUFFIXES)}): give the one that does, or "
                f"audio='{path}/**/*.wav' for those below it."
            )
    elif glob.has_magic(pattern) and not path.exists():
        files = [Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file()]  # noqa: PTH207
        if not files:
            raise UserError(f"No file is called {pattern}: check the pattern.")
    else:
        files = [path]
    return sorted(files)


def _blocks(path: Path) -> Iterator[FloatArray]:
    try:
        with soundfile.SoundFile(path) as file:
            while len(block := file.read(BLOCK, dtype="float32", always_2d=True)):
                yield block
    except (soundfile.SoundFileError, OSError) as error:
        raise FileError(f"{path} cannot be decoded ({reason(error)}): fetch or convert it again.", path) from error


def _survey(blocks: Iterator[FloatArray], name: str) -> tuple[int, float]:
    """Frames, and the loudest channel's mean power in dB, of samples that are all finite."""
    frames, energy_c = 0, np.zeros(1)
    for block in blocks:
        # A sum is NaN or infinite exactly when a sample is: float32 audio cannot overflow float64.
        if not math.isfinite(float(block.sum(dtype=np.float64))):
            raise UserError(f"{name} holds NaN or infinite samples: convert it again.")
        frames += len(block)
        energy_c = energy_c + np.square(block, dtype=np.float64).sum(axis=0)
    energy = float(energy_c.max())
    return frames, 10 * math.log10(energy / frames) if energy else -math.inf


def _lacks_its_end(path: Path) -> bool:
    """Whether an Ogg file's last page is not marked as the last, or an AIFF file is shorter than it says: libsndfile
    reads both without complaint."""
    with path.open("rb") as file:
        head = file.read(8)
        size = path.stat().st_size
        if head[:4] == b"FORM":
            return int.from_bytes(head[4:8], "big") + 8 > size
        if head[:4] != b"OggS":
            return False
        file.seek(max(0, size - OGG_PAGE))
        rest = file.read()
    page = rest.rfind(b"OggS")
    return page < 0 or len(rest) < page + 6 or not rest[page + 5] & 4


FOA = 4


@dataclass(frozen=True)
class ChannelMix:
    """How channels become microphones.

    Attributes:
        matrix: [M, C], applied to every frame. Its first row makes the reference that stems and residual add up to.
        description: in words.
    """

    matrix: FloatArray
    description: str


def channel_mix(channels: int, microphones: int) -> ChannelMix:
    """The way from C channels to M microphones.

    Nothing is made up: what a recording does not tell of direction stays silent in an FOA network's Y, Z and X.
    """
    count = f"{channels} channel{'s' * (channels > 1)}"
    first = np.eye(microphones, channels, dtype=np.float32)
    if channels == microphones:
        kind = "FOA (W, Y, Z, X)" if microphones == FOA else "the network's own microphones"
        return ChannelMix(first, f"{count}, taken as {kind}")
    if channels >= FOA and math.isqrt(channels) ** 2 == channels and microphones in {1, FOA}:
        used = "W, Y, Z and X are" if microphones == FOA else "W is"
        return ChannelMix(first, f"{count}, taken as ambisonics: {used} used")
    mean = np.full((microphones, channels), 1 / channels, np.float32)
    source = count if channels == 1 else f"the mean of {count}"
    if microphones != FOA:
        return ChannelMix(mean, source + ", given to every microphone" * (microphones > 1))
    mean[1:] = 0
    if channels == 2:
        mean[1] = 0.5, -0.5
        text = f"{count}, left and right: W is half their sum, Y half their difference, Z and X silent"
        return ChannelMix(mean, text)
    return ChannelMix(mean, f"{source} as W: Y, Z and X silent")
