"""Recordings as they come, files that libsndfile reads or arrays, and their channels as a network hears them.

Axes: F frames, C channels of a recording, M microphones of the network.

FOA is taken as the challenge has it, in the order of ACN (W, Y, Z, X) with SN3D levels: a plane wave from the left has
Y = W.
"""

from __future__ import annotations

import glob
import math
import numbers
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from sedsep.errors import UserError, printable, reason
from sedsep.scenes import audio
from sedsep.scenes.problems import FileError
from sedsep.types import FloatArray

SUFFIXES = (
    *(".wav", ".wave", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3"),
    *(".aif", ".aiff", ".aifc", ".au", ".caf"),
)
"""What is taken for a recording in a folder."""

LOUDEST = 1e9
"""The largest sample, of a recording that has 1 for full scale, that a program can have meant."""
SOFTEST_DB = -500.0
"""Below this mean level all is silence: 24 bits reach down to -144 dB, and what networks hear would overflow."""


@dataclass(frozen=True)
class Recording:
    """Sound to be taken apart, known to be readable from the first to the last frame.

    Attributes:
        name: for people and for files.
        rate: Hz.
        channels: C.
        frames: F, at least 1.
        level: mean power of the loudest channel, dB re full scale; `-inf` for silence, and what is below `SOFTEST_DB`.
        blocks: a new pass over the samples, float32 [f, C] with f at most `audio.BLOCK`.
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
        FileError: it is missing, is not audio, is cut off or holds nothing.
        UserError: it holds NaN, infinite or absurdly large samples.
    """
    info = audio.info(path)
    frames, level = _survey(audio.blocks(path), str(path))
    if frames < info.frames:
        raise FileError(f"{path} ends after {frames} of {info.frames} frames: fetch or convert it again.", path)
    return Recording(path.stem, info.rate, info.channels, frames, level, partial(audio.blocks, path))


def from_array(samples: FloatArray, rate: int) -> Recording:
    """Float32 samples [F, C] in memory.

    Raises:
        UserError: there are none, NaN or infinite ones, or the rate is none.
    """
    if not is_number(rate, *audio.RATES, whole=True):
        lowest, highest = audio.RATES
        raise UserError(
            f"sample_rate={rate} is no rate of a recording: give the waveform's samples per second, a whole number "
            f"from {lowest} to {highest}."
        )
    if not samples.size:
        raise UserError(f"The waveform has shape {list(samples.T.shape)} and holds no samples: give at least one.")

    def blocks() -> Iterator[FloatArray]:
        return (samples[start : start + audio.BLOCK] for start in range(0, len(samples), audio.BLOCK))

    frames, level = _survey(blocks(), "The waveform")
    return Recording("waveform", int(rate), samples.shape[1], frames, level, blocks)


def is_number(value: object, lowest: float, highest: float = sys.float_info.max, whole: bool = False) -> bool:
    """Whether something is a number of a range, and a whole one; NaN is none, infinity is in no range."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    return real and bool(lowest <= value <= highest) and (not whole or value == int(value))  # type: ignore[operator, call-overload]


def frames_first(waveform: FloatArray | Tensor) -> FloatArray:
    """A waveform [F] or [C, F] as float32 [F, C].

    Raises:
        UserError: it is of another type or shape.
    """
    try:
        if isinstance(waveform, Tensor) and waveform.is_floating_point():
            samples = waveform.detach().cpu().float().numpy()  # numpy has no bfloat16
        else:
            samples = np.asarray(waveform)
    except (RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"The waveform cannot be read ({printable(reason(error))}): give an array or a tensor of samples."
        ) from error
    if not np.issubdtype(samples.dtype, np.floating):
        raise UserError(f"The waveform is of type {samples.dtype}: give floating-point samples, full scale at 1.")
    if samples.ndim not in {1, 2}:
        raise UserError(f"The waveform has shape {list(samples.shape)}: give [samples] or [channels, samples].")
    if samples.ndim == 2 and len(samples) > audio.MOST_CHANNELS:
        raise UserError(f"The waveform has {len(samples)} channels: give [channels, samples], as in waveform.T.")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is told as that
        return np.atleast_2d(samples).T.astype(np.float32, order="C")


def find(pattern: str) -> list[Path]:
    """The files that a path, a folder or a glob means, in order of their names.

    Raises:
        UserError: there are none.
    """
    path = Path(os.path.expanduser(pattern))  # noqa: PTH111 (no error for a user that is none)
    if os.path.isdir(path):  # noqa: PTH112 (no error for a name that is too long)
        files = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
        if not files:
            raise UserError(
                f"The folder {path} holds no audio files ({', '.join(SUFFIXES)}): give the one that does, or "
                f"audio='{path}/**/*.wav' for those below it."
            )
    elif glob.has_magic(pattern) and not os.path.exists(path):  # noqa: PTH110
        files = _matching(path)
        if not files:
            raise UserError(f"No file is called {pattern}: check the pattern.")
    else:
        files = [path]
    return sorted(files)


def _matching(pattern: Path) -> list[Path]:
    """The files of a glob; `**` does not follow links, which may lead in loops."""
    at = next(index for index, part in enumerate(pattern.parts) if glob.has_magic(part))
    base, rest = Path(*pattern.parts[:at]), Path(*pattern.parts[at:])
    try:
        found = [path for path in base.glob(str(rest / "*" if rest.name == "**" else rest)) if path.is_file()]
    except (ValueError, re.error) as error:
        raise UserError(f"{pattern} is no pattern ({printable(str(error))}): give one as in/**/*.wav.") from error
    return [path for path in found if not any(part.startswith(".") for part in path.parts[at:])]


def _survey(blocks: Iterator[FloatArray], name: str) -> tuple[int, float]:
    """Frames, and the loudest channel's mean power in dB, of samples that can be meant."""
    frames, energy_c = 0, np.zeros(1)
    for block in blocks:
        if not (peak := float(np.abs(block).max())) <= LOUDEST:
            what = f"a sample of {peak:.0e} times full scale" if math.isfinite(peak) else "NaN or infinite samples"
            raise UserError(f"{name} holds {what}: convert it again.")
        frames += len(block)
        energy_c = energy_c + np.square(block, dtype=np.float64).sum(axis=0)
    energy = float(energy_c.max())
    level = 10 * math.log10(energy / frames) if energy else -math.inf
    return frames, level if level > SOFTEST_DB else -math.inf


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
