"""A submission to the challenge: `<Author>_<Affiliation>_task4_<n>_out.zip`, the estimates of every soundscape; in
2026 in a folder, with accounts of them and of the system.

Axes: B batch, M microphones, L samples.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from sedsep.devices import computing
from sedsep.errors import UserError
from sedsep.evaluation.accounts import EVAL_RESULTS, META, Estimate, eval_results
from sedsep.evaluation.checking import NAME
from sedsep.evaluation.ensemble import AnySed, AnySeparator
from sedsep.evaluation.estimates import EVAL_OUT, encode
from sedsep.evaluation.separating import separate
from sedsep.labels import LabelRule, LabelSet, each_once, named_sources
from sedsep.metrics.registry import DEV_RESULTS, TAGGER
from sedsep.scenes import audio
from sedsep.scenes.layout import MIXTURES
from sedsep.scenes.naming import file_names
from sedsep.types import Sources


@dataclass(frozen=True)
class About:
    """What a submission of 2026 says of its system.

    Attributes:
        nparams: parameters of all networks.
        config: what it is made of.
        dev_results: the content of `dev_set_test_results.json`.
        meta: of `meta.yaml`.
    """

    nparams: int
    config: Mapping[str, Any]
    dev_results: str
    meta: str


@dataclass(frozen=True)
class Answer:
    """What a system makes of a mixture.

    Attributes:
        sources: labels and waveforms [L].
        probabilities: that the tagger gave each of them.
    """

    sources: Sources
    probabilities: list[float]


@dataclass(frozen=True)
class System:
    """What a submission is made with.

    Attributes:
        separator: in evaluation mode.
        tagger: in evaluation mode, on the same device.
        labels: the classes of both.
        rule: how labels are chosen from the tagger's probabilities.
        precision: of both (`computing`).
    """

    separator: AnySeparator
    tagger: AnySed
    labels: LabelSet
    rule: LabelRule
    precision: str = "fp32"

    @torch.inference_mode()
    def answers(self, mixture: Tensor) -> list[Answer]:
        """What there is in mixtures [B, M, L], as it is scored under the tagger's labels."""
        mixture = mixture.to(next(self.tagger.parameters()).device)
        passes = self.separator.trained_passes
        with computing(mixture.device, self.precision):
            named = named_sources(self.tagger(mixture), self.rule)
            if self.separator.outputs == 1:
                named = [each_once(item) for item in named]
            classes = [[index for index, _ in item] for item in named]
            estimates = separate(self.separator, mixture, {TAGGER: classes}, self.labels, (passes,))[TAGGER, passes]
        return [
            Answer([(label, waveform.cpu()) for label, waveform in sources], [probability for _, probability in item])
            for sources, item in zip(estimates, named, strict=True)
        ]


def zip_name(author: str, affiliation: str, number: int) -> str:
    """The name of a submission.

    Raises:
        UserError: it would not be one that the challenge takes.
    """
    name = f"{author}_{affiliation}_task4_{number}_out.zip"
    if not NAME.fullmatch(name):
        raise UserError(
            f"The submission would be called {name}: give task.author and task.affiliation of letters and digits, and "
            "a task.number from 1."
        )
    return name


def find_soundscapes(folder: Path, rate: int, microphones: int | None = None) -> dict[Path, audio.AudioInfo]:
    """The mixtures of a folder, or of its folder `soundscape`, in order of their names, with their headers.

    Args:
        folder: of wav files.
        rate: Hz that they must have.
        microphones: channels that they must have, where it matters.

    Raises:
        UserError: there are none, or one does not fit.
    """
    if (folder / MIXTURES).is_dir():
        folder = folder / MIXTURES
    soundscapes = {path: audio.info(path) for path in sorted(folder.glob("*.wav")) if not path.name.startswith(".")}
    if not soundscapes:
        raise UserError(f"{folder} holds no wav files: give the folder of the soundscapes as audio=FOLDER.")
    for path, info in soundscapes.items():
        if not path.name.isprintable():
            raise UserError(f"{path} has a name that no estimate can be called after: rename it.")
        if info.rate != rate:
            raise UserError(
                f"{path} is sampled at {info.rate} Hz, not at {rate} Hz: give soundscapes of the challenge, or set "
                "sample_rate."
            )
        if microphones not in (None, info.channels):
            raise UserError(
                f"{path} has {info.channels} channels and the separator {microphones} microphones: give soundscapes of "
                "the challenge, or another checkpoint."
            )
    return soundscapes


def separate_soundscapes(
    soundscapes: Mapping[Path, audio.AudioInfo], system: System, batch_size: int
) -> Iterator[tuple[str, Answer]]:
    """Names of mixtures with what is in them; on a terminal a bar shows how far it is.

    Args:
        soundscapes: files with their headers; neighbours of the same length make a batch.
        system: what separates them.
        batch_size: mixtures at once.
    """
    batches = [
        paths[start : start + batch_size]
        for _, group in groupby(soundscapes, key=lambda path: soundscapes[path].frames)
        for paths in [list(group)]
        for start in range(0, len(paths), batch_size)
    ]
    console = Console()
    for paths in track(batches, "Separating", console=console, transient=True, disable=not console.is_terminal):
        mixture = torch.stack([torch.from_numpy(audio.read(path)[0].T.copy()) for path in paths])
        yield from zip((path.stem for path in paths), system.answers(mixture), strict=True)


def pack(path: Path, estimates: Iterable[tuple[str, Sources]], rate: int, form: str) -> None:
    """Write a zip of estimates, as they come.

    Args:
        path: of the zip.
        estimates: names of mixtures, with labels and waveforms [L].
        rate: Hz.
        form: of the file names.

    Raises:
        UserError: a label repeats in form 2025.
    """
    _write(path, _files(estimates, rate, form))


def pack_2026(path: Path, answers: Iterable[tuple[str, Answer]], rate: int, folder: str, about: About) -> None:
    """Write a zip of a folder with estimates, as they come, and with the accounts of them and of the system.

    Args:
        path: of the zip.
        answers: names of mixtures with what is in them.
        rate: Hz.
        folder: in the zip.
        about: the system.
    """

    def content() -> Iterator[tuple[str, bytes | str]]:
        told: dict[str, list[Estimate]] = {}
        for mixture, answer in answers:
            files = list(_files([(mixture, answer.sources)], rate, "2026"))
            told[mixture] = [
                Estimate(file, label, probability)
                for (file, _), (label, _), probability in zip(files, answer.sources, answer.probabilities, strict=True)
            ]
            yield from ((f"{EVAL_OUT}/{file}", sound) for file, sound in files)
        yield EVAL_RESULTS, json.dumps(eval_results(told, about.nparams, about.config), indent=1)
        yield DEV_RESULTS, about.dev_results
        yield META, about.meta

    _write(path, ((f"{folder}/{file}", text) for file, text in content()))


def _files(estimates: Iterable[tuple[str, Sources]], rate: int, form: str) -> Iterator[tuple[str, bytes]]:
    for mixture, sources in estimates:
        files = file_names(mixture, [label for label, _ in sources], form)
        yield from ((file, encode(waveform, rate)) for file, (_, waveform) in zip(files, sources, strict=True))


def _write(path: Path, files: Iterable[tuple[str, bytes | str]]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in files:
            entry = zipfile.ZipInfo(file)  # without a time: the same files make the same zip
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
