"""The product of all choices, as Hydra's basic sweeper makes it, in a directory that one can go on from."""

from __future__ import annotations

import logging
import os
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from sedsep.errors import PROGRAM, UserError
from sedsep.files import sole_user
from sedsep.runs import job_table, provenance, slurm
from sedsep.runs.command_line import inherited
from sedsep.runs.command_line.arguments import check, combinations
from sedsep.runs.command_line.settings import check_settings
from sedsep.runs.command_line.starting import COMMAND, typed_beside
from sedsep.runs.directories import FAILED, FINISHED, INTERRUPTED, RUNNING
from sedsep.runs.launchers.base import Jobs, SweepLauncher, overrides_in_place
from sedsep.runs.slurm import QUEUED
from sedsep.runs.sweeps import FILE, MISSING, ORDER, SWEEP, TO_RUN, Job, Manifest, Outcome, counts, outcomes
from sedsep.signals import Stopped
from sedsep.wiring import build

log = logging.getLogger(__name__)


class ResumableSweeper(Sweeper):
    """Composes all jobs, writes them down, launches those that are to be run, and ends with a table.

    Args:
        params: overrides to sweep over beside those of the command line.
    """

    def __init__(self, params: Mapping[str, str] | None) -> None:
        self._params = [f"{key}={value}" for key, value in (params or {}).items()]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Make the launcher."""
        self._config = config
        self._loader = hydra_context.config_loader
        self._launcher = Plugins.instance().instantiate_launcher(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> None:
        """Run the sweep, or what is left of it.

        Raises:
            UserError: a job cannot be composed, before any has started; or not every job finished.
        """
        root = Path(self._config.hydra.sweep.dir).absolute()
        with alone(root):
            resumed = bool(self._config.sweep.resume)
            manifest = Manifest.read(root) if resumed else self._new(root, arguments)
            jobs = _left(manifest) if resumed else list(manifest.jobs)
            first = manifest.jobs[0]
            if resumed:
                first, *jobs = self._inherited(root, [first, *jobs], arguments)
            composed = [self._prepared(manifest, job) for job in jobs]
            if isinstance(self._launcher, SweepLauncher):
                self._launcher.check(composed)
            manifest.write()
            with tracked(manifest, composed[0][1] if composed else self._composed(first)) as results:
                stop = self._launch(manifest, composed)
                results.extend(report(manifest))
        _conclude(manifest, results, stop)

    def _new(self, root: Path, arguments: Sequence[str]) -> Manifest:
        if (root / FILE).is_file():
            raise UserError(f"{root} holds a sweep: go on with it ({go_on(root)}) or give another hydra.sweep.dir.")
        if self._params:  # the command line was checked before
            check([*self._params, *arguments], self._loader, True)
        overrides = combinations([*self._params, *arguments], self._loader)
        return self._manifest(root, [Job(number, job) for number, job in enumerate(overrides)])

    def _manifest(self, root: Path, jobs: list[Job]) -> Manifest:
        """What is written down of a sweep that begins now."""
        how = self._config.hydra.overrides.hydra
        return Manifest(
            root=root,
            jobs=jobs,
            command=os.environ.get(COMMAND, provenance.command()),
            cwd=str(Path.cwd()),
            created=time.time(),
            hydra=[text for text in how if not text.startswith(("hydra.mode=", "hydra.sweep."))],
        )

    def _inherited(self, root: Path, jobs: Sequence[Job], arguments: Sequence[str]) -> list[Job]:
        """The jobs with what a directory may bring of their overrides, and what was typed beside."""
        typed, ignored, taken = typed_beside(arguments), list[str](), list[Job]()
        for job in jobs:
            values, left_out = inherited.values(job.overrides, root, self._loader, typed)
            again = [text for text in job.overrides if text in typed and text not in values]
            keys = {text.partition("=")[0] for text in again}
            new = [text for text in typed if inherited.is_elsewhere(text) and text.partition("=")[0] not in keys]
            taken.append(replace(job, overrides=(*values, *again, *new)))
            ignored += [text for text in left_out if text.partition("=")[0] not in {t.partition("=")[0] for t in new}]
        if ignored:
            log.warning("%s", inherited.warning(ignored, root))
        return taken

    def _prepared(self, manifest: Manifest, job: Job) -> tuple[Job, DictConfig]:
        """Compose a job, and give it its directory, the one it had before."""
        config = self._composed(job)
        check_settings(config)
        directory = job.directory or str(config.hydra.sweep.subdir)
        printed = f"{directory}/{config.hydra.job.name}.log"
        code = provenance.current()
        noted = manifest.record(job.number, directory=directory, code=code, id=None, log=printed, note=None)
        return replace(noted, overrides=job.overrides), config

    def _composed(self, job: Job) -> DictConfig:
        try:
            config = self._loader.load_sweep_config(self._config, list(job.overrides))
        except (HydraException, OmegaConfBaseException):
            overrides = [*self._config.hydra.overrides.hydra, *job.overrides]
            check(overrides, self._loader)  # says it better, if it can
            raise
        with open_dict(config):
            config.hydra.job.num = job.number
        return config

    def _launch(self, manifest: Manifest, jobs: Jobs) -> BaseException | None:
        """Run the jobs; what stops that is returned, and does not hide what became of them."""
        try:
            if isinstance(self._launcher, SweepLauncher):
                if jobs:
                    self._launcher.launch_jobs(manifest, jobs)
                return None
            # Hydra's launchers count on from the first number.
            for _, group in groupby(enumerate(jobs), lambda place: place[1][0].number - place[0]):
                in_a_row = [job for _, (job, _) in group]
                self._launcher.launch([overrides_in_place(job) for job in in_a_row], in_a_row[0].number)
        except BaseException as error:
            return error
        return None


def _left(manifest: Manifest) -> list[Job]:
    """The jobs of a sweep that are to be run again, and a word on the others."""
    results, code = outcomes(manifest, slurm.ask(manifest.ids)), provenance.current()
    log.info("%s: %s", manifest.root, counts(results))
    for result in results:
        if result.state in (QUEUED, RUNNING):
            name = f" ({result.job.id})" if result.job.id else ""
            log.info("Job %d is %s%s: left alone", result.job.number, result.state, name)
    left = [result.job for result in results if result.state in TO_RUN]
    others = sorted({str(result.job.code) for result in results if result.job not in left} - {str(code)})
    if left and others:
        log.info("The code has changed: code/%s runs now, the other jobs took code/%s", code, ", ".join(others))
    return left


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """One process at a time looks after the sweep of a directory, which its jobs inherit."""
    root.mkdir(parents=True, exist_ok=True)
    os.environ[SWEEP] = str(root)
    with sole_user(
        root / ".sweep.lock", f"Another process is looking after the sweep in {root}: wait for it, or stop it."
    ):
        yield


def report(manifest: Manifest) -> list[Outcome]:
    """What became of every job, in a table."""
    results = outcomes(manifest, slurm.ask(manifest.ids))
    job_table.write(manifest, results)
    job_table.show(manifest, results)
    return results


@contextmanager
def tracked(
    manifest: Manifest, config: DictConfig, facts: Mapping[str, str] = MappingProxyType({})
) -> Iterator[list[Outcome]]:
    """The sweep's entry in the tracking, which its jobs gather below; it ends with the table, unless jobs go on.

    Args:
        manifest: of the sweep.
        config: of one of its jobs, which says where to track.
        facts: tags that are known at the end.

    Yields:
        A list to be filled with what became of the jobs.
    """
    results: list[Outcome] = []
    root, tracker = manifest.root, None
    HydraConfig.instance().set_config(config)  # paths in it are Hydra's
    tags = {
        "sedsep.command": manifest.command,
        "sedsep.sweep_dir": str(root),
        "sedsep.jobs": str(len(manifest.jobs)),
    }
    if version := provenance.commit(provenance.PROJECT):
        tags["mlflow.source.git.commit"] = version
    with _forgiven():
        tracker = build(OmegaConf.to_container(config.logger, resolve=True)).sweep(
            root, "/".join(root.parts[-2:]), tags
        )
    yield results
    states = {result.state for result in results}
    if tracker is not None and not states & {QUEUED, RUNNING}:
        with _forgiven():
            tracker.tags(facts)
            tracker.metrics({f"sweep/{name}": float(sum(one.state == name for one in results)) for name in ORDER})
            for file in (job_table.MARKDOWN, job_table.CSV):
                tracker.artifact(root / file)
            tracker.close(FAILED if FAILED in states else INTERRUPTED if states & {INTERRUPTED, MISSING} else FINISHED)


@contextmanager
def _forgiven() -> Iterator[None]:
    """A store that makes trouble costs a warning, never the sweep."""
    try:
        yield
    except Exception as error:
        log.warning("The sweep's tracking fails: %s", error)


def _conclude(manifest: Manifest, results: Sequence[Outcome], stop: BaseException | None) -> None:
    """End the sweep's process as it went.

    Raises:
        UserError: not every job finished.
        BaseException: what stopped the launcher.
    """
    again = go_on(manifest.root)
    going_on = [result for result in results if result.state in (QUEUED, RUNNING)]
    if isinstance(stop, Stopped):
        if ids := sorted({result.job.id.split("_")[0] for result in going_on if result.job.id}):
            log.info("The jobs go on in SLURM (scancel %s would end them)", " ".join(ids))
        log.info("See how they do, and go on: %s", again)
    if stop is not None:
        raise stop
    all_jobs = f"of {len(results)} jobs"
    if left := [result for result in results if result.state in TO_RUN]:
        raise UserError(f"{len(left)} {all_jobs} did not finish: mend what the table names and go on with {again}.")
    if going_on:
        raise UserError(f"{len(going_on)} {all_jobs} are still queued or running: ask again later with {again}.")


def go_on(root: Path) -> str:
    """The command that goes on with a sweep."""
    return f"{PROGRAM} -m sweep.resume={shlex.quote(str(root))}"
