"""hydra/launcher=slurm: the jobs of a sweep on a cluster, by way of submitit."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobStatus
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher

from hydra_plugins.sedsep_sweeps._base import ManifestLauncher, Planned, devices
from sedsep.errors import UserError
from sedsep.runs.sweeps import SWEEP, Manifest, slurm
from sedsep.runs.sweeps.outcomes import counts, outcomes

log = logging.getLogger(__name__)

OWN = ("gpus", "poll_s", "max_num_timeout", "additional_parameters", "setup", "tasks_per_node")
"""Options that are no plain parameters of submitit."""

GENERAL = ("name", "timeout_min", "nodes", "cpus_per_task", "mem_gb")
"""Parameters that submitit has for every cluster; the others are SLURM's."""

REFUSED = "sbatch: error: "


class SlurmLauncher(ManifestLauncher, BaseSubmititLauncher):
    """Submits the jobs as one array, one task a GPU, and waits for them.

    A job that SLURM interrupts, at its time limit or for another one's sake, is queued again with the same arguments.
    """

    @property
    def _tasks(self) -> int:
        """Processes on a node: one a GPU."""
        return self.params["tasks_per_node"] or max(1, self.params["gpus"] or 0)

    def check(self, planned: Sequence[Planned]) -> None:
        """SLURM must be here, and be asked for what the jobs train on."""
        if not all(shutil.which(command) for command in ("sbatch", "srun", "squeue")):
            raise UserError(
                "hydra/launcher=slurm needs SLURM's commands, which are not on this machine: start the sweep where "
                "sbatch is, or use hydra/launcher=local."
            )
        for one in planned:
            _check_fits(one, self._tasks, self.params["nodes"])

    def launch_jobs(self, manifest: Manifest, planned: Sequence[Planned]) -> None:
        """Submit the jobs, note their ids, and say how they do whenever that changes."""
        ids = self._submit(manifest.root, planned)
        for one, name in zip(planned, ids, strict=True):
            manifest.record(one.job.number, id=name, log=f"slurm/{name}/{name}_0_log.out")
        manifest.write()
        log.info("Submitted to SLURM: %s", ", ".join(sorted({name.split("_")[0] for name in ids})))
        _wait(manifest, planned, ids, self.params["poll_s"])

    def _submit(self, root: Path, planned: Sequence[Planned]) -> list[str]:
        import submitit

        code = shlex.quote(os.environ.get("PYTHONPATH", "")) + "${PYTHONPATH:+:$PYTHONPATH}"
        plain = {name: value for name, value in self.params.items() if name not in OWN and value is not None}
        try:
            executor = submitit.AutoExecutor(
                folder=root / "slurm" / "%j", cluster="slurm", slurm_max_num_timeout=self.params["max_num_timeout"]
            )
            executor.update_parameters(
                **{name if name in GENERAL else f"slurm_{name}": value for name, value in plain.items()},
                **({"gpus_per_node": self.params["gpus"]} if self.params["gpus"] else {}),
                tasks_per_node=self._tasks,
                stderr_to_stdout=True,
                # The last line, for clusters that give jobs an environment of their own, and modules that change it;
                # safe from the working directory, where the code that is being edited may lie.
                slurm_setup=[*(self.params["setup"] or []), f"export PYTHONSAFEPATH=1 PYTHONPATH={code}"],
                slurm_additional_parameters={"requeue": True, **(self.params["additional_parameters"] or {})},
                # The log of a job that is queued again goes on; a rank that dies ends the others, which wait for it.
                slurm_srun_args=["--open-mode=append", "--kill-on-bad-exit=1"],
            )
            arguments = [
                (one.overrides, "hydra.sweep.dir", one.job.number, "", Singleton.get_state()) for one in planned
            ]
            return [job.job_id for job in executor.map_array(self, *zip(*arguments, strict=True))]
        except (RuntimeError, submitit.core.utils.FailedJobError) as error:
            raise UserError(_refusal(str(error))) from error

    def __call__(self, sweep_overrides: list[str], *arguments: Any) -> None:
        """Run a job, on its node; of its tasks the first alone keeps records."""
        import submitit

        os.environ[SWEEP] = str(self.config.hydra.sweep.dir)
        if submitit.JobEnvironment().global_rank:
            sweep_overrides = [
                *sweep_overrides, "hydra.output_subdir=null", "hydra.job_logging.root.handlers=[console]"
            ]  # fmt: skip
        done = super().__call__(sweep_overrides, *arguments)
        if done.status != JobStatus.COMPLETED:
            sys.exit(1)  # its log says why


def _check_fits(one: Planned, tasks: int, nodes: int) -> None:
    trainer = one.config.trainer
    asked = devices(one.config)
    if asked is not None and asked != tasks:
        raise UserError(
            f"Job {one.job.number} trains on trainer.devices={asked}, and SLURM is asked for {tasks} a node: give "
            f"hydra.launcher.gpus={asked} (or tasks_per_node, without GPUs), or trainer.devices={tasks}."
        )
    if trainer.get("num_nodes", 1) != nodes:
        raise UserError(
            f"Job {one.job.number} trains on trainer.num_nodes={trainer.get('num_nodes', 1)}, and SLURM is asked for "
            f"hydra.launcher.nodes={nodes}: give both the same."
        )


def _wait(manifest: Manifest, planned: Sequence[Planned], ids: Sequence[str], poll_s: float) -> None:
    """Until SLURM has nothing more to do for any of the jobs; notes what it says of those that it ended."""
    numbers = {name: one.job.number for one, name in zip(planned, ids, strict=True)}
    said, pause = "", 1.0
    while numbers:
        queue = slurm.ask(manifest.ids)
        for name in [name for name in numbers if slurm.is_over(name, queue)]:
            word = (queue or {}).get(name, "COMPLETED")
            manifest.record(numbers.pop(name), note=None if word == "COMPLETED" else f"SLURM ended it: {word}")
            manifest.write()
        if (now := counts(outcomes(manifest, queue))) != said:
            log.info("%s", now)
            said = now
        if numbers:
            time.sleep(pause)
            pause = min(poll_s, 2 * pause)


def _refusal(text: str) -> str:
    """What sbatch said, in a sentence."""
    reasons = [line.split(REFUSED, 1)[1].strip() for line in text.splitlines() if REFUSED in line]
    reason = reasons[0].rstrip(".") if reasons else " ".join(text.split())
    return f"SLURM refuses the jobs ({reason}): see the options of hydra.launcher."
