"""What a study launches: what was interrupted goes on, what nobody has tried is new, what is at work is left alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from minis import refused
from small_study import config_of, scored

from sedsep.runs.directories import occupied
from sedsep.runs.sweeps import Job, Manifest
from sedsep.studies import command
from sedsep.studies.progress import Progress
from sedsep.studies.study import Cell, Study

ROOT = Path(__file__).parents[2]
CellsOf = Callable[..., list[Cell]]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def sweep(name: str, **states: str) -> Path:
    """A sweep whose jobs, of plain and other at seed 0, ended as told."""
    root = Path("multirun/studies") / name.replace("/", "/mini-synthetic/")
    jobs = [Job(n, (f"experiment={row}", "seed=0"), directory=str(n)) for n, row in enumerate(states)]
    root.mkdir(parents=True)
    Manifest(root, jobs, "python run.py", str(Path.cwd()), 0.0).write()
    for number, state in enumerate(states.values()):
        if state != "not started":
            (root / str(number)).mkdir()
            status = {"state": state, "task": "train", "host": "h", "pid": 1, "started": 0.0, "ended": 1.0}
            cause = {"cause": "Out of memory."} if state == "failed" else {}
            (root / str(number) / "status.json").write_text(json.dumps(status | cause))
    return root


@pytest.fixture
def launched(
    study: Study, cells_of: CellsOf, uri: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], tuple[list[list[str]], list[str]]]:
    """The arguments that run.py would get, and why cells are missing before that."""

    def launch() -> tuple[list[list[str]], list[str]]:
        calls: list[list[str]] = []
        monkeypatch.setattr(command, "_run", lambda _, arguments: calls.append(list(arguments)))
        config = config_of(tracking_uri=uri, experiment="sedsep")
        progress = Progress("small", [cell for cell in cells_of() if cell.seed == 0], config)
        hydra = ["hydra/launcher=slurm"]
        command.launch(study.run_py, "small", progress, hydra)
        return calls, [progress.why(cell) for cell in progress.missing]

    return launch


def test_what_nobody_tried_is_a_new_sweep_below_the_studys_directory(launched: Callable) -> None:
    ((*arguments, tags, launcher, directory),), why = launched()
    assert [*arguments, launcher] == ["-m", "experiment=plain,other", "seed=0", "hydra/launcher=slurm"]
    assert tags.startswith("logger.tags={study:small,settings:'mini-synthetic',row:")
    assert directory.startswith("hydra.sweep.dir=multirun/studies/small/mini-synthetic/")
    assert why == ["not launched", "not launched"]


@pytest.mark.parametrize("state", ["failed", "interrupted", "not started"])
def test_what_did_not_finish_goes_on_where_it_was(launched: Callable, state: str) -> None:
    root = sweep("small/1", plain=state)
    calls, why = launched()
    assert calls[0][:2] == ["-m", f"sweep.resume={root}"]
    assert calls[0][2].startswith("logger.tags={study:small,"), "a sweep's directory does not say where results go"
    assert calls[0][3:] == ["hydra/launcher=slurm"]
    assert calls[1][1] == "experiment=other"
    causes = {"failed": ": Out of memory.", "interrupted": ": It was killed or stopped before its end."}
    assert why[0] == f"{state} ({root}/0){causes.get(state, '')}"


def test_the_latest_sweep_of_a_cell_counts(launched: Callable) -> None:
    sweep("small/1", plain="failed", other="failed")
    later = sweep("small/2", plain="interrupted", other="interrupted")
    calls, _ = launched()
    assert [call[1] for call in calls] == [f"sweep.resume={later}"]


def test_what_is_at_work_is_left_alone_also_in_another_studys_sweep(launched: Callable) -> None:
    root = sweep("table9/1", plain="interrupted", other="interrupted")
    with occupied(root / "0", "train", str):
        calls, why = launched()
    assert why == [f"running ({root}/0)", "not launched"]
    assert [call[1] for call in calls] == [
        "experiment=other"
    ]  # what another study has stopped is its own to go on with


def test_what_finished_and_did_not_arrive_is_not_done_again(launched: Callable, track: Callable) -> None:
    root = sweep("small/1", plain="finished", other="finished")
    calls, why = launched()
    assert calls == []
    assert why[0].endswith(f"MLflow has no such run (python run.py task=sync task.root={root} sends it)")
    run = track("plain", 0, {"test/ca_sdri/tagger": 1.0})  # it arrived without a number that is asked for
    track("other", 0, scored())
    calls, (why,) = launched()
    assert calls == []
    assert why.startswith(f"run {run} has no ca_sdri/oracle")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_study_that_is_told_to_stop_waits_for_its_sweep_to_tidy_up(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "run.py").write_text(
        textwrap.dedent("""\
        import signal, sys, time
        def stop(number, frame):
            time.sleep(0.5)
            open("tidied", "a").write(f"{number}\\n")
            sys.exit(1)
        signal.signal(signal.SIGINT, stop); signal.signal(signal.SIGTERM, stop)
        open("started", "w").close()
        time.sleep(60)
        """)
    )
    call = textwrap.dedent("""\
        from pathlib import Path
        from sedsep.signals import stoppable
        from sedsep.studies import command
        with stoppable():
            command._run(Path("run.py"), [])
        """)
    process = subprocess.Popen([sys.executable, "-c", call], stderr=subprocess.DEVNULL, start_new_session=True)
    while not Path("started").exists():
        time.sleep(0.05)
    process.send_signal(number)
    assert process.wait(timeout=20) == 128 + number
    assert Path("tidied").read_text() == f"{int(number)}\n"


def test_overrides_of_the_study_of_the_jobs_and_of_the_launcher(study: Study) -> None:
    arguments = ["seed=3,1,3", "scale=paper", "--collect", "hydra/launcher=slurm", "out=there", "hydra.launcher.gpus=2"]
    request = command.parse(study, arguments)
    assert request.seeds == [3, 1]
    assert request.overrides == ("scale=paper",)
    assert request.hydra == ["hydra/launcher=slurm", "hydra.launcher.gpus=2"]
    assert request.out == Path("there")
    assert request.collect
    assert command.parse(study, []).seeds == [0, 1, 2]
    assert command.parse(study, ["weights=w"]).seeds == [0]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["seed=a"], "seed=a"),
        (["seed="], "seed="),
        (["experiment=plain"], "experiment"),
        (["hydra.sweep.dir=x"], "hydra.sweep.dir"),
        (["logger.tags={a:b}"], "logger.tags"),
        (["weights=w", "seed=1"], "seed"),
        (["conditioning=none,soundbeam"], "conditioning=none,soundbeam"),
    ],
)
def test_arguments_that_are_not_meant_for_a_study(study: Study, arguments: list[str], named: str) -> None:
    with refused(named):
        command.parse(study, arguments)


def test_checkpoints_to_score_must_be_there(study: Study, tmp_path: Path) -> None:
    request = command.parse(study, [f"weights={tmp_path}", "a=1"])
    (tmp_path / "plain.sedsep.ckpt").touch()
    with refused("has no other.sedsep.ckpt"):
        command.run(study, request)


def test_the_config_is_that_of_run_py_and_its_error_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config: dict[str, Any] = command.composed(ROOT / "run.py", ["scale=paper", "experiment=separator_dprnn"])
    assert config["scale"]["name"] == "paper"
    assert config["logger"]["tracking_uri"] == f"sqlite:///{tmp_path}/mlflow.db"
    with refused("conditionin"):
        command.composed(ROOT / "run.py", ["conditionin=none"])
