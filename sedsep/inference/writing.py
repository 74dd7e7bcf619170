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
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import soundfile

import sedsep
from sedsep.errors import UserError
from sedsep.inference.detection import SoundEvent
from sedsep.inference.separator import Job

RESIDUAL = "residual"
LARGEST_WAV = (1 << 32) - (1 << 16)
"""Bytes of samples beyond which a file is RF64."""


def write(
    job: Job, parent: Path, facts: Mapping[str, Any] | None = None, extra: Mapping[str, bytes] | None = None
) -> Path:
    """Separate a recording into a folder of its own.

    Args:
        parent: where the folder is made, named after the recording, with a number where there is one already.
        facts: for the head of separation.json. extra: more files, by name.

    Returns:
        The folder.

    Raises:
        UserError: it cannot be written; nothing of it is left.
    """
    name = _file_name(job.recording.name)
    partial = parent / f".{name}.{os.getpid()}.partial"
    with _writable(parent):
        partial.mkdir(parents=True)
    try:
        files = _file_names(job.labels)
        _write_stems(job, partial, files)
        with _writable(parent):
            events = job.events
            if job.detection is not None:
                _write_events(events, partial)
            for file, content in (extra or {}).items():
                (partial / file).write_bytes(content)
            text = json.dumps({**(facts or {}), **_account(job, files, events)}, indent=2, ensure_ascii=False)
            (partial / "separation.json").write_text(text + "\n", encoding="utf-8")
            return _moved(partial, parent, name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write_stems(job: Job, folder: Path, files: Mapping[str, str]) -> None:
    recording = job.recording
    kind = "WAV" if 4 * recording.frames < LARGEST_WAV else "RF64"
    with ExitStack() as stack:
        outputs = []
        with _writable(folder):
            for file in files.values():
                output = soundfile.SoundFile(folder / file, "w", recording.rate, 1, "FLOAT", format=kind)
                outputs.append(stack.enter_context(output))
        for stems, residual in job.stems():
            with _writable(folder):
                for output, samples in zip(outputs, [*stems.T, residual], strict=True):
                    output.write(samples)


def _write_events(events: Sequence[SoundEvent], folder: Path) -> None:
    with (folder / "events.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["onset", "offset", "label", "probability"])
        writer.writerows([f"{e.onset:.3f}", f"{e.offset:.3f}", e.label, f"{e.probability:.3f}"] for e in events)
    # Audacity writes six places; the challenges' lists have three.
    for name, places in (("audacity", 6), ("dcase", 3)):
        lines = (f"{e.onset:.{places}f}\t{e.offset:.{places}f}\t{e.label}\n" for e in events)
        (folder / f"events.{name}.txt").write_text("".join(lines), encoding="utf-8")


def _account(job: Job, files: Mapping[str, str], events: Sequence[SoundEvent]) -> dict[str, Any]:
    """Everything that was decided."""
    recording, request, system = job.recording, job.request, job.system
    probabilities = None if job.detection is None else job.detection.probabilities
    return {
        "recording": {
            "rate": recording.rate,
            "channels": recording.channels,
            "frames": recording.frames,
            "seconds": recording.duration,
            "level_db": None if recording.level == float("-inf") else round(recording.level, 2),
        },
        "heard": {"as": job.hearing.how, "rate": system.rate, "gain_db": round(job.gain_db, 2)},
        "labels": {
            "chosen": "named" if request.labels else "heard",
            "over": "each chunk" if request.per_chunk else "the whole recording",
            "by": system.named_by,
            "threshold": request.threshold,
        },
        "passes": system.network.trained_passes if request.iters is None else request.iters,
        "chunks": [[piece.start / system.rate, piece.stop / system.rate] for piece in job.pieces],
        "stems": [
            {
                "label": label,
                "file": files[label],
                "probability": probabilities and round(probabilities[label], 4),
                "chunks": [index for index in range(len(job.pieces)) if job.asks(label, index)]
                if request.per_chunk
                else "all",
            }
            for label in job.labels
        ],
        "residual": files[RESIDUAL],
        "events": [{key: _rounded(value) for key, value in asdict(event).items()} for event in events],
        "probabilities": probabilities and {label: round(value, 4) for label, value in probabilities.items()},
        "version": sedsep.__version__,
    }


def _rounded(value: Any) -> Any:
    return round(value, 4) if isinstance(value, float) else value


def _file_names(labels: Sequence[str]) -> dict[str, str]:
    """A file for each label and for the residual, different where letters' case does not count."""
    taken: set[str] = set()
    names = {}
    for label in [RESIDUAL, *labels]:
        stem = next(name for name in _numbered(_file_name(label)) if name.lower() not in taken)
        taken.add(stem.lower())
        names[label] = f"{stem}.wav"
    return {**{label: names[label] for label in labels}, RESIDUAL: names[RESIDUAL]}


def _file_name(text: str) -> str:
    """A text as the name of a file that every system takes."""
    return "".join("_" if letter in '/\\:*?"<>|' or not letter.isprintable() else letter for letter in text).lstrip(".")


def _numbered(name: str) -> Iterator[str]:
    yield name
    number = 2
    while True:
        yield f"{name}-{number}"
        number += 1


def _moved(partial: Path, parent: Path, name: str) -> Path:
    for candidate in _numbered(name):
        target = parent / candidate
        try:
            target.mkdir()  # nobody else can take the name from here on
        except FileExistsError:
            continue
        return partial.replace(target)
    raise AssertionError


@contextmanager
def _writable(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, soundfile.SoundFileError) as error:
        reason = getattr(error, "error_string", None) or getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"{folder} cannot be written ({reason.strip().rstrip('.')}): make room there or give another task.output."
        ) from error
