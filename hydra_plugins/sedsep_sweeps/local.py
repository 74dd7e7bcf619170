"""hydra/launcher=local: the jobs of a sweep as parallel processes of this machine."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.sedsep_sweeps._base import ManifestLauncher, Planned, devices
from sedsep.errors import UserError
from sedsep.runs.sweeps import Manifest, slurm
from sedsep.runs.sweeps.outcomes import counts, outcomes
from sedsep.runs.sweeps.processes import Command, run_all

log = logging.getLogger(__name__)

LOG = "job.log"


class LocalLauncher(ManifestLauncher):
    """Runs each job as `python run.py` with its overrides, in its directory; what becomes of one touches no other.

    Args:
        jobs: processes at a time; by default one a GPU where jobs train on GPUs, else one for every two cores.
    """

    def __init__(self, jobs: int | None) -> None:
        self._jobs = jobs
        self._config: DictConfig

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the jobs need."""
        self._config = config

    def check(self, planned: Sequence[Planned]) -> None:
        """One device a job: processes of one training would not know which of the others are theirs."""
        for one in planned:
            if one.config.trainer.get("num_nodes", 1) > 1 or (devices(one.config) or 1) > 1:
                raise UserError(
                    "hydra/launcher=local gives each job one device: leave out trainer.devices and trainer.num_nodes, "
                    "or run the jobs one after the other (hydra/launcher=basic)."
                )

    def launch_jobs(self, manifest: Manifest, planned: Sequence[Planned]) -> None:
        """Run the jobs, and say how they do whenever one ends."""
        cores = len(os.sched_getaffinity(0))
        gpus = _gpus() if any(one.config.trainer.accelerator != "cpu" for one in planned) else []
        count = min(self._jobs or len(gpus) or max(1, cores // 2), len(planned))
        slots = [_slot(index, cores // count, gpus) for index in range(count)]
        log.info("%d jobs, %d at a time", len(planned), count)

        def ended(number: int, code: int) -> None:
            manifest.record(number, note=_note(code))
            manifest.write()
            log.info("Job %d ended: %s", number, counts(outcomes(manifest, slurm.ask(manifest.ids))))

        for one in planned:
            manifest.record(one.job.number, log=f"{one.job.directory}/{LOG}")
        manifest.write()
        with _stoppable():
            run_all([self._command(manifest, one) for one in planned], slots, ended)

    def _command(self, manifest: Manifest, one: Planned) -> Command:
        from sedsep.tasks.overrides import quoted

        run_dir = manifest.run_dir(one.job)
        script = Path(next(s.path for s in self._config.hydra.runtime.config_sources if s.provider == "main")).parent
        own = ("hydra/launcher=", "hydra.launcher.", "hydra/sweeper=", "hydra.sweeper.", "hydra.sweep.", "hydra.mode=")
        hydra = [text for text in self._config.hydra.overrides.hydra if not text.startswith(own)]
        overrides = [*hydra, *one.job.overrides, f"hydra.run.dir={quoted(str(run_dir))}"]
        return Command(one.job.number, (sys.executable, str(script / "run.py"), *overrides), run_dir / LOG)


def _slot(index: int, threads: int, gpus: Sequence[str]) -> Mapping[str, str]:
    """What a job's process is told about its share of the machine."""
    share = {"OMP_NUM_THREADS": str(max(1, threads))}
    return {**share, "CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)]} if gpus else share


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if (given := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in given.split(",") if name]
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(index) for index, _ in enumerate(line for line in done.stdout.splitlines() if line.startswith("GPU"))]


def _note(code: int) -> str | None:
    """How a process ended that could not say so itself."""
    if code < 0:
        return f"Killed by {signal.Signals(-code).name}"
    return f"Ended with exit code {code}, see its log" if code else None


@contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM stops the jobs as Ctrl-C does: they would stay behind otherwise."""

    def stop(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
