"""The options of `trainer`, `speed` and `callbacks`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from sedsep.runs.command_line.settings.fields import TARGET, Foreign, Name, Options, Part, limit, number, whole

Batches = Annotated[int, whole(0, 1_000_000_000)] | Annotated[float, number(0, 1)]

Time = Annotated[str, Field(pattern=r"^\d\d:\d\d:\d\d:\d\d$", description="a time as '00:12:00:00' (days first)")]

Strategy = Literal["auto", "ddp", "ddp_find_unused_parameters_true", "ddp_spawn", "ddp_fork"]


class Trainer(Part):
    """What `lightning.Trainer` takes and this suite does not set itself."""

    target: Annotated[Literal["lightning.Trainer", "lightning.pytorch.Trainer"], Field(alias=TARGET)]
    accelerator: Literal["cpu", "gpu", "cuda", "mps", "auto"]
    devices: (
        Annotated[int, whole(1, 1024)]
        | Literal["auto", -1, "-1"]
        | Annotated[list[Annotated[int, whole(0, 1023)]], Field(min_length=1)]
        | Annotated[str, Field(pattern=r"^\d+(,\d+)*$", description="numbers of GPUs as '0,1'")]
    )
    num_nodes: Annotated[int, whole(1, 10_000)] = 1
    precision: Literal[
        "32-true", "bf16-mixed", "16-mixed", "bf16-true", "16-true", "64-true", "transformer-engine",
        "transformer-engine-float16", "16", "32", "64", "bf16", 16, 32, 64,
    ]  # fmt: skip
    strategy: Strategy | Foreign = "auto"
    sync_batchnorm: bool = False
    gradient_clip_val: Annotated[float, number(0, 1e12)] | None
    gradient_clip_algorithm: Literal["norm", "value"] | None = None
    accumulate_grad_batches: Annotated[int, whole(1, 1_000_000)]
    max_epochs: Annotated[int, whole(1, 1_000_000)] | None = None
    min_epochs: Annotated[int, whole(1, 1_000_000)] | None = None
    max_steps: Annotated[int, whole(1, 1_000_000_000)] | Literal[-1] = -1
    min_steps: Annotated[int, whole(1, 1_000_000_000)] | None = None
    max_time: Time | dict[Literal["weeks", "days", "hours", "minutes", "seconds"], int] | None = None
    limit_train_batches: Batches | None = None
    limit_val_batches: Batches | None = None
    limit_test_batches: Batches | None = None
    limit_predict_batches: Batches | None = None
    overfit_batches: Batches = 0
    val_check_interval: Annotated[int, whole(1, 1_000_000_000)] | Annotated[float, number(0, 1)] | None = None
    num_sanity_val_steps: Annotated[int, whole(-1, 1_000_000)]
    log_every_n_steps: Annotated[int, whole(0, 1_000_000)]
    use_distributed_sampler: Literal[False]
    enable_model_summary: bool
    enable_progress_bar: bool | None = None
    deterministic: bool | Literal["warn"] | None = None
    benchmark: bool | None = None
    inference_mode: bool = True
    profiler: Literal["simple", "advanced", "pytorch"] | Foreign | None = None
    detect_anomaly: bool = False
    reload_dataloaders_every_n_epochs: Annotated[int, whole(0, 1_000_000)] = 0
    enable_autolog_hparams: bool = True
    model_registry: Name | None = None

    @field_validator("devices")
    @classmethod
    def _exist(cls, devices: Any, info: ValidationInfo) -> Any:
        """Processes on a CPU: no more than it has cores."""
        if info.data.get("accelerator") == "cpu":
            return limit(devices, lambda cores: cores, "the cores of this machine", info)
        return devices


class Speed(Options):
    """What makes training fast."""

    compile: bool
    matmul_precision: Literal["highest", "high", "medium"]
    checkpoint: Literal["none", "stages"]
    fused: bool | None


class Best(Options):
    """`ModelCheckpoint` of the best weights."""

    target: Annotated[Literal["lightning.pytorch.callbacks.ModelCheckpoint"], Field(alias=TARGET)]
    filename: Literal["best"]
    monitor: Name
    mode: Literal["min", "max"]
    enable_version_counter: Literal[False]


class Last(Options):
    """Of the last weights."""

    target: Annotated[Literal["sedsep.training.LastCheckpoint"], Field(alias=TARGET)]
    minutes: Annotated[float, number(0, 1_000_000, "minutes")]


class LearningRate(Options):
    """Logs rates."""

    target: Annotated[Literal["lightning.pytorch.callbacks.LearningRateMonitor"], Field(alias=TARGET)]
    logging_interval: Literal["step", "epoch"] | None
    log_momentum: bool = False
    log_weight_decay: bool = False


class SpeedCallback(Options):
    """As `speed` says."""

    target: Annotated[Literal["sedsep.training.Speed"], Field(alias=TARGET)]
    compile: bool
    matmul_precision: Literal["highest", "high", "medium"]
    checkpoint: Literal["none", "stages"] = "none"


class MovingAverage(Options):
    """Of the weights, over steps."""

    target: Annotated[Literal["sedsep.training.MovingAverage"], Field(alias=TARGET)]
    decay: Annotated[float, Field(gt=0, lt=1, description="a number between 0 and 1")]


class EpochAverage(Options):
    """Of the weights, over epochs."""

    target: Annotated[Literal["sedsep.training.EpochAverage"], Field(alias=TARGET)]
    first: Annotated[int, whole(0, 1_000_000)]


class Callbacks(Options):
    """Those of the suite, and others by name."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Foreign] = Field(init=False)

    best: Best
    last: Last
    learning_rate: LearningRate | None = None
    speed: SpeedCallback
    meters: Foreign | None = None
    average: Annotated[MovingAverage | EpochAverage, Field(discriminator="target")] | None = None
