"""The options of networks: what of them is read from the config, and its ranges."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sedsep.runs.command_line.settings.fields import (
    TARGET,
    Foreign,
    Hertz,
    Options,
    Part,
    Seconds,
    Size,
    above,
    number,
    whole,
)

Channel = Annotated[int, whole(0, 1023)]
Microphones = Annotated[int, whole(1, 1024)]
Slots = Annotated[int, whole(1, 100)]
Passes = Annotated[int, whole(0, 100)]
Patch = Annotated[list[Size], Field(min_length=2, max_length=2, description="a list of two whole numbers above 0")]
Stem = Annotated[list[Size], Field(max_length=10, description="a list of at most ten whole numbers above 0")]
Widths = Annotated[list[Size], Field(min_length=1, description="a list of whole numbers above 0")]
Bands = Annotated[
    list[Annotated[list[Size], Field(min_length=2, max_length=2)]],
    Field(min_length=1, description="a list of [count, bins]"),
]
Features = Annotated[
    list[Literal["magnitude", "intensity", "phase"]],
    Field(min_length=1, description="a list of magnitude, intensity, phase"),
]


class Frontend(Options):
    """Log-mel spectrograms."""

    target: Annotated[Literal["sedsep.models.LogMel"], Field(alias=TARGET)]
    input_rate: Hertz
    sample_rate: Hertz
    n_fft: Size
    hop: Size
    n_mels: Size
    f_min: Annotated[float, number(0, 1_000_000, "Hz")]
    f_max: Annotated[float, above(0, 1_000_000, "Hz")]
    mean: Annotated[float, number(-1000, 1000)]
    std: Annotated[float, above(0, 1000)]


class Backbone(Options):
    """The transformer."""

    target: Annotated[Literal["sedsep.models.M2d"], Field(alias=TARGET)]
    unit_frames: Size
    patch: Patch
    width: Size
    depth: Annotated[int, whole(1, 1000)]
    heads: Size
    mlp_ratio: Annotated[float, above(0, 100)] = 4.0
    stem: Stem = Field(default=[])
    flat: bool = False
    frontend: Frontend


class SedNetwork(Options):
    """A SED model's network."""

    target: Annotated[Literal["sedsep.models.SedModel"], Field(alias=TARGET)]
    classes: Size
    head: Literal["attention", "two_linear", "linear", "tracks"]
    head_norm: bool
    frame_s: Seconds | None
    sequence: Literal["none", "bigru", "bilstm"]
    reference_channel: Channel
    microphones: Size
    tracks: Slots
    track_width: Size
    track_hidden: Size
    backbone: Backbone


class TimeFilm(Part):
    """Time-FiLM."""

    target: Annotated[Literal["sedsep.conditioning.TimeFilm"], Field(alias=TARGET)]
    mode: Literal["additive", "multiplicative"]
    shared: bool
    binarised: bool


class Soundbeam(Part):
    """Embedding injection."""

    target: Annotated[Literal["sedsep.conditioning.Soundbeam"], Field(alias=TARGET)]
    merge: Literal["add", "concat"]


class Conditioning(Options):
    """How the separator is guided."""

    sed: SedNetwork | None
    sed_trainable: bool
    time_film: TimeFilm | None
    injection: Soundbeam | None
    conditions: dict[str, Foreign]


class Dprnn(Part):
    """The dual-path recurrence."""

    target: Annotated[Literal["sedsep.modules.dprnn.Dprnn"], Field(alias=TARGET)]
    layers: Annotated[int, whole(1, 100)]
    hidden: Size
    cell: Literal["GRU", "LSTM", "RNN"]
    rnn_layers: Annotated[int, whole(1, 100)]
    dropout: Annotated[float, number(0, 1)]
    position: Literal["after", "before"]


class TfAttention(Part):
    """Attention and convolution in the U-Net's place."""

    target: Annotated[Literal["sedsep.models.TfAttention"], Field(alias=TARGET)]
    bands: Bands
    time_stride: Size
    depth: Annotated[int, whole(1, 1000)]
    heads: Size
    hidden: Size
    kernel: Size


class Feedback(Options):
    """What refinement passes are told of the ones before."""

    target: Annotated[Literal["sedsep.models.Feedback"], Field(alias=TARGET)]
    statistics: Literal["own", "pass", "mixture"]
    phase: bool
    numbered: bool


class SeparatorNetwork(Part):
    """The separator alone."""

    target: Annotated[Literal["sedsep.models.Separator"], Field(alias=TARGET)]
    input_rate: Hertz
    sample_rate: Hertz
    microphones: Microphones
    classes: Size
    n_fft: Size
    hop: Size
    widths: Widths
    condition_width: Size
    iters: Passes
    feedback: Feedback | None
    outputs: Slots
    time_film: TimeFilm | None
    injection: Soundbeam | None
    conditions: dict[str, Foreign] | None
    dprnn: Dprnn | None
    body: TfAttention | None
    features: Features


class GuidedNetwork(Options):
    """A separator and the SED model that guides it."""

    target: Annotated[
        Literal["sedsep.models.GuidedSeparator", "sedsep.models.UnlabelledSeparator"], Field(alias=TARGET)
    ]
    sed: SedNetwork | None
    sed_trainable: bool
    separator: SeparatorNetwork
