"""The options of tracking and of launchers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, Tag

from sedsep.runs.command_line.settings.fields import (
    OTHER,
    TARGET,
    Name,
    Options,
    Place,
    Seed,
    by_target,
    number,
    whole,
)


class Mlflow(Options):
    """Tracking with MLflow."""

    target: Annotated[Literal["sedsep.runs.tracking.Mlflow"], Field(alias=TARGET)]
    tracking_uri: Name
    artifacts: Place
    experiment: Name
    patience_s: Annotated[float, number(0, 86_400, "seconds")]
    tags: dict[str, str | int | float | bool] | None


class Tracking(Options):
    """Tracking that has no options."""

    target: Annotated[Literal["sedsep.runs.tracking.Csv", "sedsep.runs.tracking.Logging"], Field(alias=TARGET)]


Logger = Annotated[
    Annotated[Mlflow, Tag("sedsep.runs.tracking.Mlflow")] | Annotated[Tracking, Tag(OTHER)],
    by_target("sedsep.runs.tracking.Mlflow"),
]


class Local(Options):
    """Jobs in parallel on this machine."""

    target: Annotated[Literal["hydra_plugins.sedsep_sweeps.Local"], Field(alias=TARGET)]
    jobs: Annotated[int, whole(1, 1024)] | None


class Slurm(Options):
    """Jobs on a cluster."""

    target: Annotated[Literal["hydra_plugins.sedsep_sweeps.Slurm"], Field(alias=TARGET)]
    name: Name
    partition: Name | None
    account: Name | None
    qos: Name | None
    constraint: Name | None
    timeout_min: Annotated[int, whole(1, 10_000_000, "minutes")]
    gpus: Annotated[int, whole(0, 1024)] | None
    nodes: Annotated[int, whole(1, 10_000)]
    tasks_per_node: Annotated[int, whole(1, 1024)] | None
    cpus_per_task: Annotated[int, whole(1, 10_000)] | None
    mem_gb: Annotated[float, number(0, 1_000_000, "GB")] | None
    array_parallelism: Annotated[int, whole(1, 1_000_000)]
    signal_delay_s: Annotated[int, whole(0, 1_000_000, "seconds")]
    max_num_timeout: Annotated[int, whole(0, 1_000_000)]
    setup: list[str] | None
    additional_parameters: dict[str, Any] | None
    poll_s: Annotated[float, number(0, 86_400, "seconds")]


class Hydras(BaseModel):
    """A launcher or sweeper of Hydra, which checks its options itself."""


class Optuna(Options):
    """Jobs that are chosen by the scores of those before."""

    target: Annotated[Literal["hydra_plugins.sedsep_sweeps.Optuna"], Field(alias=TARGET)]
    study_name: Annotated[
        str, Field(pattern=r"^\w[\w.-]*$", max_length=100, description="a name of letters, digits, dots and dashes")
    ]
    n_trials: Annotated[int, whole(1, 1_000_000)]
    n_jobs: Annotated[int, whole(1, 1024)]
    direction: Literal["maximize", "minimize"]
    metric: Name | None
    seed: Seed
    params: dict[str, str | int | float | bool] | None


class Resumable(Options):
    """Jobs that are all combinations."""

    target: Annotated[Literal["hydra_plugins.sedsep_sweeps.Resumable"], Field(alias=TARGET)]
    params: dict[str, str | int | float | bool] | None


Sweeper = Annotated[
    Annotated[Optuna, Tag("hydra_plugins.sedsep_sweeps.Optuna")]
    | Annotated[Resumable, Tag("hydra_plugins.sedsep_sweeps.Resumable")]
    | Annotated[Hydras, Tag(OTHER)],
    by_target("hydra_plugins.sedsep_sweeps.Optuna", "hydra_plugins.sedsep_sweeps.Resumable"),
]


Launcher = Annotated[
    Annotated[Local, Tag("hydra_plugins.sedsep_sweeps.Local")]
    | Annotated[Slurm, Tag("hydra_plugins.sedsep_sweeps.Slurm")]
    | Annotated[Hydras, Tag(OTHER)],
    by_target("hydra_plugins.sedsep_sweeps.Local", "hydra_plugins.sedsep_sweeps.Slurm"),
]
