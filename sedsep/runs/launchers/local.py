"""hydra/launcher=local: the jobs of a sweep as parallel processes of this machine."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from sedsep.errors import UserError
from sedsep.runs import slurm
from sedsep.runs.command_line.arguments import quoted
from sedsep.runs.launchers.base import Jobs, SweepLauncher, devices
from sedsep.runs.sweeps import Manifest, counts, outcomes
from sedsep.signals import children

log = logging.getLogger(__name__)

LOG = "job.log"
START = (sys.executable, "-m", "sedsep")
PATIENCE_S = 30.0
"""How long a process that was told to stop may take to tidy up before it is killed."""

Command = tuple[Sequence[str], Path]
"""The arguments of a process, the program first, and the file that gets all that it prints, after what is there."""

OF_THE_SWEEP = ("hydra/launcher=", "hydra.launcher.", "hydra/sweeper=", "hydra.sweeper.", "hydra.sweep.", "hydra.mode=")


class LocalLauncher(SweepLauncher):
    """Runs each job as a command with its overrides, in its directory; what becomes of one touches no other.

    Args:
        jobs: processes at a time; by default one a GPU where jobs train on GPUs, else one for every two cores.
    """

    def __init__(self, jobs: int | None) -> None:
        self._jobs = jobs
        self._config: DictConfig

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what the jobs need."""
        self._config = config

    def check(self, jobs: Jobs) -> None:
        """One device a job: processes of one training would not know which of the others are theirs."""
        if any(config.trainer.get("num_nodes", 1) > 1 or (devices(config) or 1) > 1 for _, config in jobs):
            raise UserError(
                "hydra/launcher=local gives each job one device: leave out trainer.devices and trainer.num_nodes, "
                "or run the jobs one after the other (hydra/launcher=basic)."
            )

    def launch_jobs(self, manifest: Manifest, jobs: Jobs) -> None:
        """Run the jobs, and say how they do whenever one ends."""
        gpus = _gpus() if any(config.trainer.accelerator != "cpu" for _, config in jobs) else []
        cores = len(os.sched_getaffinity(0))
        count = min(self._jobs or len(gpus) or max(1, cores // 2), len(jobs))
        share = {"OMP_NUM_THREADS": str(max(1, cores // count))}
        slots = [
            {**share, "CUDA_VISIBLE_DEVICES": gpus[index % len(gpus)]} if gpus else share for index in range(count)
        ]
        log.info("%d jobs, %d at a time", len(jobs), count)

        def ended(number: int, code: int) -> None:
            note = f"Ended with exit code {code}, see its log" if code else None
            manifest.record(number, note=f"Killed by {signal.Signals(-code).name}" if code < 0 else note)
            manifest.write()
            log.info("Job %d ended: %s", number, counts(outcomes(manifest, slurm.ask(manifest.ids))))

        hydra = [text for text in self._config.hydra.overrides.hydra if not text.startswith(OF_THE_SWEEP)]
        commands = {}
        for job, _ in jobs:
            manifest.record(job.number, log=f"{job.directory}/{LOG}")
            run_dir = manifest.run_dir(job)
            overrides = [*hydra, *job.overrides, f"hydra.run.dir={quoted(str(run_dir))}"]
            commands[job.number] = ((*START, *overrides), run_dir / LOG)
        manifest.write()
        run_all(commands, slots, ended)


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    if (visible := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in visible.split(",") if name]
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(index) for index, _ in enumerate(line for line in done.stdout.splitlines() if line.startswith("GPU"))]


def run_all(
    commands: Mapping[int, Command],
    slots: Sequence[Mapping[str, str]],
    ended: Callable[[int, int], None],
    poll_s: float = 0.2,
) -> None:
    """Run every command, as many at a time as there are slots, whatever becomes of the others.

    Whatever ends this (a signal to stop, an error) ends the processes first.

    Args:
        commands: by number, in the order in which they start.
        slots: variables added to the environment of the processes that run there.
        ended: called with a command's number and its exit code, which is negative for a signal.
        poll_s: between two looks at the processes.
    """
    waiting = list(commands)[::-1]
    running: dict[int, tuple[int, subprocess.Popen[bytes]]] = {}  # by slot
    try:
        while waiting or running:
            for slot, (number, process) in list(running.items()):
                if (code := process.poll()) is not None:
                    del running[slot]
                    children.discard(process.pid)
                    ended(number, code)
            for slot, variables in enumerate(slots):
                if waiting and slot not in running:
                    number = waiting.pop()
                    arguments, printed = commands[number]
                    printed.parent.mkdir(parents=True, exist_ok=True)
                    with printed.open("ab") as file:
                        # A session of its own: a key pressed here reaches the job through us alone, once.
                        process = subprocess.Popen(
                            arguments, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
                            env={**os.environ, **variables}, start_new_session=True,
                        )  # fmt: skip
                    running[slot] = number, process
                    children.add(process.pid)
            time.sleep(poll_s)
    finally:
        _stop([process for _, process in running.values()])


def _stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for number in (signal.SIGINT, signal.SIGKILL):
        for process in processes:
            if process.poll() is None:
                with suppress(ProcessLookupError):
                    # The last one to its loaders as well.
                    os.killpg(process.pid, number) if number == signal.SIGKILL else process.send_signal(number)
        limit = time.monotonic() + PATIENCE_S
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, limit - time.monotonic()))
