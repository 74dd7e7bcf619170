"""What launchers refuse, ask for and promise, without Hydra and without a cluster."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from minis import refused
from omegaconf import DictConfig, OmegaConf

from sedsep.runs import slurm
from sedsep.runs.directories import FINISHED, INTERRUPTED
from sedsep.runs.launchers.local import LocalLauncher
from sedsep.runs.launchers.slurm import SlurmLauncher
from sedsep.runs.sweeps import Job, Manifest, outcomes

ROOT = Path(__file__).parents[3]


def job(number: int = 0, *overrides: str, **trainer: Any) -> tuple[Job, DictConfig]:
    config = OmegaConf.create({"trainer": {"accelerator": "cpu", "devices": 1, **trainer}})
    return Job(number, overrides, directory=str(number)), config


def slurm_launcher(**options: Any) -> SlurmLauncher:
    defaults = OmegaConf.load(ROOT / "conf" / "hydra" / "launcher" / "slurm.yaml")
    assert isinstance(defaults, DictConfig)
    del defaults["_target_"]
    return SlurmLauncher(**{**OmegaConf.to_container(defaults), "name": "job", **options})


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for SLURM's commands: sbatch keeps what it is given."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in {
        "sbatch": f'cat "$1" > {tmp_path}/submitted; echo "Submitted batch job 7"',
        "srun": "",
        "squeue": "echo '7_0|COMPLETED'; echo '7_1|OUT_OF_MEMORY'",
    }.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


@pytest.mark.parametrize("trainer", [{"devices": 2}, {"devices": [0, 1]}, {"num_nodes": 2}])
def test_training_on_several_devices_is_no_job_for_the_local_launcher(trainer: dict[str, Any]) -> None:
    with refused("gives each job one device"):
        LocalLauncher(None).check([job(), job(1, **trainer)])
    LocalLauncher(None).check([job(devices="auto"), job(devices=1)])


def test_slurm_is_asked_for_what_jobs_train_on(commands: Path) -> None:
    slurm_launcher(gpus=0).check([job()])
    slurm_launcher(gpus=4, nodes=2).check([job(devices=4, num_nodes=2), job(devices="auto", num_nodes=2)])
    slurm_launcher(gpus=0, tasks_per_node=2).check([job(devices=2)])
    with refused("hydra.launcher.gpus=2"):
        slurm_launcher(gpus=1).check([job(), job(1, devices=2)])
    with refused("trainer.num_nodes=2"):
        slurm_launcher().check([job(num_nodes=2)])


def test_slurm_is_looked_for_where_the_sweep_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    with refused("needs SLURM's commands"):
        slurm_launcher().check([job()])


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    jobs = [job(number)[0] for number in range(2)]
    made = Manifest(tmp_path, jobs, "python run.py", str(tmp_path), 0.0)
    made.write()
    return made


def submitted(manifest: Manifest, **options: Any) -> list[str]:
    launcher = slurm_launcher(poll_s=0.01, **options)
    launcher.launch_jobs(manifest, [job(0, "seed=1"), job(1, "seed=2")])
    return (manifest.root / "submitted").read_text().splitlines()


def test_the_batch_file_asks_for_what_the_options_say(
    manifest: Manifest, commands: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/sweep/code/abc")
    lines = submitted(
        manifest,
        **{
            "gpus": 4,
            "partition": "a",
            "account": "b",
            "qos": "c",
            "constraint": "d",
            "mem_gb": 64,
            "cpus_per_task": 8,
        },
        timeout_min=90,
        setup=["module load x"],
        additional_parameters={"nice": 100},
        array_parallelism=1,
    )
    asked = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}
    assert asked >= {
        *("gpus-per-node=4", "ntasks-per-node=4", "nodes=1", "partition=a", "account=b", "qos=c", "constraint=d"),
        *("mem=64GB", "cpus-per-task=8", "time=90", "signal=USR2@120", "nice=100", "array=0-1%1", "job-name=job"),
        *("requeue", "open-mode=append"),
    }
    code = lines.index("export PYTHONSAFEPATH=1 PYTHONPATH=/sweep/code/abc${PYTHONPATH:+:$PYTHONPATH}")
    assert lines.index("module load x") < code
    (run,) = [line for line in lines if line.startswith("srun")]
    assert "--open-mode=append" in run


def test_a_partition_without_gpus_is_not_asked_for_any(manifest: Manifest, commands: Path) -> None:
    lines = submitted(manifest, gpus=0)
    assert not [line for line in lines if line.startswith(("#SBATCH --gpu", "#SBATCH --gres"))]
    assert "#SBATCH --ntasks-per-node=1" in lines


def test_job_ids_are_written_and_what_slurm_ended_is_noted(manifest: Manifest, commands: Path) -> None:
    submitted(manifest, gpus=0)
    known = Manifest.read(manifest.root)
    assert known.ids == ["7_0", "7_1"]
    assert known.jobs[0].log == "slurm/7_0/7_0_0_log.out"
    assert [job.note for job in known.jobs] == [None, "SLURM ended it: OUT_OF_MEMORY"]
    assert outcomes(known, {})[1].cause == "SLURM ended it: OUT_OF_MEMORY"


def test_what_sbatch_refuses_is_told_in_its_words(manifest: Manifest, commands: Path) -> None:
    (commands / "sbatch").write_text("#!/bin/sh\necho 'sbatch: error: invalid partition specified: x' >&2; exit 1\n")
    with refused("invalid partition specified: x"):
        submitted(manifest, partition="x")


def test_slurm_may_be_away_or_have_forgotten(commands: Path) -> None:
    assert slurm.ask([]) == {}
    assert slurm.ask(["7_0"]) == {"7_0": "COMPLETED", "7_1": "OUT_OF_MEMORY"}
    (commands / "squeue").write_text("#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1\n")
    assert slurm.ask(["7_0"]) == {}
    assert slurm.state("7_0", {}) == slurm.OVER
    (commands / "squeue").write_text("#!/bin/sh\necho 'Unable to contact slurm controller' >&2; exit 1\n")
    assert slurm.ask(["7_0"]) is None
    assert slurm.state("7_0", None) is None


JOB = """
import json, os, sys
from pathlib import Path
from sedsep.runs.directories import occupied
given = dict(text.split("=", 1) for text in sys.argv[1:])
print(json.dumps({**given, **{name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}}))
with occupied(Path(given["hydra.run.dir"].strip("'")), "train", str):
    if given["seed"] == "1":
        os.kill(os.getpid(), 9)
