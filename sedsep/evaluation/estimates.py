"""Estimates on disk, ours or any other system's: how they are written and read.

Mono, at the data set's rate, as long as the mixture. Written as 32-bit float, neither rescaled nor clipped: what is
read back is what was separated, to the last bit.

Axes: F frames, C channels, L samples.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from sedsep.errors import UserError, reason
from sedsep.files import whole
from sedsep.labels import LabelSet
from sedsep.scenes import audio
from sedsep.scenes.headers import float_wav_header
from sedsep.scenes.naming import SUFFIX, Meaning, Problem, file_names, form_of, meaning_of
from sedsep.types import FloatArray, Sources

EVAL_OUT = "eval_out"
"""The folder of the wavs in a submission of 2026."""
MOST_FILES = 100_000
"""Files of a folder or a zip: twenty times those of a submission."""
SAMPLE_BYTES, HEADER_BYTES = 32, 1 << 20
"""Bytes of a sample of a mixture that are read, and others: more cannot be mono by mistake, but to fill the memory."""
PLAIN = ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
"""What every program reads that reads WAV."""
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What every program unpacks."""


def encode(waveform: Tensor, rate: int) -> bytes:
    """[L] as the content of a WAV file."""
    samples = waveform.detach().cpu().numpy().astype("<f4")
    return float_wav_header(len(samples), rate) + samples.tobytes()


def write_estimates(folder: Path, mixture: str, estimates: Sources, rate: int, form: str = "2025") -> None:
    """Write a mixture's estimates, each file whole or not at all.

    Args:
        folder: made where it is missing.
        mixture: its name.
        estimates: labels with waveforms [L].
        rate: Hz.
        form: one of `FORMS`.

    Raises:
        UserError: a label repeats in form 2025.
    """
    files = file_names(mixture, [label for label, _ in estimates], form)
    for file, (_, waveform) in zip(files, estimates, strict=True):
        with whole(folder / file) as partial:
            partial.write_bytes(encode(waveform, rate))


