"""The options of trainings: losses, learning rates, optimisers, and what a model changes of its scale's plan."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, Tag

from sedsep.runs.command_line.settings.data import SceneAugment
from sedsep.runs.command_line.settings.fields import (
    OTHER,
    TARGET,
    Checkpoints,
    Foreign,
    Name,
    Options,
    Part,
    Place,
    Probability,
    Rate,
    Seconds,
    SomeSounds,
    Whole,
    above,
    by_target,
    number,
    pair,
    whole,
)
from sedsep.runs.command_line.settings.networks import Features, Feedback, GuidedNetwork, Passes, SedNetwork

Steps = Annotated[int, whole(0, 1_000_000_000)]
Epochs = Annotated[int, whole(1, 1_000_000)]
PerPass = Annotated[int, whole(1, 1000)]
Decay = Annotated[float, above(0, 1)]
Blocks = Annotated[int, whole(0, 1000)] | None
BatchSize = Whole | Annotated[list[Whole], Field(min_length=1)]
Keep = Literal["best", "last"]


class SedRates(Options):
    """Learning rates of a SED model."""

    target: Annotated[Literal["sedsep.training.SedRates"], Field(alias=TARGET)]
    heads: Rate
    backbone: Rate
    decay: Decay = 1.0
    trained_blocks: Blocks = None


class SeparatorRates(Options):
    """Learning rates of a separator."""

    target: Annotated[Literal["sedsep.training.SeparatorRates"], Field(alias=TARGET)]
    pretrained: Rate
    new: Rate
    dprnn: Rate
    sed: SedRates


class Mixup(Options):
    """Two scenes mixed."""

    target: Annotated[Literal["sedsep.training.Mixup"], Field(alias=TARGET)]
    probability: Probability
    alpha: Annotated[float, above(0, 1000)]


class FrequencyWarp(Options):
    """A stretched spectrogram."""

    target: Annotated[Literal["sedsep.training.FrequencyWarp"], Field(alias=TARGET)]
    probability: Probability
    smallest: Annotated[float, above(0, 1)]


class SpecAugment(Options):
    """A spectrogram with masks."""

    target: Annotated[Literal["sedsep.training.SpecAugment"], Field(alias=TARGET)]
    band_masks: Annotated[int, whole(0, 100)]
    widest: Probability
    time_masks: Annotated[int, whole(0, 100)]
    longest: Probability


class FilterAugment(Options):
    """A spectrogram with other gains."""

    target: Annotated[Literal["sedsep.training.FilterAugment"], Field(alias=TARGET)]
    gain_db: Annotated[float, number(0, 100, "dB")]
    bands: Annotated[list[Annotated[int, whole(1, 100)]], *pair("whole numbers from 1 to 100")]
    narrowest: Annotated[int, whole(1, 1000)]
    std: Annotated[float, above(0, 1000)]


class SpectrogramAugment(Options):
    """How spectrograms of SED models are changed."""

    specaugment: SpecAugment | None = None
    filteraugment: FilterAugment | None = None


class Augment(Options):
    """How what a model is trained on is changed."""

    scenes: SceneAugment
    spectrogram: SpectrogramAugment


class SedSystem(Part):
    """How a SED model learns."""

    target: Annotated[Literal["sedsep.training.SedSystem"], Field(alias=TARGET)]
    clip_weight: Annotated[float, number(0, 1000)]
    frame_weight: Annotated[float, number(0, 1000)]
    thresholds: list[Probability]
    rates: SedRates
    mixup: Mixup | None = None
    frequency_warp: FrequencyWarp | None = None


class Refinement(Options):
    """Passes."""

    iters: Passes
    eval_iters: PerPass | Annotated[list[PerPass], Field(min_length=1)] | None
    feedback: Feedback
    pass_decay: Decay | None
    through: bool


class SeparatorSystem(Part):
    """How a separator learns."""

    target: Annotated[
        Literal["sedsep.training.SeparatorSystem", "sedsep.training.UnlabelledSystem"], Field(alias=TARGET)
    ]
    score_every: Epochs
    averaged_over: Literal["sources", "slots"]
    pass_decay: Decay | None
    through: bool
    rates: SeparatorRates


class Optimizer(Part):
    """What optimisers of torch have in common; learning rates and weight decay come by parameter group."""

    fused: bool | None = None
    foreach: bool | None = None
    maximize: bool = False
    differentiable: bool = False


class AdamW(Optimizer):
    """`torch.optim.AdamW`."""

    target: Annotated[Literal["torch.optim.AdamW"], Field(alias=TARGET)]
    betas: Annotated[
        list[Annotated[float, Field(ge=0, lt=1)]],
        Field(min_length=2, max_length=2, description="a list of two numbers from 0 to below 1", default_factory=list),
    ]
    eps: Annotated[float, number(0, 1)] = 1e-8
    amsgrad: bool = False
    capturable: bool = False


class Sgd(Optimizer):
    """`torch.optim.SGD`."""

    target: Annotated[Literal["torch.optim.SGD"], Field(alias=TARGET)]
    momentum: Annotated[float, number(0, 1)] = 0.0
    dampening: Annotated[float, number(0, 1)] = 0.0
    nesterov: bool = False


class Schedule(Part):
    """One of ours."""

    target: Annotated[
        Literal["sedsep.training.warmup_cosine", "sedsep.training.warmup_constant", "sedsep.training.warmup_linear"],
        Field(alias=TARGET),
    ]
    warmup_steps: Steps


class Optim(Options):
    """Optimiser and schedule."""

    weight_decay: Annotated[float, number(0, 1000)]
    warmup_steps: Steps
    optimizer: Annotated[
        Annotated[AdamW, Tag("torch.optim.AdamW")]
        | Annotated[Sgd, Tag("torch.optim.SGD")]
        | Annotated[Foreign, Tag(OTHER)],
        by_target("torch.optim.AdamW", "torch.optim.SGD"),
    ]
    schedule: Schedule


class Training(Options):
    """What a model changes of its scale's plan; `null`: as there."""

    epochs: Epochs | None
    epoch_size: Whole | None
    batch_size: BatchSize | None
    eval_batch_size: Whole | None
    duration: Seconds | None
    validate_every: Epochs | None
    keep: Keep | None
    events: SomeSounds | None
    pool: Whole | None


class Model(Options):
    """What all models have."""

    name: Name
    part: Literal["separator", "tagger", "baseline", "tracks"]
    ckpt: Checkpoints | None
    start: Place | None
    published: Name | None = None
    training: Training
    optim: Optim


class SedModel(Model):
    """A SED model and how it is trained."""

    kind: Literal["sed"]
    network: SedNetwork
    system: SedSystem


class Separator(Model):
    """A separator and how it is trained."""

    kind: Literal["separator"]
    features: Features
    network: GuidedNetwork
    system: SeparatorSystem
