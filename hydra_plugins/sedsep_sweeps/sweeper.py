"""The product of all choices, as Hydra's basic sweeper makes it, in a directory that one can go on from."""

from __future__ import annotations

import logging
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, open_dict

from hydra_plugins.sedsep_sweeps._base import ManifestLauncher, Planned
from hydra_plugins.sedsep_sweeps._tracked import SweepTracking
from sedsep.errors import UserError
from sedsep.files import sole_user
from sedsep.runs.directories import RUNNING
from sedsep.runs.sweeps import SWEEP, Job, Manifest, slurm, table
from sedsep.runs.sweeps.outcomes import QUEUED, TO_RUN, Outcome, counts, outcomes

log = logging.getLogger(__name__)


class ResumableSweeper(BasicSweeper):
    """Composes all jobs, writes them down, launches those that are to be run, and ends with a table.

    Args:
        max_batch_size: jobs handed to the launcher at a time; all where it is `None`.
        params: overrides to sweep over beside those of the command line.
    """

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep, or what is left of it.

        Raises:
            UserError: a job cannot be composed, before any has started; or not every job finished.
        """
        assert self.config is not None
        root = Path(self.config.hydra.sweep.dir).absolute()
        root.mkdir(parents=True, exist_ok=True)
        os.environ[SWEEP] = str(root)  # jobs inherit it
        refusal = f"Another process is looking after the sweep in {root}: wait for it, or stop it."
        with sole_user(root / ".sweep.lock", refusal):
            if self.config.sweep.resume:
                manifest = Manifest.read(root)
                jobs = _left(manifest)
            else:
                manifest = self._new(root, arguments)
                jobs = list(manifest.jobs)
            planned = [self._planned(manifest, job) for job in jobs]
            if isinstance(self.launcher, ManifestLauncher):
                self.launcher.check(planned)
            manifest.write()
            tracking = SweepTracking(manifest, planned[0].config if planned else self._composed(manifest.jobs[0]))
            found, stop = self._run(manifest, planned, tracking)
        _conclude(manifest, found, stop)

    def _new(self, root: Path, arguments: Sequence[str]) -> Manifest:
        from sedsep.tasks.launching import COMMAND

        assert self.config is not None and self.hydra_context is not None
        if Manifest.is_in(root):
            raise UserError(f"{root} holds a sweep: go on with it ({go_on(root)}) or give another hydra.sweep.dir.")
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        (combinations,) = self.split_arguments(parser.parse_overrides([*self._parse_config(), *arguments]), None)
        how = [
            text for text in self.config.hydra.overrides.hydra if not text.startswith(("hydra.mode=", "hydra.sweep."))
        ]
        return Manifest(
            root=root,
            jobs=[Job(number, tuple(overrides)) for number, overrides in enumerate(combinations)],
            command=os.environ.get(COMMAND, shlex.join(["python", *sys.argv])),
            cwd=str(Path.cwd()),
            created=time.time(),
            hydra=how,
        )

    def _planned(self, manifest: Manifest, job: Job) -> Planned:
        """Compose a job, and give it its directory, the one it had before."""
        from sedsep.tasks.launching import code
        from sedsep.tasks.overrides import quoted

        config = self._composed(job)
        directory = job.directory or str(config.hydra.sweep.subdir)
        printed = f"{directory}/{config.hydra.job.name}.log"
        job = manifest.record(job.number, directory=directory, code=code(), id=None, log=printed, note=None)
        return Planned(job, config, [*job.overrides, f"hydra.sweep.subdir={quoted(directory)}"])

    def _composed(self, job: Job) -> DictConfig:
        from sedsep.tasks.overrides import check_types

        assert self.config is not None and self.hydra_context is not None
        config = self.hydra_context.config_loader.load_sweep_config(self.config, list(job.overrides))
        check_types(config, job.overrides)
        with open_dict(config):
            config.hydra.job.num = job.number
        return config

    def _run(
        self, manifest: Manifest, planned: Sequence[Planned], tracking: SweepTracking
    ) -> tuple[list[Outcome], BaseException | None]:
        """Launch the jobs; what stops that does not hide what became of them."""
        stop = None
        tracking.open()
        try:
            for batch in _batches(planned, self.max_batch_size):
                self._launch(manifest, batch)
        except BaseException as error:
            stop = error
        found = outcomes(manifest, slurm.ask(manifest.ids))
        table.write(manifest, found)
        table.show(manifest, found)
        tracking.close(found)
        return found, stop

    def _launch(self, manifest: Manifest, planned: Sequence[Planned]) -> None:
        assert self.launcher is not None
        if isinstance(self.launcher, ManifestLauncher):
            self.launcher.launch_jobs(manifest, planned)
            return
        for group in _consecutive(planned):  # Hydra's launchers count on from the first number
            self.launcher.launch([one.overrides for one in group], initial_job_idx=group[0].job.number)


def _left(manifest: Manifest) -> list[Job]:
    """The jobs of a sweep that are to be run again, and a word on the others."""
    from sedsep.tasks.launching import code

    found = outcomes(manifest, slurm.ask(manifest.ids))
    log.info("%s: %s", manifest.root, counts(found))
    for one in found:
        if one.state in (QUEUED, RUNNING):
            log.info("Job %d is %s%s: left alone", one.job.number, one.state, f" ({one.job.id})" if one.job.id else "")
    left = [one.job for one in found if one.state in TO_RUN]
    others = sorted({str(one.job.code) for one in found if one.job not in left} - {str(code())})
    if left and others:
        log.info("The code has changed: code/%s runs now, the other jobs took code/%s", code(), ", ".join(others))
    return left


def _conclude(manifest: Manifest, found: Sequence[Outcome], stop: BaseException | None) -> None:
    """End the sweep's process as it went.

    Raises:
        UserError: not every job finished. BaseException: what stopped the launcher.
    """
    again = go_on(manifest.root)
    going_on = [one for one in found if one.state in (QUEUED, RUNNING)]
    if isinstance(stop, KeyboardInterrupt):
        if ids := sorted({one.job.id.split("_")[0] for one in going_on if one.job.id}):
            log.info("The jobs go on in SLURM (scancel %s would end them)", " ".join(ids))
        log.info("See how they do, and go on: %s", again)
    if stop is not None:
        raise stop
    all_jobs = f"of {len(found)} jobs"
    if left := [one for one in found if one.state in TO_RUN]:
        raise UserError(f"{len(left)} {all_jobs} did not finish: mend what the table names and go on with {again}.")
    if going_on:
        raise UserError(f"{len(going_on)} {all_jobs} are still queued or running: ask again later with {again}.")


def go_on(root: Path) -> str:
    """The command that goes on with a sweep."""
    return f"python run.py -m sweep.resume={shlex.quote(str(root))}"


def _batches(planned: Sequence[Planned], size: int | None) -> Iterator[Sequence[Planned]]:
    for start in range(0, len(planned), size or len(planned) or 1):
        yield planned[start : start + (size or len(planned))]


def _consecutive(planned: Sequence[Planned]) -> list[list[Planned]]:
    """Groups of jobs whose numbers follow each other."""
    groups: list[list[Planned]] = []
    for one in planned:
        if not groups or groups[-1][-1].job.number != one.job.number - 1:
            groups.append([])
        groups[-1].append(one)
    return groups
