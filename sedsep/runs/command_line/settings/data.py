"""The options of data: the set, how scenes are drawn from it, and how they are dealt out."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, Tag, ValidationInfo

from sedsep.runs.command_line.settings.fields import (
    OTHER,
    TARGET,
    Decibels,
    Foreign,
    Hertz,
    Name,
    Options,
    Part,
    Place,
    Probability,
    Seconds,
    Seed,
    SomeSounds,
    Sounds,
    Whole,
    by_target,
    limit,
    number,
    pair,
    whole,
)
from sedsep.runs.command_line.settings.networks import Channel, Slots

WORKERS, LEAST = 4, 16
"""Workers for each core, at most, and in any case allowed: each is a process that has torch loaded."""


def _few(workers: int, info: ValidationInfo) -> Any:
    why = f"{WORKERS} for each core of this machine, and {LEAST} in any case"
    return limit(workers, lambda cores: max(LEAST, WORKERS * cores), why, info)


Levels = Annotated[list[Decibels], *pair("numbers (dB)")]
Milliseconds = Annotated[float, number(0, 60_000)]
Workers = Annotated[int, whole(0, 1024), AfterValidator(_few)]
Render = Literal["worker", "device"]
Engine = Literal["sedsep", "spatialscaper"]
OnError = Literal["raise", "skip"]
Edition = Literal[2025, 2026]


class Rendering(Options):
    """Where the challenge's own synthesis has quirks."""

    spans: Literal["wet", "dry"]
    direct_path: Literal["signed", "absolute"]
    short_background: Literal["tile", "stretch"]


class Repeats(Options):
    """How classes sound more than once."""

    target: Annotated[Literal["sedsep.scenes.sampling.Repeats"], Field(alias=TARGET)]
    probability: Probability
    most: Annotated[int, whole(1, 100)]
    degrees: Annotated[float, number(0, 179.9)]
    folders_apart: bool


class EditionOptions(Options):
    """What an edition of the challenge's task is like."""

    ranking: Literal["ca_sdri", "capi_sdri"]
    year: Edition
    events: SomeSounds
    interference: Sounds
    ref_db: Decibels
    repeats: Repeats | None


class Rotation(Options):
    """Scenes turned and mirrored."""

    target: Annotated[Literal["sedsep.scenes.augment.Rotation"], Field(alias=TARGET)]
    probability: Probability


class Equaliser(Options):
    """Sounds coloured."""

    target: Annotated[Literal["sedsep.scenes.augment.Equaliser"], Field(alias=TARGET)]
    probability: Probability
    level_db: Annotated[float, number(0, 100, "dB")]
    octave_db: Annotated[float, number(0, 100, "dB")]


class Joining(Options):
    """Short sounds in a row."""

    target: Annotated[Literal["sedsep.scenes.augment.Joining"], Field(alias=TARGET)]
    probability: Probability
    shorter: Seconds
    pause: Annotated[list[Annotated[float, number(0, 3600)]], *pair("numbers from 0 (seconds)")]


class SceneAugment(Options):
    """How training scenes are changed."""

    rotation: Rotation | None = None
    equaliser: Equaliser | None = None
    joining: Joining | None = None


class Sampler(Part):
    """How scenes are drawn."""

    target: Annotated[Literal["sedsep.scenes.sampling.SceneSampler"], Field(alias=TARGET)]
    events: SomeSounds
    interference: Sounds
    event_snr: Levels
    interference_snr: Levels
    ref_db: Decibels
    ref_channel: Channel
    direct_path_ms: Annotated[
        list[Milliseconds], Field(min_length=2, max_length=2, description="a list of two numbers from 0 (milliseconds)")
    ]
    max_overlap: Annotated[int, whole(1, 100)]
    slots: Slots
    repeats: Repeats | None
    edition: Edition


class Module(Part):
    """How scenes are dealt out."""

    target: Annotated[Literal["sedsep.scenes.datamodule.SceneDataModule"], Field(alias=TARGET)]
    seed: Seed
    eval_duration: Seconds
    workers: Workers
    render: Render
    engine: Engine
    on_error: OnError
    rendering: Rendering
    eval_scenes: Whole
    train_split: Name
    valid_split: Name
    test_split: Name


class Synthetic(Options):
    """The data set that is made on the spot."""

    target: Annotated[Literal["sedsep.datasets.synthetic.ensure_synthetic"], Field(alias=TARGET)]
    cache_dir: Place
    seed: Seed
    sample_rate: Hertz
    scene_seconds: Seconds
    labels: list[Name] | None
    slots: Slots
    edition: Edition
    scenes_per_split: dict[str, Whole] = Field(default_factory=dict)
    files_per_class: dict[str, Whole] = Field(default_factory=dict)
    rooms: dict[str, Whole] = Field(default_factory=dict)
    positions: Whole = 12
    noises_per_room: Whole = 2
    noise_seconds: Seconds = 12.0
    event_seconds: Annotated[list[Seconds], *pair("numbers above 0 (seconds)"), Field(default_factory=list)]
    response_seconds: Seconds = 0.25


class Cleaning(Options):
    """Of downloaded sounds."""

    target: Annotated[Literal["sedsep.datasets.challenge.Cleaning"], Field(alias=TARGET)]
    sample_rate: Hertz
    min_peak: Probability
    min_seconds: Annotated[float, number(0, 86_400, "seconds")]
    window_seconds: Seconds
    step_seconds: Seconds


class Assembly(Options):
    """Of a data set that is downloaded."""

    target: Annotated[Literal["sedsep.datasets.challenge.Assembly"], Field(alias=TARGET)]
    root: Place
    steps: dict[str, Foreign]


class Data(Options):
    """The data set and its scenes."""

    name: Name
    workers: Workers
    render: Render
    engine: Engine
    on_error: OnError
    rendering: Rendering
    root: Place | None
    local_copy: Place | None
    prepare: (
        Annotated[
            Annotated[Synthetic, Tag("sedsep.datasets.synthetic.ensure_synthetic")] | Annotated[Foreign, Tag(OTHER)],
            by_target("sedsep.datasets.synthetic.ensure_synthetic"),
        ]
        | None
    )
    cleaning: Cleaning | None = None
    assemble: Assembly | None = None
    sampler: Sampler
    module: Module
