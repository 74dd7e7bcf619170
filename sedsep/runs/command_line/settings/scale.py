"""The options of a scale: the sizes of all networks, and the plans by which they are trained."""

from __future__ import annotations

from typing import Annotated

from sedsep.runs.command_line.settings.fields import (
    Hertz,
    LabelSources,
    Name,
    Options,
    Place,
    Probability,
    Rate,
    Seconds,
    Size,
    Whole,
    above,
    number,
    whole,
)
from sedsep.runs.command_line.settings.networks import Bands, Patch, Stem, Widths
from sedsep.runs.command_line.settings.recipes import BatchSize, Blocks, Decay, Epochs, Keep, Steps


class Plan(Options):
    """On what a part of the scale is trained, and for how long."""

    epochs: Epochs
    epoch_size: Whole
    batch_size: BatchSize
    eval_batch_size: Whole
    duration: Seconds
    validate_every: Epochs
    keep: Keep
    pool: Whole | None = None


class SedSizes(Options):
    """Of SED models."""

    sample_rate: Hertz
    n_fft: Size
    hop: Size
    n_mels: Size
    f_max: Annotated[float, above(0, 1_000_000, "Hz")]
    mean: Annotated[float, number(-1000, 1000)]
    std: Annotated[float, above(0, 1000)]
    unit_frames: Size
    patch: Patch
    stem: Stem
    width: Size
    depth: Annotated[int, whole(1, 1000)]
    heads: Size
    frame_s: Seconds
    track_width: Size
    track_hidden: Size


class BaselineSizes(Options):
    """Of the challenge's tagger."""

    start: Place | None
    sample_rate: Hertz
    n_fft: Size
    hop: Size
    f_max: Annotated[float, above(0, 1_000_000, "Hz")]
    unit_frames: Size
    lr: Rate
    lr_heads: Rate
    trained_blocks: Blocks
    training: Plan


class Warp(Options):
    """Of spectrograms the tagger trains on."""

    probability: Probability
    smallest: Annotated[float, above(0, 1)]


class TracksSizes(Options):
    """Of the training of a tagger that names sources one by one."""

    lr: Rate
    lr_heads: Rate
    trained_blocks: Blocks
    head_epoch_size: Whole
    warp: Warp
    training: Plan


class TaggerSizes(Options):
    """Of the tagger's training."""

    start: Place | None
    lr: Rate
    decay: Decay
    warmup_steps: Steps
    warp: Warp
    training: Plan


class TfAttentionSizes(Options):
    """Of the network of attention and convolution."""

    widths: Widths
    bands: Bands
    time_stride: Size
    depth: Annotated[int, whole(1, 1000)]
    heads: Size
    hidden: Size
    kernel: Size


class SeparatorSizes(Options):
    """Of separators."""

    start: Place | None
    sample_rate: Hertz
    n_fft: Size
    hop: Size
    widths: Widths
    condition_width: Size
    tf_attention: TfAttentionSizes
    dprnn_hidden: Size
    dprnn_eval_batch_size: Whole
    lr: Rate
    lr_pretrained: Rate
    lr_dprnn: Rate
    lr_baseline: Rate
    lr_sed: Rate
    sed_decay: Decay
    warmup_steps: Steps
    baseline_n_fft: Size
    score_every: Epochs
    training: Plan


class Scale(Options):
    """All sizes."""

    name: Name
    trains_prerequisites: bool
    label_sources: LabelSources
    threshold: Probability
    stage2_head_norm: bool
    sed: SedSizes
    baseline: BaselineSizes
    tracks: TracksSizes
    tagger: TaggerSizes
    separator: SeparatorSizes
