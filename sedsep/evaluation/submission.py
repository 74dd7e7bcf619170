"""A submission to the challenge: `<Author>_<Affiliation>_task4_<n>_out.zip`, the estimates of every soundscape.

Axes: B batch, M microphones, L samples.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from sedsep.devices import computing
from sedsep.errors import UserError
from sedsep.evaluation.checking import NAME
from sedsep.evaluation.estimates import encode
from sedsep.evaluation.separating import separate
from sedsep.labels import LabelRule, LabelSet, named_classes
from sedsep.metrics.registry import TAGGER
from sedsep.models.guided import GuidedSeparator
from sedsep.models.sed import SedModel
from sedsep.scenes import audio
from sedsep.scenes.layout import MIXTURES
from sedsep.scenes.naming import file_names
from sedsep.types import Sources


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

    separator: GuidedSeparator
    tagger: SedModel
    labels: LabelSet
    rule: LabelRule
    precision: str = "fp32"

    @torch.inference_mode()
    def estimates(self, mixture: Tensor) -> list[Sources]:
        """Labels and waveforms [L] of mixtures [B, M, L], as they are scored under the tagger's labels."""
        mixture = mixture.to(next(self.tagger.parameters()).device)
        passes = self.separator.trained_passes
        with computing(mixture.device, self.precision):
            classes = named_classes(self.tagger(mixture), self.rule)
            estimates = separate(self.separator, mixture, {TAGGER: classes}, self.labels, (passes,))[TAGGER, passes]
        return [[(label, waveform.cpu()) for label, waveform in sources] for sources in estimates]


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
) -> Iterator[tuple[str, Sources]]:
    """Names of mixtures with their estimates; on a terminal a bar shows how far it is.

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
        yield from zip((path.stem for path in paths), system.estimates(mixture), strict=True)


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
    with zipfile.ZipFile(path, "w") as archive:
        for mixture, sources in estimates:
            files = file_names(mixture, [label for label, _ in sources], form)
            for file, (_, waveform) in zip(files, sources, strict=True):
                entry = zipfile.ZipInfo(file)  # without a time: the same estimates make the same zip
                entry.external_attr = 0o644 << 16
                archive.writestr(entry, encode(waveform, rate))
