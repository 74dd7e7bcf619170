"""hydra/launcher=slurm: the jobs of a sweep on a cluster, by way of submitit."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobStatus
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher

from sedsep.errors import UserError
from sedsep.runs import slurm
from sedsep.runs.launchers.base import Jobs, SweepLauncher, devices, overrides_in_place
from sedsep.runs.sweeps import SWEEP, Manifest, counts, outcomes

log = logging.getLogger(__name__)

OWN = ("gpus", "poll_s", "max_num_timeout", "additional_parameters", "setup", "tasks_per_node")
"""Options that are no plain parameters of submitit."""

GENERAL = ("name", "timeout_min", "nodes", "cpus_per_task", "mem_gb")
"""Parameters that submitit has for every cluster; the others are SLURM's."""

REFUSED = "sbatch: error: "


class SlurmLauncher(SweepLauncher, BaseSubmititLauncher):
    """Submits the jobs as one array, one task a GPU, and waits for them.

    A job that SLURM interrupts, at its time limit or for another one's sake, is queued again with the same arguments.
    """

    @property
    def _tasks(self) -> int:
        """Processes on a node: one a GPU."""
        return self.params["tasks_per_node"] or max(1, self.params["gpus"] or 0)

    def check(self, jobs: Jobs) -> None:
        """SLURM must be here, and be asked for what the jobs train on."""
        if not all(shutil.which(command) for command in ("sbatch", "srun", "squeue")):
            raise UserError(
                "hydra/launcher=slurm needs SLURM's commands, which are not on this machine: start the sweep where "
                "sbatch is, or use hydra/launcher=local."
            )
        tasks, nodes = self._tasks, self.params["nodes"]
        for job, config in jobs:
            if (wanted := devices(config)) not in (None, tasks):
                raise UserError(
                    f"Job {job.number} trains on trainer.devices={wanted}, and SLURM is asked for {tasks} a node: give "
                    f"hydra.launcher.gpus={wanted} (or tasks_per_node, without GPUs), or trainer.devices={tasks}."
                )
            if (wanted := config.trainer.get("num_nodes", 1)) != nodes:
                raise UserError(
                    f"Job {job.number} trains on trainer.num_nodes={wanted}, and SLURM is asked for "
                    f"hydra.launcher.nodes={nodes}: give both the same."
                )

    def launch_jobs(self, manifest: Manifest, jobs: Jobs) -> None:
        """Submit the jobs, note their ids, and say how they do whenever that changes."""
        numbers = {}
        for name, (job, _) in zip(self._submit(manifest.root, jobs), jobs, strict=True):
            manifest.record(job.number, id=name, log=f"slurm/{name}/{name}_0_log.out")
            numbers[name] = job.number
        manifest.write()
        log.info("Submitted to SLURM: %s", ", ".join(sorted({name.split("_")[0] for name in numbers})))
        _wait(manifest, numbers, self.params["poll_s"])

    def _submit(self, root: Path, jobs: Jobs) -> list[str]:
        """The names of the jobs that SLURM took."""
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
                (overrides_in_place(job), "hydra.sweep.dir", job.number, "", Singleton.get_state()) for job, _ in jobs
            ]
            return [job.job_id for job in executor.map_array(self, *zip(*arguments, strict=True))]
        except (RuntimeError, submitit.core.utils.FailedJobError) as error:
            text = str(error)
            lines = [line.split(REFUSED, 1)[1].strip().rstrip(".") for line in text.splitlines() if REFUSED in line]
            reason = lines[0] if lines else " ".join(text.split())
            raise UserError(f"SLURM refuses the jobs ({reason}): see the options of hydra.launcher.") from error

    def __call__(self, sweep_overrides: list[str], *arguments: Any) -> None:
        """Run a job, on its node; of its tasks the first alone keeps records."""
        import submitit

        os.environ[SWEEP] = str(self.config.hydra.sweep.dir)
        if submitit.JobEnvironment().global_rank:
            sweep_overrides = [
                *sweep_overrides, "hydra.output_subdir=null", "hydra.job_logging.root.handlers=[console]"
            ]  # fmt: skip
        if super().__call__(sweep_overrides, *arguments).status != JobStatus.COMPLETED:
            sys.exit(1)  # its log says why


def _wait(manifest: Manifest, numbers: Mapping[str, int], poll_s: float) -> None:
    """Until SLURM has nothing more to do for any of the jobs; notes what it says of those that it ended.

    Args:
        manifest: of the sweep.
        numbers: of the jobs, by SLURM's names for them.
        poll_s: between two looks at the queue, at most.
    """
    left, counted, pause = dict(numbers), "", 1.0
    while left:
        queue = slurm.ask(manifest.ids)
        for name in [name for name in left if slurm.state(name, queue) == slurm.OVER]:
            word = (queue or {}).get(name, "COMPLETED")
            manifest.record(left.pop(name), note=None if word == "COMPLETED" else f"SLURM ended it: {word}")
            manifest.write()
        if (now := counts(outcomes(manifest, queue))) != counted:
            log.info("%s", now)
            counted = now
        if left:
            time.sleep(pause)
            pause = min(poll_s, 2 * pause)
