"""The options of each task, by the name that `task=` gives it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sedsep.runs.command_line.settings.data import Edition
from sedsep.runs.command_line.settings.fields import (
    Decibels,
    LabelSources,
    Name,
    Options,
    Place,
    Probability,
    Seconds,
    Size,
    Whole,
    above,
    number,
    pair,
    whole,
)
from sedsep.runs.command_line.settings.networks import Passes

Precision = Literal["fp32", "bf16"]
Repository = Annotated[str, Field(pattern=r"^[\w-][\w.-]*/[\w-][\w.-]*$", description="OWNER/NAME on the hub")]
Pause = Annotated[float, number(0, 3600, "seconds")]
Times = Annotated[list[Seconds], *pair("numbers above 0 (seconds)")]


class Events(Options):
    """How frames become events."""

    median: Pause
    medians: dict[str, Pause] | None
    shortest_gap: Pause
    shortest_event: Pause


class Listening(Options):
    """Another tagger that judges what was separated."""

    ear: Place | None
    ear_labels: Place | None
    ear_rate: Annotated[int, whole(1000, 1_000_000, "Hz")] | None


class Train(Options):
    """`train`, and the scores of it."""

    events: Events

    label_sources: LabelSources
    threshold: Probability
    examples: Annotated[int, whole(0, 1000)]
    resamples: Annotated[int, whole(0, 1_000_000)]
    write_estimates: bool
    precision: Precision
    ledger: bool


class Evaluate(Train, Listening):
    """`evaluate`."""

    estimates: Place | None


class Compare(Train):
    """`compare`."""


class Separate(Listening):
    """`separate`."""

    events: Events

    labels: Annotated[
        list[Name] | Name | None,
        Field(description="a list of class names, as [Speech,Doorbell], or null for those heard"),
    ]
    threshold: Probability | None
    decide: Literal["recording", "chunk"]
    iters: Passes | None
    chunk: Seconds
    level: Annotated[list[Decibels], *pair("numbers (dB)")] | None
    precision: Precision
    output: Place | None


class Alarms(Options):
    """`alarms`."""

    rate: Annotated[float, above(0, 3600, "an hour")]
    window: Seconds


class Demo(Options):
    """`demo`."""

    host: Name
    port: Annotated[int, whole(1, 65535)]
    seconds: Seconds
    megabytes: Annotated[int, whole(1, 100_000, "MB")]


class Submission(Options):
    """`submission`."""

    author: Name | None
    affiliation: Name | None
    number: Annotated[int, whole(1, 1000)]
    format: Literal[2025, 2026]
    scored: Place | None
    dev_test: Place | None
    threshold: Probability | None
    precision: Precision
    dry_run: bool
    check: Place | None


class Prepare(Options):
    """`prepare`."""

    accept_licences: bool
    steps: Annotated[list[Name] | None, Field(description="a list of steps, or null for all")]
    keep_archives: bool


class Verify(Options):
    """`verify`."""

    decode: bool


class Inspect(Options):
    """`inspect`."""

    split: Name
    count: Annotated[int, whole(1, 1000)]


class Convert(Options):
    """`convert`."""

    source: Place
    target: Place | None
    iters: Passes | None
    edition: Edition | None


class Publish(Options):
    """`publish`."""

    licence: Name
    target: Place | None
    scored: Place | None
    push: Repository | None


class Export(Options):
    """`export`."""

    target: Place | None
    seconds: Seconds | None
    iters: Passes | None
    int8: bool


class Sync(Options):
    """`sync`."""

    root: Place


class NoiseSet(Options):
    """What a benchmark renders scenes from."""

    sample_rate: Annotated[int, whole(1000, 1_000_000, "Hz")]
    channels: Annotated[int, whole(1, 1024)]
    rooms: Whole
    positions: Whole
    taps: Whole
    labels: Whole
    source_seconds: Times
    background_seconds: Seconds
    scene_seconds: Seconds = 10.0
    files_per_label: Whole = 2
    backgrounds: Whole = 4


class BenchmarkTraining(Options):
    """Training steps that are timed."""

    steps: Whole
    warm_up: Annotated[int, whole(0, 1_000_000)]
    set: NoiseSet | None


class Benchmark(Options):
    """`benchmark`."""

    parts: Annotated[
        list[Literal["scenes", "separator", "training", "export"]],
        Field(min_length=1, description="a list with some of scenes, separator, training, export"),
    ]
    scenes: Whole
    set: NoiseSet
    iters: Annotated[list[Passes], Field(min_length=1)]
    queries: Annotated[list[Size], Field(min_length=1)]
    precisions: Annotated[list[Precision], Field(min_length=1, description="a list with some of fp32, bf16")]
    compile: Annotated[list[bool], Field(min_length=1, description="a list with true, false or both")]
    repeats: Annotated[int, whole(1, 1000)]
    threads: Annotated[list[Size], Field(min_length=1)]
    training: BenchmarkTraining
    sets: dict[str, NoiseSet]


TASKS: dict[str, type[Options]] = {
    "train": Train,
    "evaluate": Evaluate,
    "compare": Compare,
    "separate": Separate,
    "alarms": Alarms,
    "demo": Demo,
    "submission": Submission,
    "prepare": Prepare,
    "verify": Verify,
    "inspect": Inspect,
    "convert": Convert,
    "publish": Publish,
    "export": Export,
    "sync": Sync,
    "benchmark": Benchmark,
}
