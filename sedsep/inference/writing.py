"""A recording taken apart, as a folder of files: whole or not at all, and never over another.

<recording>/
    <Label>.wav        float32, mono, at the recording's rate and length, neither rescaled nor clipped
    residual.wav       what is left without them
    events.csv         onset and offset in seconds, label, probability
    events.audacity.txt, events.dcase.txt
    separation.json    everything that was decided
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict
from itertools import chain, count
from pathlib import Path
from typing import Any

import sedsep
from sedsep.errors import UserError, reason
from sedsep.evaluation.ear import Ear
from sedsep.files import partial_of, write_json
from sedsep.inference.detection import SoundEvent
from sedsep.inference.hearing import HeardSounds, hear
from sedsep.inference.job import SeparationJob
from sedsep.scenes.headers import float_wav_header

RESIDUAL = "residual"


def write(
    job: SeparationJob,
    parent: Path,
    facts: Mapping[str, Any] | None = None,
    extra: Mapping[str, bytes] | None = None,
    ear: Ear | None = None,
) -> Path:
    """Separate a recording into a folder of its own.

    Args:
        job: the recording.
        parent: where the folder is made, named after the recording, with a number where there is one already.
        facts: for the head of separation.json.
        extra: more files, by name.
        ear: judges what was separated, in separation.json; `None` for none.

    Returns:
        The folder.

    Raises:
        UserError: it cannot be written; nothing of it is left.
    """
    name, files, events = file_name(job.recording.name), stem_files(job.labels), job.events
    partial = partial_of(parent / name)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        paths = {label: partial / file for label, file in files.items()}
        _write_stems(job, list(paths.values()))
        if job.detection is not None:
            _write_events(events, partial)
        for file, content in (extra or {}).items():
            (partial / file).write_bytes(content)
        heard = None if ear is None else hear(ear, job, paths, paths[RESIDUAL])
        write_json(partial / "separation.json", {**(facts or {}), **_account(job, files, events, heard)})
        for folder in (parent / candidate for candidate in _numbered(name)):
            with suppress(FileExistsError):
                folder.mkdir()  # nobody else can take the name from here on
                return partial.replace(folder)
        raise AssertionError("there is always another number")
    except OSError as error:  # of the recording itself, it is a UserError already
        raise UserError(
            f"{parent} cannot be written ({reason(error)}): make room there or give another task.output."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_stems(job: SeparationJob, paths: Sequence[Path]) -> None:
    """Write each stem, and the residual last, while they are made."""
    header = float_wav_header(job.recording.frames, job.recording.rate)
    with ExitStack() as stack:
        outputs = [stack.enter_context(path.open("wb")) for path in paths]
        for output in outputs:
            output.write(header)
        for stems, residual in job.stems():
            for output, samples in zip(outputs, [*stems.T, residual], strict=True):
                output.write(samples.astype("<f4").tobytes())


def _write_events(events: Sequence[SoundEvent], folder: Path) -> None:
    with (folder / "events.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["onset", "offset", "label", "probability"])
        writer.writerows([f"{e.onset:.3f}", f"{e.offset:.3f}", e.label, f"{e.probability:.3f}"] for e in events)
    # Audacity writes six places; the challenges' lists have three.
    for name, places in (("audacity", 6), ("dcase", 3)):
        lines = (f"{e.onset:.{places}f}\t{e.offset:.{places}f}\t{e.label}\n" for e in events)
        (folder / f"events.{name}.txt").write_text("".join(lines), encoding="utf-8")


def _account(
    job: SeparationJob,
    files: Mapping[str, str],
    events: Sequence[SoundEvent],
    heard: HeardSounds | None,
) -> dict[str, Any]:
    """Everything that was decided, and what an ear heard of it."""
    recording, request, system = job.recording, job.request, job.system
    probabilities = None
    if job.detection is not None:
        probabilities = {label: round(value, 4) for label, value in job.detection.probabilities.items()}

    def chunks(label: str) -> list[int] | str:
        return [index for index in range(len(job.pieces)) if job.asks(label, index)] if request.per_chunk else "all"

    return {
        "recording": {
            "rate": recording.rate,
            "channels": recording.channels,
            "frames": recording.frames,
            "seconds": recording.duration,
            "level_db": None if recording.level == float("-inf") else round(recording.level, 2),
        },
        "heard": {"as": job.channel_mix.description, "rate": system.rate, "gain_db": round(job.gain_db, 2)},
        "labels": {
            "chosen": "named" if request.labels else "heard",
            "over": "each chunk" if request.per_chunk else "the whole recording",
            "by": system.named_by,
            "threshold": request.threshold,
            "labelling": None if request.labelling is None else asdict(request.labelling),
        },
        "events_by": asdict(request.events),
        "passes": system.network.trained_passes if request.iters is None else request.iters,
        "precision": system.precision,
        "chunks": [[piece.start / system.rate, piece.stop / system.rate] for piece in job.pieces],
        "stems": [
            {
                "label": label,
                "file": files[label],
                "probability": probabilities and probabilities[label],
                "chunks": chunks(label),
                **({} if heard is None else {"ear": dict(zip(("stem", "residual"), heard[label], strict=True))}),
            }
            for label in job.labels
        ],
        "residual": files[RESIDUAL],
        "events": [
            {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(event).items()}
            for event in events
        ],
        "probabilities": probabilities,
        "version": sedsep.__version__,
    }


def stem_files(labels: Sequence[str]) -> dict[str, str]:
    """A file for each label and, last, for the residual, different where letters' case does not count."""
    names: dict[str, str] = {}
    for label in [RESIDUAL, *labels]:
        others = {name.lower() for name in names.values()}
        names[label] = next(name for name in _numbered(file_name(label)) if name.lower() not in others)
    return {label: f"{names[label]}.wav" for label in [*labels, RESIDUAL]}


def file_name(text: str) -> str:
    """A text as the name of a file that every system takes."""
    return "".join("_" if letter in '/\\:*?"<>|' or not letter.isprintable() else letter for letter in text).lstrip(".")


def _numbered(name: str) -> Iterator[str]:
    return chain([name], (f"{name}-{number}" for number in count(2)))