class Files:
    """The files of a folder or of a zip.

    Args:
        path: of either.

    Attributes:
        names: relative paths with forward slashes, sorted; in a zip one may repeat.

    Raises:
        UserError: there is nothing at `path`, neither a folder nor a zip that can be read, or more than `MOST_FILES`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        if os.path.isdir(path):  # noqa: PTH112 (no error for a name that is too long)
            files = islice((file for file in path.rglob("*") if file.is_file()), MOST_FILES + 1)
            self.names = sorted(file.relative_to(path).as_posix() for file in files)
            self._check_number()
            return
        if not os.path.isfile(path):  # noqa: PTH113
            raise UserError(f"There is nothing at {path}: give a folder of wav files, or a zip of them.")
        try:
            self._zip = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
            raise UserError(
                f"{path} is not a zip file that can be read: give one, or a folder of wav files."
            ) from error
        names = (entry.filename for entry in self._zip.infolist())  # one may be empty
        self.names = sorted(name for name in names if not name.endswith("/"))
        self._check_number()

    def read(self, name: str, most: int, what: str = "its mixture") -> bytes:
        """The content of a file; of those that share a name in a zip, the last one's.

        Args:
            name: of the file.
            most: bytes that it may have.
            what: needs no more.

        Raises:
            ValueError: it cannot be read, or should not; the text goes on after the file's name.
        """
        try:
            if self._zip is None:
                size = (self.path / name).stat().st_size
            else:
                entry = self._zip.getinfo(name)
                size = entry.file_size
                if entry.flag_bits & 1:
                    raise ValueError("is encrypted")
                if entry.compress_type not in PACKINGS:
                    packing = zipfile.compressor_names.get(entry.compress_type, entry.compress_type)  # type: ignore[attr-defined]
                    raise ValueError(f"is packed with {packing}, where zips are to be stored or deflated")
            if size > most:
                raise ValueError(f"has {size} bytes, where {what} needs fewer than {most}")
            return (self.path / name).read_bytes() if self._zip is None else self._zip.read(entry)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, struct.error) as error:
            raise ValueError(f"cannot be read ({reason(error)})") from error

    def _check_number(self) -> None:
        if len(self.names) > MOST_FILES:
            raise UserError(
                f"{self.path} holds more than {MOST_FILES} files: give a folder or a zip of estimates alone."
            )


def examine(files: Files, name: str, rate: int, length: int) -> tuple[FloatArray, list[Problem]]:
    """Samples [F, C] of an estimate, and all that is wrong with them.

    Args:
        files: where it lies.
        name: of its file there.
        rate: Hz that it must have.
        length: samples that it must have.
    """
    try:
        with audio.opened(io.BytesIO(files.read(name, SAMPLE_BYTES * length + HEADER_BYTES))) as file:
            if file.format not in ("WAV", "WAVEX"):
                raise ValueError(f"is {file.format} under the name of WAV")
            if file.subtype not in PLAIN:
                raise ValueError(f"is WAV that holds {file.subtype}, not plain samples")
            samples, own_rate = np.concatenate([*audio.decoded(file)]), file.samplerate
    except ValueError as error:
        return np.zeros((0, 1), np.float32), [Problem("unreadable", name, str(error))]
    problems = []
    if samples.shape[1] != 1:
        problems.append(Problem("channels", name, f"has {samples.shape[1]} channels, not 1"))
    if own_rate != rate:
        problems.append(Problem("rate", name, f"is sampled at {own_rate} Hz, not at {rate} Hz"))
    if len(samples) != length:
        problems.append(Problem("length", name, f"has {len(samples)} samples, its mixture {length}"))
    if not np.isfinite(samples).all():
        problems.append(Problem("values", name, "holds NaN or infinite samples"))
    return samples, problems


class Estimates:
    """What a folder, or a zip, holds for the mixtures of a split.

    Hidden files, files that are no wavs, and folders inside are not looked at, but for `eval_out` of a submission of
    2026.

    Args:
        path: of the folder or the zip.
        mixtures: their names.
        labels: the classes.
        rate: Hz.

    Raises:
        UserError: there is no such folder or zip, it holds no wavs, some of unknown mixtures or classes, or some whose
            names mean several things.
    """

    def __init__(self, path: Path, mixtures: Collection[str], labels: LabelSet, rate: int) -> None:
        self.path, self.labels, self.rate = path, labels, rate
        self.files = Files(path)
        home = _home(self.files.names)
        names_there = (name.removeprefix(home) for name in self.files.names if name.startswith(home))
        wavs = [n for n in names_there if n.lower().endswith(SUFFIX) and "/" not in n and not n.startswith(".")]
        if not wavs:
            raise UserError(f"{path} holds no wav files at its top level: give the folder or the zip that does.")
        names = frozenset(mixtures)
        form = form_of(wavs, names, labels)
        named = [(self._meaning(file, names, form), file) for file in wavs]
        if len({meaning.form for meaning, _ in named}) > 1:
            raise UserError(
                f"{path} holds files of both forms, <mixture>_<Label>{SUFFIX} and <mixture>_<i>_<Label>{SUFFIX}: leave "
                "those of one."
            )
        (often, count), *_ = Counter(meaning for meaning, _ in named).most_common(1)
        if count > 1:
            same = " and ".join(file for meaning, file in named if meaning == often)
            raise UserError(f"{path} holds {often.label} of {often.mixture} more than once, {same}: leave one of them.")
        self._of: dict[str, list[tuple[str, str]]] = {mixture: [] for mixture in names}
        for meaning, file in sorted(named, key=lambda item: (item[0].number or 0, item[1])):
            self._of[meaning.mixture].append((meaning.label, home + file))

    @property
    def without(self) -> list[str]:
        """Mixtures without an estimate."""
        return sorted(mixture for mixture, files in self._of.items() if not files)

    def of(self, mixture: str, length: int) -> Sources:
        """Labels and waveforms [L] of a mixture, none where nothing was named.

        Args:
            mixture: its name.
            length: its samples.

        Raises:
            UserError: a file cannot be read, is not mono, or of another rate or length.
        """
        sources = []
        for label, file in self._of[mixture]:
            samples, problems = examine(self.files, file, self.rate, length)
            if problems:
                raise UserError(
                    f"{self.path / file} {problems[0].text}: estimates are whole wav files, mono, finite, at the data "
                    "set's rate and as long as their mixture."
                )
            sources.append((label, torch.from_numpy(samples[:, 0])))
        return sources

    def _meaning(self, file: str, mixtures: Collection[str], form: str | None) -> Meaning:
        meaning = meaning_of(file, mixtures, self.labels, form)
        if isinstance(meaning, Meaning):
            return meaning
        raise UserError(
            f"{self.path / file} "
            + {
                "ambiguous": f"{meaning.text}: rename mixtures or labels so that one is meant.",
                "label": f"is an estimate {meaning.text} of no class: the classes are {', '.join(self.labels)}.",
                "stray": "is the estimate of no mixture: expected the name of a mixture, an underscore and a class.",
            }[meaning.kind]
        )


def holds_estimates(path: Path) -> bool:
    """Whether a path is a zip, or a folder of wav files: other things are checkpoints."""
    places = ("", f"{EVAL_OUT}/", f"*/{EVAL_OUT}/")
    return path.suffix.lower() == ".zip" or any(any(path.glob(f"{place}*{SUFFIX}")) for place in places)


def _home(names: Sequence[str]) -> str:
    """The folder of the estimates among all files, with its slash: none, or `eval_out` where wavs lie nowhere else."""
    folders = {PurePosixPath(name).parent for name in names if name.lower().endswith(SUFFIX)}
    home, *others = folders or {PurePosixPath()}
    return f"{home}/" if not others and home.name == EVAL_OUT and len(home.parts) <= 2 else ""
