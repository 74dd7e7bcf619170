"""hydra/sweeper=optuna: jobs that Optuna chooses by the scores of those before; stopped, the same command goes on."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import DictConfig

from sedsep.errors import UserError
from sedsep.files import read_json
from sedsep.runs import slurm
from sedsep.runs.command_line import inherited
from sedsep.runs.command_line.arguments import check
from sedsep.runs.directories import FAILED, FINISHED, RUNNING
from sedsep.runs.launchers.base import SweepLauncher
from sedsep.runs.search import Search, library, space
from sedsep.runs.slurm import QUEUED
from sedsep.runs.sweeper import ResumableSweeper, alone, report, tracked
from sedsep.runs.sweeps import FILE, TO_RUN, Job, Manifest, Outcome, outcomes

log = logging.getLogger(__name__)

SCORED = ("train", "evaluate")
"""Tasks that leave scores."""


class SearchSweeper(ResumableSweeper):
    """Has Optuna choose the jobs, a batch at a time; the same command goes on with a search that was stopped.

    A job that was killed or stopped goes on from its checkpoint. One that failed counts as a trial without a score.

    Args:
        params: overrides beside those of the command line, in Hydra's grammar, too.
        study_name: of the study, and of its directory.
        n_trials: in all, those of earlier commands and those that failed included.
        n_jobs: of a batch, which the launcher may run at once.
        direction: `maximize` or `minimize`.
        metric: entry of metrics.json to search by; `None` for the one that ranks, as the sweep's table shows it.
        seed: of all draws.
    """

    def __init__(
        self,
        params: Mapping[str, str] | None,
        study_name: str,
        n_trials: int,
        n_jobs: int,
        direction: str,
        metric: str | None,
        seed: int,
    ) -> None:
        super().__init__(params)
        self._name, self._n_trials, self._n_jobs = study_name, n_trials, n_jobs
        self._direction, self._metric, self._seed = direction, metric, seed

    def sweep(self, arguments: list[str]) -> None:
        """Run the search, or what is left of it.

        Raises:
            UserError: nothing can be searched as it is asked for, before any job has started; or jobs did not finish.
        """
        library()
        given = [*self._params, *arguments]
        check(given, self._loader, True)
        distributions, shared = space(given, self._loader)
        config = self._composed(Job(0, tuple(shared)))  # but for what is searched
        if (task := str(config.hydra.runtime.choices.task)) not in SCORED:
            raise UserError(f"task={task} leaves no score to search by: choose one of {', '.join(SCORED)}.")
        root = Path(self._config.hydra.sweep.dir).absolute()
        with alone(root):
            inherited.check_links(root)
            about = [*shared, str(self._metric)]
            search = Search(root, self._name, distributions, self._direction, self._seed, about)
            manifest = self._manifest_of(root, search)
            self._tell(search, manifest)
            self._launched: set[int] = set()
            batch = self._batch(search, manifest, shared)
            facts: dict[str, str] = {}
            with tracked(manifest, config, facts) as results:
                stop = None
                while batch and stop is None:
                    stop = self._launch(manifest, batch)
                    self._tell(search, manifest)
                    batch = self._batch(search, manifest, shared) if stop is None else []
                results.extend(report(manifest))
                facts |= {"sedsep.jobs": str(len(results)), "sedsep.best": self._best(search, manifest)}
        log.info("%s", facts["sedsep.best"])
        _conclude(manifest, results, stop)

    def _manifest_of(self, root: Path, search: Search) -> Manifest:
        """The jobs until now.

        Raises:
            UserError: they are not those of the study.
        """
        manifest = Manifest.read(root) if (root / FILE).is_file() else self._manifest(root, [])
        known = len(manifest.jobs)
        if known > len(search) or any(number >= known for number in search.told):
            raise UserError(f"{root} has other jobs than its study has trials: give another study_name.")
        return manifest

    def _batch(self, search: Search, manifest: Manifest, shared: Sequence[str]) -> list[tuple[Job, DictConfig]]:
        """The next jobs to launch, written down: trials that were stopped first, and new ones."""
        states = {result.job.number: result.state for result in outcomes(manifest, slurm.ask(manifest.ids))}

        def waiting() -> list[int]:
            over = {number for number, state in states.items() if state in (QUEUED, RUNNING)} | self._launched
            return [number for number in search.open() if number not in over][: self._n_jobs]

        while len(waiting()) < self._n_jobs and len(search) < self._n_trials:
            search.ask()
        batch, trials = [], search.open()
        for number in waiting():
            overrides = (*shared, *trials[number])
            if number == len(manifest.jobs):
                manifest.jobs.append(Job(number, overrides))
            batch.append(self._prepared(manifest, manifest.record(number, overrides=overrides)))
        if isinstance(self._launcher, SweepLauncher):
            self._launcher.check(batch)
        self._launched |= {job.number for job, _ in batch}
        manifest.write()
        return batch

    def _tell(self, search: Search, manifest: Manifest) -> None:
        """Tell how those of the open trials went whose jobs have finished or failed."""
        trials = search.open()
        for result in outcomes(manifest, slurm.ask(manifest.ids)):
            if result.job.number in trials and result.state in (FINISHED, FAILED):
                score = self._score(manifest, result)
                if result.state == FINISHED and score is None:
                    log.warning("Job %d has no score %s and counts as failed", result.job.number, self._metric or "")
                search.tell(result.job.number, score)

    def _score(self, manifest: Manifest, result: Outcome) -> float | None:
        if self._metric is None or result.state != FINISHED:
            return result.score
        file = manifest.run_dir(result.job) / "metrics.json"
        scores = read_json(file, dict[str, float | None], "score the job again") if file.is_file() else {}
        return scores.get(self._metric)

    def _best(self, search: Search, manifest: Manifest) -> str:
        """A sentence on the best trial."""
        if (best := search.best()) is None:
            return "No trial has a score yet."
        number, value = best
        chosen = " ".join(manifest.jobs[number].overrides)
        return f"Best of {len(search.told)} trials: job {number} with {value:.4g} ({chosen})"


def _conclude(manifest: Manifest, results: Sequence[Outcome], stop: BaseException | None) -> None:
    """End the search's process as it went.

    Raises:
        UserError: a job was stopped, or goes on, or all failed.
        BaseException: what stopped the launcher.
    """
    left = [result for result in results if result.state in (*TO_RUN, QUEUED, RUNNING) and result.state != FAILED]
    if stop is not None:
        log.info("The same command goes on with the search: %s", manifest.command)
        raise stop
    if left:
        raise UserError(f"{len(left)} of {len(results)} jobs did not finish: the same command goes on with them.")
    if all(result.state == FAILED for result in results):
        raise UserError(f"All of {len(results)} jobs failed: mend what the table names, and give another study_name.")