"""


def local_launcher(folder: Path, jobs: int, monkeypatch: pytest.MonkeyPatch) -> LocalLauncher:
    """One whose jobs run a script that stands in for the suite."""
    (folder / "job.py").write_text(JOB)
    monkeypatch.setattr("sedsep.runs.launchers.local.START", (sys.executable, str(folder / "job.py")))
    how = ["hydra/launcher=local", "hydra.sweep.dir=/s", "hydra.mode=MULTIRUN", "hydra.verbose=true"]
    launcher = LocalLauncher(jobs)
    config = OmegaConf.create({"hydra": {"overrides": {"hydra": how}}})
    launcher.setup(hydra_context=None, task_function=None, config=config)  # type: ignore[arg-type]
    return launcher


def test_local_jobs_are_processes_of_their_own_that_survive_each_other(
    tmp_path: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    jobs = [job(0, "seed=1", accelerator="gpu"), job(1, "seed=2", accelerator="gpu")]
    local_launcher(tmp_path, 2, monkeypatch).launch_jobs(manifest, jobs)
    killed, done = outcomes(manifest, {})
    assert (killed.state, killed.cause) == (INTERRUPTED, "Killed by SIGKILL")
    assert done.state == FINISHED
    told = [json.loads((tmp_path / str(number) / "job.log").read_text().splitlines()[0]) for number in range(2)]
    assert {one["CUDA_VISIBLE_DEVICES"] for one in told} == {"3", "5"}
    assert told[1]["seed"] == "2"
    assert told[1]["hydra.verbose"] == "true"
    assert told[1]["hydra.run.dir"] == f"'{tmp_path / '1'}'"
    assert not {"hydra/launcher", "hydra.sweep.dir", "hydra.mode"} & set(told[1])
