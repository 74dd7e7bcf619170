"""The types of options: what the configs have passes, what people mistype is answered, and foreign classes agree."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator

import lightning
import pytest
import torch
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from sedsep.errors import UserError
from sedsep.runs.command_line import resolvers
from sedsep.runs.command_line.settings.recipes import AdamW, Sgd
from sedsep.runs.command_line.settings.trainer import Trainer
from sedsep.runs.command_line.starting import checked
from sedsep.runs.provenance import PROJECT

CONF = PROJECT / "conf"
MODELLING = ("scale", "model", "conditioning", "refinement", "labelling")
CHOICES = [
    f"{group}={path.stem}"
    for group in (*MODELLING, "augment", "callbacks", "trainer", "logger", "task", "hydra/launcher", "hydra/sweeper")
    for path in sorted((CONF / group).glob("[a-z]*.yaml"))
]
Check = Callable[..., object]


@pytest.fixture(scope="module")
def check() -> Iterator[Check]:
    resolvers.register()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        yield lambda *overrides: checked(overrides, loader)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_is_as_its_types_say(check: Check, choice: str) -> None:
    needed = {f"augment={name}": ["model=tagger"] for name in ("specaugment", "filteraugment")}
    needed |= {"task=convert": ["task.source=x.ckpt"], "task=publish": ["task.licence=mit"]}
    needed["hydra/sweeper=optuna"] = ["hydra.sweeper.study_name=widths"]
    check(choice, *needed.get(choice, []))


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seed=-1", "a whole number from 0 to 4294967295 is expected (the default is 0)."),
        ("model.training.batch_size=x", "model.training.batch_size=x is not right"),
        ("data.workers=100000", "data.workers=100000 is not right"),
        ("trainer.devices=1000", "at most"),
        ("task.label_sources=[oracel]", "baseline, tagger, self_guided, oracle"),
        ("task.threshold=null", "a number from 0 to 1 is expected"),
        ("data.sampler.events=[0,0]", "data.sampler.events=[0,0]"),
        ("duration=nan", "duration=nan"),
        ("refinement.eval_iters=[0]", "refinement.eval_iters=[0]"),
        ("refinement.pass_decay=0", "a number above 0 and up to 1"),
        ("refinement.through=true", "add refinement.iters=2 or more"),
        ("refinement.feedback.statistics=mixture", "add refinement.iters=2 or more"),
        ("seed='${scale.name}'", "seed=mini"),
        ("+trainer.gradient_clip=1", "did you mean gradient_clip_val"),
        ("trainer.max_epochs=2", "model.training.epochs"),
        ("data=folder", "add data.root="),
        (
            "ckpt=[a,b]",
            "ckpt=[a,b] names several networks, whose mean is for task=evaluate, separate, submission alone",
        ),
        ("ckpt=[]", "ckpt=[] is not right"),
        ("augment=rotaton", "did you mean rotation"),
        ("augment=rotation microphones=2", "microphones=4 and data.sampler.ref_channel=0"),
        ("augment=equaliser augment.scenes.equaliser.probability=2", "a number from 0 to 1 is expected"),
        ("callbacks=ema callbacks.average.decay=1", "a number between 0 and 1 is expected"),
    ],
)
def test_a_mistake_names_the_option_and_what_it_takes(check: Check, override: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        check(*override.split())
    assert says in str(caught.value)


def test_epochs_that_the_trainer_would_overrule_are_refused(check: Check) -> None:
    with pytest.raises(UserError, match=r"trainer\.max_epochs=3 instead"):
        check("trainer=overfit", "model.training.epochs=3")


def test_options_of_foreign_classes_are_their_arguments() -> None:
    own = {"callbacks", "logger", "plugins", "default_root_dir", "enable_checkpointing"}
    own |= {"check_val_every_n_epoch", "fast_dev_run", "barebones"}  # each has an option of ours: keep, trainer=debug
    ours = set(Trainer.model_fields) - {"target", "partial"}
    assert ours == set(inspect.signature(lightning.Trainer.__init__).parameters) - own - {"self"}
    for options, foreign in ((AdamW, torch.optim.AdamW), (Sgd, torch.optim.SGD)):
        names = set(options.model_fields) - {"target", "partial"}
        assert names == set(inspect.signature(foreign).parameters) - {"params", "lr", "weight_decay"}
