"""Searches with Optuna: what is tried, that a stopped search goes on as if it had not been, and what is refused."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from minis import refused
from tiny import TINY, write_tiny_set

from sedsep.runs.command_line import resolvers
from sedsep.runs.command_line.arguments import combinations
from sedsep.runs.directories import occupied
from sedsep.runs.launchers.base import Jobs, SweepLauncher
from sedsep.runs.provenance import PROJECT
from sedsep.runs.search import FILE, Search, space
from sedsep.runs.search_sweeper import SearchSweeper
from sedsep.runs.sweeps import SWEEP, Manifest

pytest.importorskip("optuna")

TRIED = ("seed=range(0,40)", "model=separator,separator_dprnn", "duration=interval(1,9)")
SCORE = "test/ca_sdri/tagger"


class Launcher(SweepLauncher):
    """Leaves behind what a training of some number of trials would; its score is best at seed=20 and duration=3.

    Args:
        dies: called with the number of a job before it is run.
    """

    def __init__(self, dies: Callable[[int], object] = lambda _: None) -> None:
        self.dies, self.batches = dies, list[list[int]]()

    def setup(self, **_: object) -> None:
        """Nothing to keep."""

    def check(self, jobs: Jobs) -> None:
        """All can be run."""

    def launch_jobs(self, manifest: Manifest, jobs: Jobs) -> None:
        self.batches.append([job.number for job, _ in jobs])
        for job, config in jobs:
            self.dies(job.number)
            run_dir = manifest.run_dir(job)
            try:
                with occupied(run_dir, "train", str):
                    if config.seed % 7 == 0:
                        raise ValueError("a loss that is not finite")
                    score = -abs(config.seed - 20) - (config.duration - 3) ** 2
                    (run_dir / "metrics.json").write_text(json.dumps({SCORE: score, "test/sdr/oracle": -score}))
            except ValueError:
                pass


Sweep = Callable[..., Launcher]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sweep]:
    """Runs a search in a directory of the test, by `launcher`, with options of the sweeper."""
    resolvers.register()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(SWEEP, "")
    with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()

        def run(launcher: Launcher, *overrides: str, name: str = "widths", tried: Sequence[str] = TRIED) -> Launcher:
            hydra = ["hydra/sweeper=optuna", f"hydra.sweeper.study_name={name}", "logger=none", *overrides]
            config = loader.load_configuration("config", hydra, RunMode.MULTIRUN)
            options = {str(key): value for key, value in config.hydra.sweeper.items() if key != "_target_"}
            sweeper = SearchSweeper(**options)
            sweeper._config, sweeper._loader, sweeper._launcher = config, loader, launcher
            sweeper.sweep(["logger=none", *tried])
            return launcher

        yield run


def jobs(root: Path, name: str = "widths") -> list[list[str]]:
    return [job["overrides"] for job in json.loads((root / "multirun" / name / "sweep.json").read_text())["jobs"]]


def test_it_runs_batches_and_ends_with_the_best(sweep: Sweep, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        launcher = sweep(Launcher(), "hydra.sweeper.n_trials=7", "hydra.sweeper.n_jobs=4")
    assert launcher.batches == [[0, 1, 2, 3], [4, 5, 6]]
    tried = jobs(tmp_path)
    assert len({tuple(one) for one in tried}) == 7
    assert all(one[0] == "logger=none" for one in tried)
    values = [(int(one[1].split("=")[1]), float(one[3].split("=")[1])) for one in tried]
    best = min(abs(seed - 20) + (duration - 3) ** 2 for seed, duration in values if seed % 7)
    assert f"with {-best:.4g}" in caplog.text


def test_it_learns_from_the_trials_before(sweep: Sweep, tmp_path: Path) -> None:
    distributions, shared = space(["a=interval(0,1)", "b=x,y,z"], None)
    search, scores = Search(tmp_path, "x", distributions, "maximize", 0, shared), []
    for number in range(40):
        search.ask()
        a, b = (text.split("=")[1] for text in search.open()[number])
        scores.append(-abs(float(a) - 0.3) + (b == "y"))
        search.tell(number, scores[-1] if number != 7 else math.nan)  # one fails
    assert sum(scores[20:]) > 1.5 * sum(scores[:20])
    assert search.best() == (scores.index(max(scores)), max(scores))
    assert len(search.told) == 40


def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(sweep: Sweep, tmp_path: Path) -> None:
    sweep(Launcher(), "hydra.sweeper.n_trials=6", "hydra.sweeper.n_jobs=2", name="whole")

    def dies(number: int) -> None:
        if number == 3 and not (tmp_path / "died").exists():
            (tmp_path / "died").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sweep(Launcher(dies), "hydra.sweeper.n_trials=5", "hydra.sweeper.n_jobs=2")
    again = sweep(Launcher(dies), "hydra.sweeper.n_trials=5", "hydra.sweeper.n_jobs=2")
    assert again.batches == [[3, 4]], "the one that was not run, and a new one"
    assert sweep(Launcher(), "hydra.sweeper.n_trials=6").batches == [[5]]
    assert jobs(tmp_path)[:4] == jobs(tmp_path, "whole")[:4], "trials that knew of the same ones before"
    assert sweep(Launcher(), "hydra.sweeper.n_trials=6").batches == [], "nothing is left to do"


def test_other_numbers_can_be_searched_by_either_way(sweep: Sweep, tmp_path: Path) -> None:
    options = ("hydra.sweeper.metric=test/sdr/oracle", "hydra.sweeper.direction=minimize", "hydra.sweeper.n_trials=2")
    sweep(Launcher(), *options, tried=["seed=20,22"])
    search = Search(tmp_path / "multirun" / "widths", "widths", *_about(["seed=20,22"], "test/sdr/oracle", "minimize"))
    assert search.best()[1] == min(abs(int(job[1].split("=")[1]) - 20) + 49 for job in jobs(tmp_path))


def _about(tried: list[str], metric: str, direction: str) -> tuple[object, ...]:
    distributions, shared = space(["logger=none", *tried], GlobalHydra.instance().config_loader())
    return distributions, direction, 0, [*shared, metric]


def test_numbers_are_drawn_as_hydra_means_them(sweep: Sweep, tmp_path: Path) -> None:
    tried = [
        "a=int(interval(1,3))",
        "b=tag(log,interval(0.001,1))",
        "c=range(10,0,-4)",
        "d=range(0.0,1.0,0.5)",
        "e=choice([1,2],x)",
    ]
    distributions, shared = space(["f=1", *tried], None)
    assert shared == ["f=1"]
    search = Search(tmp_path, "x", distributions, "maximize", 0, shared)
    for _ in range(40):
        search.ask()
    drawn = [dict(text.split("=") for text in trial) for trial in search.open().values()]
    values = {key: {row[key] for row in drawn} for key in "abcde"}
    assert values["a"] == {"1", "2", "3"}
    assert values["c"] == {"2", "6", "10"}
    assert values["d"] == {"0.0", "0.5"}
    assert values["e"] == {"[1,2]", "x"}
    assert sum(float(one) < 0.03 for one in values["b"]) > 8, "as many below the middle of the logarithms as above"


def test_what_cannot_be_searched_is_refused_before_anything_runs(sweep: Sweep, tmp_path: Path) -> None:
    launcher = Launcher()
    with refused("Nothing is searched"):
        sweep(launcher, tried=[])
    with refused("has the tag slow"):
        sweep(launcher, tried=["seed=tag(slow,choice(1,2))"])
    with refused("cannot be searched"):
        sweep(launcher, tried=["duration=interval(3,1)"])
    with refused("There is no group or option 'sed_size'"):
        sweep(launcher, tried=["sed_size=1,2"])
    with refused("leaves no score to search by"):
        sweep(launcher, tried=["task=verify", "seed=1,2"])
    with refused("has no end of values: search it with hydra/sweeper=optuna"):
        combinations(["duration=interval(1,2)"])
    assert not launcher.batches
    sweep(Launcher(), "hydra.sweeper.n_trials=3", name="begun")
    with refused("searches something else"):
        sweep(launcher, name="begun", tried=["seed=1,2"])
    (tmp_path / "multirun" / "begun" / "sweep.json").unlink()
    with refused("other jobs than its study has trials"):
        sweep(launcher, "hydra.sweeper.n_trials=4", name="begun")
    (tmp_path / "multirun" / "begun" / FILE).write_bytes(os.urandom(4096))
    with refused("is no study of Optuna's"):
        sweep(launcher, name="begun")


def test_a_library_that_is_missing_is_a_sentence(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with refused(r"pip install 'sedsep\[search\]'"):
        sweep(Launcher())


@pytest.mark.slow
def test_trainings_that_were_killed_go_on_below_one_run_of_the_tracking(tmp_path: Path) -> None:
    import mlflow

    write_tiny_set(tmp_path / "set")
    command = [
        sys.executable, str(PROJECT / "run.py"), "-m", *TINY, f"data.root={tmp_path / 'set'}", "conditioning=none",
        "model=separator", "task.label_sources=[oracle]", "scale.separator.lr=tag(log,interval(1e-4,1e-2))",
        "hydra/sweeper=optuna", "hydra.sweeper.study_name=rates", "hydra.sweeper.n_trials=3", "hydra.sweeper.n_jobs=2",
    ]  # fmt: skip
    env, root = {**os.environ, "SEDSEP_CACHE": str(tmp_path / "cache")}, tmp_path / "multirun" / "rates"
    process = subprocess.Popen(command, cwd=tmp_path, env=env)
    while not (root / "1" / "status.json").is_file():
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    first = (root / "0" / "status.json").read_text()
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Best of 3 trials: job" in done.stdout
    assert (root / "0" / "status.json").read_text() == first, "what had finished was left alone"
    assert {job["number"] for job in json.loads((root / "sweep.json").read_text())["jobs"]} == {0, 1, 2}

    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("sedsep").experiment_id])
    (parent,) = (run for run in runs if "sedsep.best" in run.data.tags)
    children = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parent.info.run_id}
    assert [run.info.status for run in runs] == ["FINISHED"] * 4
    scores = [run.data.metrics["test/ca_sdri/oracle"] for run in children]
    assert f"with {max(scores):.4g}" in parent.data.tags["sedsep.best"]
