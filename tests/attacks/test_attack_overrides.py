"""Overrides that no option can have: each is answered with one sentence, before anything is imported or made."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from harness import assert_refused, assert_refuses, assert_sentence, command
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import QuotedString
from omegaconf import DictConfig

from sedsep.errors import UserError
from sedsep.runs.command_line import resolvers
from sedsep.runs.command_line.explaining import explain
from sedsep.runs.command_line.settings.checking import check_values, plain
from sedsep.runs.command_line.settings.fields import text
from sedsep.runs.command_line.starting import checked

pytestmark = pytest.mark.slow

CONF = Path(__file__).parents[2] / "conf"
Check = Callable[..., DictConfig]
Values = dict[str, Any]
QUICK_S = 10.0
"""In which a mistake is answered, beside whatever else the machine does."""


@pytest.fixture(scope="module")
def check() -> Iterator[Check]:
    """What `run.py` does with overrides before Hydra starts."""
    resolvers.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        # What the same choices compose is composed once.
        compose, composed = loader.load_configuration, cache(loader.load_configuration)
        loader.load_configuration = lambda name, overrides, mode: (  # type: ignore[method-assign]
            composed(name, (), mode) if not overrides else compose(name, overrides, mode)
        )
        yield lambda *overrides, several=False: checked(overrides, loader, several)


@pytest.fixture(scope="module")
def values(check: Check) -> Values:
    """The config of `python run.py`."""
    return plain(check())


def changed(values: Values, key: str, value: Any) -> Values:
    """Values with another one at a key."""
    name, _, rest = key.partition(".")
    return {**values, name: changed(values[name], rest, value) if rest else value}


def assert_answered(check: Check, line: str, *words: str, several: bool = False) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of Hydra's many kinds
        check(*shlex.split(line), several=several)
    sentence = explain(caught.value)
    assert sentence is not None, repr(caught.value)
    assert_sentence(f"{sentence.rstrip('.')}.", words)


# Numbers: each option with what no number is, and with numbers that it cannot have.

NO_NUMBERS = ("x", "null", "true", "nan", "[1]", "{a:1}", "'3'", "inf")
TRAINED = "model.training"
WHOLE = {
    "seed": ("-1", "4294967296", "0.5"),
    "sample_rate": ("0", "-32000", "44100.5", "1e12"),
    "microphones": ("0", "-1", "1.5"),
    "slots": ("0", "-3", "1000000"),
    "refinement.iters": ("-1", "1.5", "1000000"),
    "data.workers": ("-1", "1000", "0.5"),
    "data.sampler.ref_channel": ("-1",),
    "data.sampler.max_overlap": ("0", "-1"),
    "data.module.eval_scenes": ("0", "-5"),
    "data.prepare.seed": ("-1",),
    "trainer.accumulate_grad_batches": ("0", "-1", "1.5"),
    "trainer.log_every_n_steps": ("-1",),
    "trainer.num_sanity_val_steps": ("-2",),
    "task.examples": ("-1", "2.5"),
    "task.resamples": ("-1", "1e9"),
    "scale.tagger.training.epochs": ("0", "-1"),
    "scale.separator.training.epoch_size": ("0",),
    "scale.separator.training.eval_batch_size": ("0", "-4"),
    "scale.baseline.training.validate_every": ("0",),
    "scale.sed.n_fft": ("0", "1e9"),
    "scale.sed.hop": ("0", "-320"),
    "scale.separator.score_every": ("0",),
    "model.optim.warmup_steps": ("-1",),
    "conditioning.sed.reference_channel": ("-1",),
}
REAL = {
    "duration": ("0", "-1", "1e9"),
    "task.threshold": ("-0.1", "1.5", "40"),
    "scale.threshold": ("2",),
    "scale.separator.lr": ("-1e-3", "1e9"),
    "scale.tagger.decay": ("0", "1.5"),
    "scale.sed.std": ("0", "-1"),
    "scale.sed.frame_s": ("0",),
    "model.system.rates.new": ("-1",),
    "model.system.rates.dprnn": ("-0.5",),
    "model.optim.weight_decay": ("-0.1",),
    "model.optim.optimizer.eps": ("-1",),
    "data.sampler.ref_db": ("1e6",),
    "callbacks.last.minutes": ("-1",),
    "logger.patience_s": ("-1", "1e9"),
    "task.events.median": ("-1",),
    "task.events.shortest_gap": ("-0.1",),
}


def numbers() -> Iterator[tuple[str, str]]:
    for place, (key, wrong) in enumerate({**WHOLE, **REAL}.items()):
        # Of what is no number a few each, so that all options together meet all of it.
        others = [NO_NUMBERS[(place + step) % len(NO_NUMBERS)] for step in (0, 3, 5)]
        yield from ((key, value) for value in (*wrong, *others))


@pytest.mark.parametrize(("key", "value"), list(numbers()))
def test_a_number_is_one(values: Values, key: str, value: str) -> None:
    """Without composing, which takes most of the time."""
    override = OverridesParser.create().parse_override(f"{key}={value}").value()
    wrong = override.text if isinstance(override, QuotedString) else override
    assert_refuses(
        lambda: check_values(changed(values, key, wrong), "train"), f"{key}={text(wrong)} is not right", "is expected"
    )


# Everything else: a line, and what the answer has.

LINES = [
    # what the config must have a value for
    (f"{TRAINED}.epochs=x", f"{TRAINED}.epochs=x", "a whole number from 1"),
    (f"{TRAINED}.batch_size=x", f"{TRAINED}.batch_size=x"),
    (f"{TRAINED}.batch_size=0", f"{TRAINED}.batch_size=0"),
    (f"{TRAINED}.batch_size=[]", f"{TRAINED}.batch_size=[]"),
    (f"{TRAINED}.batch_size=[4,0]", "[4,0]"),
    (f"{TRAINED}.eval_batch_size=0", f"{TRAINED}.eval_batch_size=0"),
    (f"{TRAINED}.validate_every=0", f"{TRAINED}.validate_every=0"),
    (f"{TRAINED}.duration=-1", f"{TRAINED}.duration=-1", "seconds"),
    (f"{TRAINED}.duration=nan", f"{TRAINED}.duration=nan"),
    (f"{TRAINED}.keep=all", "one of best, last", "null"),
    (f"{TRAINED}=3", f"{TRAINED}=3"),
    (f"{TRAINED}=null", f"{TRAINED}=null"),
    # switches
    ("speed.compile=1", "true or false"),
    ("speed.compile=null", "true or false"),
    ("speed.compile=maybe", "speed.compile=maybe"),
    ("speed.fused=2", "speed.fused=2", "true or false or null"),
    ("task.write_estimates=2", "true or false"),
    ("task=verify task.decode=all", "task.decode=all"),
    ("task=prepare task.accept_licences=1", "task.accept_licences=1"),
    ("task=submission task.dry_run=null", "task.dry_run=null"),
    ("conditioning.sed_trainable=0.5", "conditioning.sed_trainable"),
    ("conditioning.time_film.shared=no_", "conditioning.time_film.shared"),
    ("scale.trains_prerequisites=x", "scale.trains_prerequisites"),
    ("trainer.detect_anomaly=x trainer=debug", "trainer.detect_anomaly=x"),
    ("trainer.use_distributed_sampler=true", "trainer.use_distributed_sampler=true"),
    # words of a list
    ("speed.matmul_precision=low", "one of highest, high, medium"),
    ("data.render=gpu", "one of worker, device"),
    ("data.engine=other", "one of sedsep, spatialscaper"),
    ("data.on_error=ignore", "one of raise, skip"),
    ("data.rendering.spans=x", "one of wet, dry"),
    ("data.rendering.direct_path=x", "one of signed, absolute"),
    ("data.rendering.short_background=3", "one of tile, stretch"),
    ("data.rendering=null", "data.rendering=null"),
    ("conditioning.time_film.mode=x", "one of additive, multiplicative"),
    ("conditioning.injection.merge=sum", "one of add, concat"),
    ("conditioning.sed.head=x", "one of attention, two_linear, linear"),
    ("conditioning.sed.sequence=gru", "one of none, bigru, bilstm"),
    ("model=separator_dprnn model.network.separator.dprnn.cell=TCN", "one of GRU, LSTM, RNN"),
    ("model=separator_dprnn model.network.separator.dprnn.dropout=2", "dprnn.dropout=2"),
    ("trainer.precision=fp8", "trainer.precision=fp8", "bf16-mixed"),
    ("trainer.precision=null", "trainer.precision=null"),
    ("trainer.accelerator=tpus", "one of cpu, gpu"),
    ("task.label_sources=[oracel]", "task.label_sources=[oracel]", "baseline, tagger, self_guided, oracle"),
    ("task.label_sources=oracle", "task.label_sources=oracle"),
    ("task.label_sources=[]", "task.label_sources=[]"),
    ("task.label_sources=null", "task.label_sources=null"),
    ("task=separate task.decide=never", "one of recording, chunk"),
    ("task=submission task.format=2024", "one of 2025, 2026"),
    ("task=benchmark task.parts=[scene]", "scenes, separator, training"),
    ("task=benchmark task.precisions=[fp8]", "fp32, bf16"),
    ("callbacks.best.mode=most", "one of min, max"),
    ("callbacks.learning_rate.logging_interval=often", "one of step, epoch"),
    ("model.kind=other", "model.kind=other", "sed", "separator"),
    ("model.part=stage3", "one of separator, tagger, baseline"),
    # lists
    ("data.sampler.events=x", "data.sampler.events=x", "a list of two"),
    ("data.sampler.events=3", "data.sampler.events=3"),
    ("data.sampler.events=[0,0]", "data.sampler.events=[0,0]", "1 or more"),
    ("data.sampler.events=[3,1]", "the smaller first"),
    ("data.sampler.events=[-1,2]", "[-1,2]"),
    ("data.sampler.events=[1]", "a list of two"),
    ("data.sampler.events=[1,2,3]", "a list of two"),
    ("data.sampler.events=[1,2.5]", "[1,2.5]"),
    ("data.sampler.events=null", "data.sampler.events=null"),
    ("data.sampler.interference=[2,1]", "the smaller first"),
    ("data.sampler.event_snr=[20,5]", "the smaller first"),
    ("data.sampler.event_snr=[5,nan]", "data.sampler.event_snr"),
    ("data.sampler.interference_snr=[0,inf]", "data.sampler.interference_snr"),
    ("data.sampler.direct_path_ms=[-6,50]", "milliseconds"),
    ("data.sampler.direct_path_ms=6", "data.sampler.direct_path_ms=6"),
    ("refinement.eval_iters=[0]", "refinement.eval_iters=[0]"),
    ("refinement.eval_iters=[]", "refinement.eval_iters=[]"),
    ("refinement.eval_iters=[1.5]", "refinement.eval_iters=[1.5]"),
    ("refinement.eval_iters=two", "refinement.eval_iters=two"),
    ("scale.separator.widths=[]", "scale.separator.widths=[]"),
    ("scale.separator.widths=8", "scale.separator.widths=8"),
    ("scale.separator.widths=[8,0]", "[8,0]"),
    ("scale.separator.widths=[8,[16]]", "[8,[16]]"),
    ("scale.sed.patch=[16]", "scale.sed.patch=[16]"),
    ("scale.sed.patch=16", "scale.sed.patch=16"),
    ("model.optim.optimizer.betas=[0.9]", "betas=[0.9]"),
    ("model.optim.optimizer.betas=[0.9,1.0]", "below 1"),
    ("model=tagger model.system.thresholds=[2]", "model.system.thresholds=[2]"),
    ("model=tagger model.system.thresholds=0.5", "model.system.thresholds=0.5"),
    ("labels.names=Dog", "labels.names=Dog", "[Bell,Dog]"),
    ("labels.names=[]", "labels.names=[]"),
    ("labels.names=[1,2]", "labels.names=[1,2]"),
    ("labels.names={a:b}", "labels.names"),
    ("labels.count=5", "labels.count=5", "counted"),
    ("task=separate task.labels=3", "task.labels=3", "class names"),
    ("task=separate task.labels=[3]", "task.labels=[3]"),
    ("task=separate task.chunk=x", "task.chunk=x", "seconds"),
    ("task=separate task.chunk=0", "task.chunk=0"),
    ("task=separate task.level=-20", "task.level=-20", "a list of two numbers (dB)"),
    ("task=separate task.level=[-30,-45]", "the smaller first"),
    ("task=separate task.iters=-1", "task.iters=-1"),
    ("task=benchmark task.iters=3", "task.iters=3"),
    ("task=benchmark task.queries=[]", "task.queries=[]"),
    ("task=benchmark task.set.rooms=0", "task.set.rooms=0"),
    ("task=benchmark task.set.source_seconds=[3,1]", "the smaller first"),
    ("task=benchmark task.training.steps=0", "task.training.steps=0"),
    ("task=inspect task.count=0", "task.count=0", "from 1"),
    ("task=inspect task.split=3", "task.split=3"),
    ("task=submission task.number=0", "task.number=0"),
    ("task=submission task.author=3", "task.author=3"),
    # paths and names
    ("ckpt=3", "ckpt=3", "a path"),
    ("ckpt=true", "ckpt=true"),
    ("audio=[a,b]", "audio=[a,b]"),
    ("audio=''", "audio= is not right"),
    ("data=folder data.root=3", "data.root=3"),
    ("data=folder data.root={a:b}", "data.root"),
    ("data.local_copy=1", "data.local_copy=1"),
    ("data.module.test_split=2025", "data.module.test_split=2025"),
    ("model.ckpt=3", "model.ckpt=3"),
    ("tagger.ckpt=[a]", "tagger.ckpt=[a]"),
    ("model.start=false", "model.start=false"),
    ("paths.cache=null", "paths.cache=null"),
    ("paths.cache=3", "paths.cache=3"),
    ("logger.experiment=2025", "logger.experiment=2025"),
    ("logger.tracking_uri=null", "logger.tracking_uri=null"),
    ("logger.tags=[a]", "logger.tags=[a]"),
    ("task=convert task.source=3", "task.source=3"),
    ("task=convert", "task.source is needed"),
    ("task=convert task.source=x task.iters=-2", "task.iters=-2"),
    ("data=folder", "data.root is needed and not given: add data.root="),
    # one for several: where it is set is named, not where it is used
    ("seed='${data.name}'", "seed=synthetic"),
    ("sample_rate='${scale.name}'", "sample_rate=mini"),
    ("duration='${slots}x'", "duration=3x"),
    ("data.workers='${paths}'", "data.workers="),
    ("model.training.epochs='${scale.name}'", "model.training.epochs=mini"),
    ("seed='${nowhere}'", "nowhere"),
    ("seed='${seed}'", "seed"),
    ("model=tagger model.system.rates.heads=x", "model.system.rates.heads=x", "(the default is 0.003)"),
    ("speed.fused=x", "speed.fused=x"),
    ("refinement.iters=null", "refinement.iters=null"),
    # beyond the machine
    ("trainer.devices=100000", "trainer.devices"),
    ("trainer.devices=0", "trainer.devices=0"),
    ("trainer.devices=-2", "trainer.devices=-2"),
    ("trainer.devices=[]", "trainer.devices=[]"),
    ("trainer.devices=x", "trainer.devices=x"),
    ("trainer.devices=1000", "the cores of this machine"),
    ("data.workers=1024", "for each core of this machine"),
    ("+trainer.num_nodes=0", "trainer.num_nodes=0"),
    ("trainer.gradient_clip_val=-1", "trainer.gradient_clip_val=-1"),
    ("trainer=debug trainer.max_epochs=x", "trainer.max_epochs=x"),
    ("trainer=debug trainer.max_epochs=0", "trainer.max_epochs=0"),
    ("trainer=debug trainer.limit_train_batches=-1", "trainer.limit_train_batches=-1"),
    ("trainer=overfit trainer.overfit_batches=1.5", "trainer.overfit_batches=1.5"),
    ("trainer=ddp trainer.strategy=x", "trainer.strategy=x"),
    ("trainer=profile trainer.profiler=x", "trainer.profiler=x", "simple, advanced, pytorch"),
    ("trainer=profile trainer.profiler._target_=os.system", "trainer.profiler._target_=os.system"),
    ("+trainer.max_time=soon", "trainer.max_time=soon"),
    # names that there are not
    ("seeds=1", "did you mean seed"),
    ("+seeds=1", "no group or option 'seeds'", "did you mean seed"),
    ("+trainer.gradient_clip=1", "trainer has no entry 'gradient_clip'", "did you mean gradient_clip_val"),
    ("trainer.max_epochs=2", "model.training.epochs"),
    ("+trainer.check_val_every_n_epoch=2", "model.training.validate_every"),
    ("+trainer.callbacks=[]", "callbacks"),
    ("+trainer.logger=false", "logger"),
    ("+model.training.epoch=2", "did you mean epochs"),
    ("+model.optim.optimizer.lr=1", "model.system.rates"),
    ("+model.optim.optimizer.beta=1", "did you mean betas"),
    ("+model.network.width=3", "model.network has no entry 'width'"),
    ("+scale.sed.n_ftt=512", "did you mean n_fft"),
    ("+data.sampler.event=[1,2]", "did you mean events"),
    ("+data.module.worker=2", "did you mean workers"),
    ("+data.prepare.room={train:1}", "did you mean rooms"),
    ("+data.prepare.rooms={train:x}", "data.prepare.rooms.train=x"),
    ("+task.tresholds=1", "task has no entry 'tresholds'", "did you mean threshold"),
    ("+paths.home=x", "paths has no entry 'home'"),
    ("+labels.name=[a]", "did you mean names"),
    ("+callbacks.mine=3", "callbacks.mine=3"),
    ("+callbacks.mine={a:b}", "callbacks.mine._target_"),
    ("+callbacks.mine={_target_:builtins.eval}", "callbacks.mine._target_=builtins.eval"),
    ("+conditioning.conditions.mine={_target_:os.getcwd}", "conditions.mine._target_=os.getcwd"),
    ("data.sampler._target_=sedsep.labels.LabelSet", "data.sampler._target_"),
    ("model.network._target_=torch.nn.Linear", "model.network._target_"),
    ("logger._target_=x", "logger._target_=x"),
    ("callbacks.last=null", "callbacks.last=null"),
    ("~callbacks.last", "callbacks.last is needed"),
    ("~seed", "seed"),
    ("~trainer.precision", "trainer.precision is needed"),
    # whole groups
    ("scale=3", "scale has no option '3'", "mini, paper"),
    ("scale=null", "scale"),
    ("task=trane", "task has no option 'trane'", "did you mean train"),
    ("model=[tagger,x]", "model has no option 'x'"),
    ("experiment=separator_iter_5", "separator_iter_4"),
    ("trainer=tpu", "one of cpu, ddp, debug, gpu, overfit, profile"),
    ("optim@model.optim=adam", "did you mean adamw"),
    ("schedule@model.optim.schedule=cosin", "did you mean cosine"),
    ("hydra/launcher=slurm hydra.launcher.gpus=x", "hydra.launcher.gpus=x"),
    ("hydra/launcher=slurm hydra.launcher.timeout_min=0", "hydra.launcher.timeout_min=0", "minutes"),
    ("hydra/launcher=slurm hydra.launcher.setup='module load'", "hydra.launcher.setup"),
    ("hydra/launcher=local hydra.launcher.jobs=0", "hydra.launcher.jobs=0"),
    ("hydra/launcher=local hydra.launcher.jobs=x", "hydra.launcher.jobs=x"),
    # right alone, not together
    ("trainer=overfit model.training.epochs=3", "trainer.max_epochs=3 instead"),
    ("trainer=debug scale.tagger.training.epochs=3", "scale.tagger.training.epochs=3 has no effect"),
    ("labels=folder", "data=folder data.root=PATH"),
]


@pytest.mark.parametrize("case", LINES, ids=lambda case: case[0])
def test_a_mistake_is_one_sentence(check: Check, case: tuple[str, ...]) -> None:
    assert_answered(check, *case)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("seed=1,two", ["seed=two"]),
        ("seed=1,2 model.training.epochs=3,0", ["model.training.epochs=0"]),
        ("experiment='glob(separator_*)' refinement.iters=1,-1", ["refinement.iters=-1"]),
        ("seed='range(-1,2)'", ["seed=-1"]),
        ("model=separator,tagger model.system.rates.new=x", ["model.system.rates"]),
    ],
)
def test_every_value_of_a_sweep_is_looked_at(check: Check, line: str, words: list[str]) -> None:
    assert_answered(check, line, *words, several=True)


def leaves(values: Any, *path: str) -> Iterator[tuple[str, ...]]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, *path, name)
        else:
            yield (*path, name)


@pytest.mark.parametrize("task", ["train", "evaluate", "separate task.level=null", "submission", "benchmark"])
def test_no_option_takes_just_anything(check: Check, task: str) -> None:
    values = plain(check(f"task={task.split(maxsplit=1)[0]}"))
    free = {("logger", "tags"), ("conditioning", "conditions"), ("task", "events", "medians")}
    for path in leaves(values):
        if path in free or path[:2] in (("hydra", "launcher"), ("hydra", "sweeper")):  # others' may be Hydra's
            continue
        group = values
        for step in path[:-1]:
            group = group[step]
        right = group[path[-1]]
        for wrong in ({"x": "y"}, [["x"]], float("nan"), -1e30, b"bytes"):
            group[path[-1]] = wrong
            with pytest.raises(UserError) as caught:
                check_values(values, task.split(maxsplit=1)[0])
            assert ".".join(path) in str(caught.value)
            unknown = path[0] == "augment" and wrong == {"x": "y"}  # it knows its entries by name
            assert_sentence(str(caught.value), ["has no entry" if unknown else "is expected"])
        group[path[-1]] = right
    check_values(values, task.split(maxsplit=1)[0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seeds: 1", ["'seeds'", "did you mean seed"]),
        ("seed: one", ["seed=one"]),
        ("trainer:\n  gradient_clip: 1", ["trainer has no entry 'gradient_clip'", "did you mean gradient_clip_val"]),
        ("model:\n  training:\n    epoch: 3", ["model.training", "did you mean epochs"]),
        ("data:\n  worker: 2", ["data has no entry 'worker'"]),
        ("data:\n  workers: -2", ["data.workers=-2"]),
        ("logger:\n  tracking_url: http://x", ["did you mean tracking_uri"]),
        ("task:\n  treshold: 1", ["did you mean threshold"]),
        ("model: 3", ["model=3"]),
        ("speed:\n  compile: 3", ["speed.compile=3", "true or false"]),
    ],
)
def test_the_user_s_own_file_is_read_as_strictly(tmp_path: Path, text: str, words: list[str]) -> None:
    shutil.copytree(CONF, tmp_path / "conf", ignore=shutil.ignore_patterns("local"))
    (tmp_path / "conf" / "local").mkdir()
    (tmp_path / "conf" / "local" / "default.yaml").write_text(f"{text}\n")
    resolvers.register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(tmp_path / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        with pytest.raises(Exception) as caught:  # noqa: PT011 - of Hydra's many kinds
            checked([], loader)
    assert_sentence(str(explain(caught.value)), words)


# What people type, and must be able to.

GROUPS = ("scale", "conditioning", "refinement", "model", "trainer", "logger", "experiment")
RIGHT = [
    *(f"{group}={path.stem}" for group in GROUPS for path in sorted((CONF / group).glob("[a-z]*.yaml"))),
    *(f"task={name}" for name in ("evaluate", "separate", "submission", "prepare", "verify", "inspect", "sync")),
    "task=convert task.source=separator_iter_3 conditioning.time_film.mode=multiplicative labels.names=[Bell,Dog]",
    "task=separate audio=street.flac ckpt=a.ckpt tagger.ckpt=b.ckpt task.labels=[Speech,Doorbell] task.chunk=5",
    "task=separate audio=street.flac ckpt=a.ckpt task.labels=Speech task.level=null task.iters=2 task.output=x",
    "task=submission audio=dir ckpt=a tagger.ckpt=b task.author=Doe task.affiliation=ABC task.format=2026",
    "task=evaluate ckpt=outputs/DAY/RUN refinement.eval_iters=[1,2,3] task.label_sources=[oracle]",
    "task=evaluate task.estimates=wavs.zip audio=folder task.resamples=0 task.examples=0",
    "task=benchmark task.parts=[training] task.compile=[true,false] +task.set.files_per_label=1",
    "data=dcase2025 data.root=/data/dev_set",
    "data=folder data.root=my_sounds model=tagger sample_rate=44100",
    "data=dcase2025 task=prepare task.steps=[development] data.module.test_split=eval",
    "data.render=device data.workers=0 data.on_error=skip data.rendering.spans=dry",
    "data.sampler.events=[0,2] data.sampler.interference=[0,0] data.sampler.event_snr=[5,5]",
    "+data.prepare.rooms={train:1,valid:1,test:1} +data.prepare.positions=3",
    "model.training.epochs=10 model.training.batch_size=2 scale.tagger.training.epochs=20",
    "scale=paper model.training.batch_size=[4,4,2,1] model.training.keep=last",
    "scale.separator.lr=1 scale.separator.lr_sed=0 scale.baseline.trained_blocks=0",
    "optim@model.optim=sgd schedule@model.optim.schedule=linear model.optim.weight_decay=0.01",
    "model.optim.optimizer.betas=[0.8,0.99] +model.optim.optimizer.foreach=false",
    "model=tagger model.system.mixup.probability=0.5 model.system.frequency_warp.smallest=1",
    "model=separator_dprnn model.network.separator.dprnn.cell=LSTM model.network.separator.dprnn.dropout=0",
    "conditioning.injection.merge=concat conditioning.sed.head=two_linear conditioning.sed.sequence=bigru",
    "conditioning.sed.frame_s=null sed@conditioning.sed=baseline",
    "+conditioning.conditions.mine={_target_:sedsep.conditioning.TimeFilm,_partial_:true}",
    "trainer=gpu trainer.devices=[0,1] trainer.precision=bf16-mixed speed.fused=null",
    "trainer=ddp trainer.devices=8 trainer.num_nodes=2 +trainer.strategy.find_unused_parameters=true",
    "trainer=gpu trainer.devices=auto +trainer.strategy=ddp +trainer.deterministic=warn",
    "trainer=debug trainer.limit_train_batches=0.5 trainer.max_epochs=3 +trainer.max_time=00:12:00:00",
    "trainer=profile trainer.profiler._target_=lightning.pytorch.profilers.PyTorchProfiler",
    "trainer.accumulate_grad_batches=4 trainer.gradient_clip_val=null +trainer.max_steps=100",
    "callbacks.last.minutes=0 ~callbacks.meters callbacks.learning_rate.logging_interval=epoch",
    "+callbacks.more={_target_:lightning.pytorch.callbacks.ModelCheckpoint,every_n_epochs:5}",
    "logger.tracking_uri=http://localhost:5000 logger.experiment=mine logger.tags={who:me,number:3}",
    "hydra/launcher=slurm hydra.launcher.gpus=8 trainer.devices=8 trainer.accelerator=gpu data.workers=200",
    "hydra/launcher=slurm hydra.launcher.setup='[module load cuda]' hydra.launcher.additional_parameters={nice:100}",
    "hydra/launcher=local hydra.launcher.jobs=4",
    "hydra.run.dir=here seed=4294967295 duration=10 slots=1 microphones=1 ckpt=\"'3'\"",
    "task.events.medians={Speech:0.6} task.events.median=0 task.threshold=1",
    "seed='${slots}' model.training.duration='${duration}'",
]
SWEEPS = [
    "conditioning=none,soundbeam seed=1,2",
    "experiment='glob(separator_*)' seed=1,2,3 hydra/launcher=slurm",
    "model.training.batch_size=1,2,null trainer=gpu,cpu",
    "refinement.iters='range(0,4)' refinement.eval_iters=[1],[1,2]",
]


@pytest.mark.parametrize("line", RIGHT)
def test_what_is_meant_is_accepted(check: Check, line: str) -> None:
    check(*shlex.split(line))


@pytest.mark.parametrize("line", SWEEPS)
def test_sweeps_that_are_meant_are_accepted(check: Check, line: str) -> None:
    check(*shlex.split(line), several=True)


# The worst of them as commands: quick, and nothing is left behind.

WORST = [
    ("data.workers=1000", "data.workers=1000"),
    ("trainer.devices=100", "trainer.devices=100"),
    ("seed=-1", "a whole number from 0 to 4294967295", "(the default is 0)"),
    ("model.training.batch_size=x", "model.training.batch_size=x"),
    ("model.training.eval_batch_size=0", "model.training.eval_batch_size=0"),
    ("model.training.validate_every=0", "model.training.validate_every=0"),
    ("trainer.accumulate_grad_batches=0", "trainer.accumulate_grad_batches=0"),
    ("+trainer.max_epochs=x", "trainer.max_epochs=x"),
    ("data.workers=-1", "data.workers=-1"),
    ("model=tagger model.system.rates.heads=x", "model.system.rates.heads=x"),
    ("task.threshold=null", "task.threshold=null"),
    ("task=separate task.labels=3", "task.labels=3"),
    ("task=separate task.chunk=x", "task.chunk=x"),
    ("ckpt=3", "3 is not a run directory"),
    ("hydra.run.dir=/proc/x", "hydra.run.dir=/proc/x cannot be written"),
    ("hydra.run.dir=/dev/null/x", "hydra.run.dir=/dev/null/x cannot be written"),
    ("data.sampler.events=x", "data.sampler.events=x"),
    ("data.sampler.events=[0,0]", "data.sampler.events=[0,0]"),
    ("refinement.iters=-1", "refinement.iters=-1"),
    ("duration=nan", "duration=nan"),
    ("scale.separator.lr=inf", "scale.separator.lr=inf"),
    ("data=folder", "add data.root="),
    ("trainer.max_epochs=2", "model.training.epochs"),
    ("-m seed=1,2 --cfg job", "leave out -m"),
    ("-m seed=1,2 task.threshold=0.5,2", "task.threshold=2"),
    ("-m seed=1,2 hydra.sweep.dir=/proc/x", "hydra.sweep.dir=/proc/x cannot be written"),
]


@pytest.fixture(scope="module")
def _ready(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The process that commands are forked from is there."""
    command(tmp_path_factory.mktemp("ready"), "--version")


@pytest.mark.usefixtures("_ready")
@pytest.mark.parametrize("case", WORST, ids=lambda case: case[0])
def test_the_answer_comes_before_anything_is_made(tmp_path: Path, case: tuple[str, ...]) -> None:
    done = command(tmp_path, *shlex.split(case[0]))
    assert_refused(done, *case[1:])
    assert done.seconds < QUICK_S
    assert {path.name for path in tmp_path.iterdir()} <= {".out.txt", ".err.txt"}
