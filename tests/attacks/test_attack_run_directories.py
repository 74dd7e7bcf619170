"""Directories of runs and sweeps that somebody else prepared: what they say is a value or refused, nothing called."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import assert_accepted, assert_refused, assert_refuses, command
from tiny import TINY, write_tiny_set

import sedsep.tasks  # noqa: F401 - registers the resolvers
from sedsep.errors import UserError
from sedsep.runs.command_line.inherited import launching
from sedsep.runs.command_line.starting import continued
from sedsep.runs.provenance import take
from sedsep.runs.sweeps import Job, Manifest
from sedsep.wiring import NETWORKS, build

pytestmark = pytest.mark.slow

CANARY = "canary"
"""What hostile overrides would make, in the working directory."""

CALL = f"{{_target_: os.mkdir, path: {CANARY}}}"
WRITE = f"{{_target_: sedsep.files.write_whole, path: {CANARY}, text: x}}"

HOSTILE = [
    "task._target_=os.mkdir",
    "+task._target_=os.mkdir",
    "++task._target_=os.mkdir",
    "paths={run: canary}",
    "++data.prepare._target_=os.mkdir",
    f"++data.prepare={CALL}",
    f"data.prepare={CALL}",
    f"data.prepare={WRITE}",
    f"+data.prepare.inner={CALL}",
    f"data.prepare.seed={CALL}",
    f"data.prepare.labels=[{CALL}]",
    f"data.prepare.labels=[[{WRITE}]]",
    f"+callbacks.x={CALL}",
    f"++callbacks.x={WRITE}",
    f"callbacks.last={CALL}",
    "callbacks.last._target_=os.mkdir",
    "++callbacks.last._args_=[canary]",
    f"++logger={CALL}",
    "logger._target_=os.mkdir",
    "++logger._args_=[canary]",
    "model.network._target_=os.mkdir",
    f"model.network={CALL}",
    f"model.network.separator={CALL}",
    "model.system._target_=builtins.exec",
    "model.system._partial_=false",
    "++model.network._recursive_=false",
    "++model.network._convert_=object",
    f"+conditioning.conditions.x={CALL}",
    "trainer._target_=os.mkdir",
    f"+trainer.callbacks=[{CALL}]",
    f"+trainer.strategy={CALL}",
    "+trainer.profiler._target_=lightning.pytorch.profilers.PyTorchProfiler",
    "+trainer.plugins=canary",
    "+trainer.default_root_dir=canary",
    "+trainer.model_registry=canary",
    "data.module._target_=runpy.run_path",
    f"data.sampler={CALL}",
    "tagger.network._target_=os.mkdir",
    "baseline.optim.optimizer._target_=os.mkdir",
    "hydra.searchpath=[file:///tmp]",
    "hydra/job_logging=canary",
    "hydra.job_logging.handlers.file.filename=canary",
    "+hydra.job_logging.handlers.x={(): os.mkdir}",
    "hydra/launcher=slurm",
    "hydra.launcher.setup=[touch canary]",
    "hydra.run.dir=canary",
    "hydra.sweeper._target_=os.mkdir",
    "+hydra.callbacks.x={_target_: os.mkdir}",
    "hydra.mode=MULTIRUN",
    "sweep.resume=canary",
    "++sweep.resume=canary",
    "seed=${oc.env:HOME}",
    "seed='${oc.env:HOME}'",
    "labels.names=['${oc.env:HOME}']",
    "data.rendering={spans: '${cache_dir:}'}",
    "data.root=${hydra:runtime.cwd}",
    "seed=1,2",
    "seed=choice(1,2)",
    "seed=range(1,3)",
    "model=glob(*)",
    "seed=shuffle(1,2)",
    "labels.names=extend_list(canary)",
    "~callbacks",
    "~callbacks.last",
    "~data.prepare",
    "model@hydra.launcher=tagger",
    "model@_global_=tagger",
    "+model@callbacks=tagger",
    "+sed@conditioning.sed=m2d",
    "data=../../canary",
    "data=/elsewhere/canary",
    "model=_training",
    "model=nothing",
    "model=[separator,tagger]",
    "+nothing=1",
    "nothing.at.all=1",
    "data.rendering={spans._target_: x}",
    "data.rendering={_target_: os.mkdir}",
    "data.rendering[_target_]=os.mkdir",
    "--config-dir=/elsewhere",
    "-m",
    "canary",
    "",
    "=",
    "a=" + "[" * 1000,
    "a={" * 300,
]

LEFT_OUT = [
    "logger.tracking_uri=http://stranger.example",
    "logger.artifacts=canary",
    "++logger.experiment=theirs",
    "paths.work=canary",
    "paths.cache=canary",
    "data.prepare.cache_dir=canary",
    "data.local_copy=canary",
    "callbacks.best.filename=../../canary",
    "+callbacks.best.dirpath=canary",
    "tagger.ckpt=hf:stranger/canary",
    "tagger.ckpt=[mine.ckpt,hf:stranger/canary]",
]

WAYS = {"evaluate": ["task=evaluate", "ckpt=run"], "continue": ["ckpt=run"]}


@pytest.fixture
def begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[object], Path]:
    """A run directory with overrides, or with bytes for them."""
    monkeypatch.chdir(tmp_path)

    def make(overrides: object) -> Path:
        file = tmp_path / "run" / ".hydra" / "overrides.yaml"
        file.parent.mkdir(parents=True)
        file.write_bytes(overrides if isinstance(overrides, bytes) else json.dumps(overrides).encode())
        return file

    return make


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:50])
def test_what_may_run_code_is_refused(begun: Callable[[object], Path], text: str, way: str) -> None:
    begun(["model=tagger", text])
    assert_refuses(lambda: continued(WAYS[way]), "run was begun with", "is not taken from a directory")
    assert not Path(CANARY).exists()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("text", LEFT_OUT)
def test_where_results_go_is_left_out_with_a_word(
    begun: Callable[[object], Path], capsys: pytest.CaptureFixture[str], text: str, way: str
) -> None:
    begun(["seed=3", text])
    arguments = continued(WAYS[way])
    assert "seed=3" in arguments
    assert not any("canary" in argument or "stranger" in argument or "theirs" in argument for argument in arguments)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("Warning: run also asks for")
    assert text in line


VALUES = [
    "seed=7",
    "data.root='/a b/c,d'",
    "data.root=/a b/c\\,d",
    "labels.names=['it\\'s','a,b',\"c d\",null_]",
    "data.rendering={spans: dry}",
    "scale.separator.lr=1e-5",
    "model.ckpt=null",
    "speed.compile=true",
    "data.sampler.events=[1,3]",
    "labels.names=['\\\\','{a}','[b]']",
    "data.root='ends with a backslash \\\\'",
]


@pytest.mark.parametrize("text", VALUES)
def test_a_value_is_taken_as_it_was_meant(begun: Callable[[object], Path], text: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    begun(["logger=none", text])
    choice, taken, _ = continued(WAYS["continue"])
    meant, got = OverridesParser.create().parse_overrides([text, taken])
    assert choice == "logger=none"
    assert (got.key_or_group, got.value()) == (meant.key_or_group, meant.value())


DAMAGED = {
    "empty": b"",
    "no list": b"seed: 3",
    "a word": b"seed=3",
    "numbers in lists": b"- [1, 2]",
    "a mapping inside": b"- {a: b}",
    "not YAML": b"- 'a\n- b: [",
    "binary": bytes(range(256)),
    "not UTF-8": b"- seed=\xff\xfe",
    "a zero byte": b"- seed=3\0",
    "large": b"- seed=3\n" * 10_000,
    "many": b"- a=3\n" * 600,
    "deep": b"[" * 20_000,
    "a bomb": b"- &a [x, x]\n" + b"".join(b"- &%c [*%c, *%c]\n" % (c + 1, c, c) for c in range(97, 120)),
    "merges": b"- &a {k: v}\n" + b"".join(b"- &%c {<<: [*%c, *%c]}\n" % (c + 1, c, c) for c in range(97, 120)),
    "an object": b"!!python/object/apply:os.mkdir [canary]",
    "an object inside": b"- !!python/object/apply:os.mkdir [canary]",
    "itself": b"&a [*a]",
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_overrides_are_refused(begun: Callable[[object], Path], kind: str) -> None:
    begun(DAMAGED[kind])
    assert_refuses(lambda: continued(WAYS["continue"]), "run" if kind == "an object" else "overrides.yaml is damaged")
    assert not Path(CANARY).exists()


@pytest.mark.parametrize("seed", range(12))
def test_flipped_bytes_are_refused_or_change_values_alone(begun: Callable[[object], Path], seed: int) -> None:
    draw = random.Random(seed)
    content = bytearray(b"- model=tagger\n- seed=3\n- data.root=/sounds\n")
    for _ in range(draw.randint(1, 3)):
        content[draw.randrange(len(content))] = draw.randrange(256)
    begun(bytes(content))
    try:
        arguments = continued(WAYS["continue"])
    except UserError as error:
        refused = str(error)  # the table above judges how it is said
        assert_refuses(lambda: continued(WAYS["continue"]), refused[:20])
    else:
        keys = {argument.split("=")[0] for argument in arguments}
        assert keys <= {"model", "seed", "data.root", "hydra.run.dir"}


@pytest.mark.parametrize("place", ["checkpoints", ".hydra/config.yaml", "deep/er/last.ckpt"])
def test_a_training_does_not_write_through_links(begun: Callable[[object], Path], tmp_path: Path, place: str) -> None:
    begun(["seed=3"])
    link = tmp_path / "run" / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(tmp_path / CANARY)
    assert_refuses(lambda: continued(WAYS["continue"]), place, "leads out of")


def test_a_directory_of_another_task_is_no_training(begun: Callable[[object], Path]) -> None:
    begun(["task=separate", "audio=/", "task.output=canary"])
    assert_refuses(lambda: continued(WAYS["continue"]), "is no training (task=separate)")


# Sweeps.

JOB = {"number": 0, "overrides": ["seed=1"], "directory": "0"}
SWEEP = {"jobs": [JOB], "command": "c", "cwd": "/", "created": 1.0, "hydra": []}

SWEEPS: dict[str, Any] = {
    "a list": [],
    "null": None,
    "no jobs": {**SWEEP, "jobs": []},
    "jobs are none": {**SWEEP, "jobs": None},
    "a job is a list": {**SWEEP, "jobs": [[]]},
    "overrides are a text": {**SWEEP, "jobs": [{**JOB, "overrides": "seed=1"}]},
    "overrides are numbers": {**SWEEP, "jobs": [{**JOB, "overrides": [1]}]},
    "a number is a text": {**SWEEP, "jobs": [{**JOB, "number": "0"}]},
    "a number is none": {**SWEEP, "jobs": [{**JOB, "number": -1}]},
    "numbers twice": {**SWEEP, "jobs": [JOB, JOB]},
    "a field more": {**SWEEP, "jobs": [{**JOB, "code_": "x"}]},
    "a sweep's field more": {**SWEEP, "more": 1},
    "no command": {name: value for name, value in SWEEP.items() if name != "command"},
    "no cwd": {name: value for name, value in SWEEP.items() if name != "cwd"},
    "a time is a text": {**SWEEP, "created": "today"},
    "hydra is a text": {**SWEEP, "hydra": "hydra/launcher=slurm"},
    "outside": {**SWEEP, "jobs": [{**JOB, "directory": "../canary"}]},
    "outside, later": {**SWEEP, "jobs": [{**JOB, "directory": "a/../../canary"}]},
    "from the root": {**SWEEP, "jobs": [{**JOB, "directory": "/canary"}]},
    "in the code": {**SWEEP, "jobs": [{**JOB, "directory": "code/abc/sedsep"}]},
    "worked out": {**SWEEP, "jobs": [{**JOB, "directory": "${oc.env:HOME}"}]},
    "a log outside": {**SWEEP, "jobs": [{**JOB, "log": "../../canary"}]},
    "code elsewhere": {**SWEEP, "jobs": [{**JOB, "code": "../canary"}]},
    "an id with more": {**SWEEP, "jobs": [{**JOB, "id": "1; touch canary"}]},
    "an id that is an option": {**SWEEP, "jobs": [{**JOB, "id": "--help"}]},
}


@pytest.mark.parametrize("kind", SWEEPS)
def test_a_sweep_that_nobody_wrote_so_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "sweep.json").write_text(json.dumps(SWEEPS[kind]))
    assert_refuses(lambda: Manifest.read(tmp_path), "sweep.json")


@pytest.mark.parametrize("share", [0, 0.1, 0.3, 0.6, 0.9, 0.99])
def test_a_sweep_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    text = json.dumps(SWEEP)
    (tmp_path / "sweep.json").write_text(text[: int(share * len(text))])
    assert_refuses(lambda: Manifest.read(tmp_path), "sweep.json")


def test_a_job_does_not_run_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "sweep").mkdir()
    (tmp_path / "sweep" / "0").symlink_to(tmp_path)
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps(SWEEP))
    assert_refuses(lambda: Manifest.read(tmp_path / "sweep"), "job 0", "outside")


LAUNCHING = {
    "hydra/launcher=slurm": True,
    "hydra.launcher.partition=gpu": True,
    "hydra.launcher.gpus=2": True,
    "hydra.launcher.constraint='a100|h100'": True,
    "hydra.launcher.setup=[touch canary]": False,
    "hydra.launcher.additional_parameters={wrap: touch}": False,
    "hydra.launcher.partition='a\ntouch canary'": False,
    "hydra.launcher.partition='a; touch canary'": False,
    "hydra.launcher.name=${oc.env:HOME}": False,
    "+hydra.launcher.python=canary": False,
    "+hydra.launcher.srun_args=[canary]": False,
    "++hydra.launcher.partition=a": False,
    "hydra.launcher._target_=os.mkdir": False,
    "hydra/launcher=../../canary": False,
    "hydra.searchpath=[/tmp]": False,
    "hydra/job_logging=canary": False,
    "~hydra.launcher": False,
}


@pytest.mark.parametrize("text", LAUNCHING)
def test_a_sweep_asks_for_a_launcher_and_resources_alone(text: str) -> None:
    kept, left_out = launching([text], Path("sweep"))
    assert (kept, left_out) == (([text], []) if LAUNCHING[text] else ([], [text]))


def prepared(kind: str, snapshot: Path) -> None:
    """What a stranger does to a snapshot."""
    if kind == "changed":
        (snapshot / "sedsep" / "a.py").write_text("bad")
    elif kind == "a module more":
        (snapshot / "torch.py").write_text("bad")
    elif kind == "compiled":
        (snapshot / "sedsep" / "b.pyc").write_text("bad")
    elif kind == "compiled beside":
        (snapshot / "sedsep" / "__pycache__").mkdir()
        (snapshot / "sedsep" / "__pycache__" / "a.cpython-311.pyc").write_text("bad")
    elif kind == "a link inside":
        (snapshot / "hydra_plugins" / "bad").symlink_to(snapshot.parents[1])
    else:
        moved = snapshot.rename(snapshot.parents[1] / "elsewhere")
        (moved / "sedsep" / "a.py").write_text("bad")
        snapshot.symlink_to(moved)


@pytest.mark.parametrize("kind", ["changed", "a module more", "compiled", "compiled beside", "a link inside", "a link"])
def test_a_prepared_snapshot_is_not_run(tmp_path: Path, kind: str) -> None:
    project = tmp_path / "project"
    (project / "sedsep").mkdir(parents=True)
    (project / "sedsep" / "a.py").write_text("good")
    (project / "run.py").write_text("good")
    (project / "hydra_plugins" / "sedsep_sweeps").mkdir(parents=True)
    known = take(project, tmp_path / "code")
    prepared(kind, known)
    assert take(project, tmp_path / "code") == known
    found = {path.relative_to(known).as_posix(): path for path in known.rglob("*") if not path.is_dir()}
    assert not known.is_symlink()
    assert set(found) == {"run.py", "sedsep/a.py", "COMMIT"}
    assert found["sedsep/a.py"].read_text() == "good"


# What may be named.

TARGETS = [
    "os.system",
    "os.mkdir",
    "os.popen",
    "os.execv",
    "subprocess.Popen",
    "subprocess.run",
    "subprocess.check_output",
    "shutil.rmtree",
    "shutil.copy",
    "builtins.exec",
    "builtins.eval",
    "builtins.open",
    "builtins.__import__",
    "builtins.getattr",
    "runpy.run_path",
    "runpy.run_module",
    "importlib.import_module",
    "code.interact",
    "pickle.loads",
    "pickle.load",
    "marshal.loads",
    "pathlib.Path.write_text",
    "ctypes.CDLL",
    "functools.partial",
    "functools.reduce",
    "operator.methodcaller",
    "operator.attrgetter",
    "hydra.utils.instantiate",
    "hydra.utils.call",
    "hydra.utils.get_method",
    "hydra.utils.get_class",
    "hydra.main",
    "omegaconf.OmegaConf.load",
    "torch.load",
    "torch.hub.load",
    "torch.save",
    "torch.jit.load",
    "torch.utils.cpp_extension.load_inline",
    "lightning.pytorch.core.saving.load_from_checkpoint",
    "lightning.LightningModule.load_from_checkpoint",
    "lightning.pytorch.callbacks.LambdaCallback",
    "lightning.pytorch.cli.LightningCLI",
    "lightning.pytorch.loggers.CSVLogger",
    "lightning.fabric.utilities.cloud_io._load",
    "mlflow.pyfunc.load_model",
    "sedsep.files.write_whole",
    "sedsep.files.whole",
    "sedsep.downloads.download",
    "sedsep.runs.provenance.take",
    "sedsep.runs.provenance.commit",
    "sedsep.runs.launchers.local.run_all",
    "sedsep.tasks.entry.main",
    "sedsep.tasks.convert.run",
    "sedsep.checkpoints.load",
    "sedsep.checkpoints.save",
    "sedsep.wiring.build",
    "sedsep.wiring.partial",
    "sedsep.scenes.local_copy.local_copy",
    "sedsep.console.print_table",
    "sedsep.training.progress.Bar",
    "sedsep.models.separator.torch.hub.load",
    "sedsep.models.separator.torch",
    "sedsep.models.separator.nn.Module",
    "sedsep.models.separator.Path",
    "sedsep.models.guided.Any",
    "sedsep.modules.film.torch.load",
    "sedsep.models",
    "sedsep.models.Gone",
    "sedsep.modelsx.Evil",
    "sedsep.conditioning.base.Sequence",
    "sedsep.models..Separator",
    ".os.system",
    "os",
    "sedsep.models.Separator.load",
    "torch.optim.lr_scheduler.warnings.warn",
    "torch.optim.optimizer.functools.partial",
    "torch.optim.Gone",
]


@pytest.mark.parametrize(
    "target", [*TARGETS, "", "sedsep.models.Separator()", "sedsep.models.\0", 3, None, ["os.system"]]
)
@pytest.mark.parametrize("source", [None, Path("a.ckpt")], ids=["config", "file"])
def test_what_is_not_on_the_list_is_not_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: object, source: Path | None
) -> None:
    monkeypatch.chdir(tmp_path)
    node = {"_target_": "sedsep.models.M2d", "frontend": {"_target_": target, "path": CANARY}}
    packages = None if source is None else NETWORKS
    assert_refuses(lambda: build(node, source=source, packages=packages), "not part of sedsep")
    assert not any(tmp_path.iterdir())


# By real commands.


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "text",
    [
        "task._target_=os.mkdir",
        f"+callbacks.x={CALL}",
        f"++data.prepare={WRITE}",
        "hydra.run.dir=canary",
        "sweep.resume=canary",
    ],
)
def test_a_command_refuses_a_hostile_directory(
    begun: Callable[[object], Path], tmp_path: Path, text: str, way: str
) -> None:
    begun(["logger=none", text])
    assert_refused(command(tmp_path, *WAYS[way]), "begun with")
    assert not (tmp_path / CANARY).exists()


@pytest.fixture
def sweep(tmp_path: Path) -> Callable[..., Path]:
    """A sweep of one job that checks a data set, as somebody else may have prepared it."""
    write_tiny_set(tmp_path / "set")
    job = ["task=verify", "data=folder", "data.root=set", "sample_rate=16000", "logger=none"]

    def make(*overrides: str, hydra: tuple[str, ...] = (), cwd: Path = tmp_path) -> Path:
        root = tmp_path / "multirun" / "sweep"
        root.mkdir(parents=True)
        Manifest(root, [Job(0, (*job, *overrides))], "python run.py", str(cwd), 1.0, list(hydra)).write()
        return root

    return make


def test_a_strangers_sweep_goes_on_with_its_values(sweep: Callable[..., Path], tmp_path: Path) -> None:
    root = sweep("paths.cache=canary", hydra=("hydra.launcher.setup=[touch canary]", "hydra.searchpath=[canary]"))
    done = command(tmp_path, f"sweep.resume={root}", longest_s=120)
    assert_accepted(done)
    assert not (tmp_path / CANARY).exists()
    assert "left out" in done.err  # of Hydra's
    assert "paths.cache=canary" in done.out + done.err
    assert (root / "0" / "verify.json").is_file()


def test_a_strangers_sweep_runs_no_code(sweep: Callable[..., Path], tmp_path: Path) -> None:
    root = sweep("task._target_=os.mkdir")
    assert_refused(command(tmp_path, f"sweep.resume={root}"), "begun with task._target_=os.mkdir")
    assert not (tmp_path / CANARY).exists()


def test_a_strangers_sweep_chooses_no_working_directory(sweep: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    root = sweep(cwd=tmp_path / "elsewhere")
    assert_refused(command(tmp_path, f"sweep.resume={root}"), "was started in", "go there")
    assert not any((tmp_path / "elsewhere").iterdir())


def test_ones_own_run_goes_on_and_is_scored(tiny_run: Path, tiny_set: Path, tmp_path: Path) -> None:
    begun = json.loads(json.dumps([*TINY, f"data.root={tiny_set}", "+trainer.max_steps=3", "logger=none"]))
    (tiny_run / ".hydra" / "overrides.yaml").write_text(json.dumps(begun))
    assert os.path.realpath(tiny_run) == str(tiny_run)
    assert_accepted(command(tmp_path, "task=evaluate", f"ckpt={tiny_run}", longest_s=120))
