"""The command line as Hydra reads it, and what cannot be meant in it, with what could have been."""

from __future__ import annotations

import argparse
import difflib
import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, QuotedString, ValueType
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf

from sedsep.errors import UserError

CONFIG = "config"
"""The name of the config that everything is composed from."""


INSTEAD = {
    "trainer.max_epochs": "model.training.epochs",
    "trainer.check_val_every_n_epoch": "model.training.validate_every",
    "trainer.callbacks": "callbacks",
    "trainer.logger": "logger",
    "trainer.default_root_dir": "hydra.run.dir",
    "model.optim.optimizer.lr": "model.system.rates",
    "model.optim.optimizer.weight_decay": "model.optim.weight_decay",
}
"""What people look for where it is not, and the option that does it."""


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags that Hydra has and the `overrides`; and what is neither, which Hydra will refuse."""
    parser = argparse.ArgumentParser(add_help=False)
    switches = "--multirun -m,--run -r,--help -h,--hydra-help,--version,--resolve,--shell-completion -sc"
    values = "--config-path -cp,--config-name -cn,--config-dir -cd,--cfg -c,--package -p,--experimental-rerun"
    for names in switches.split(","):
        parser.add_argument(*names.split(), action="store_true")
    for names in values.split(","):
        parser.add_argument(*names.split())
    parser.add_argument("--info", "-i", nargs="?", const="all")
    parser.add_argument("overrides", nargs="*")
    return parser.parse_known_args(arguments)


def quoted(text: str) -> str:
    """A value that Hydra reads as this very text."""
    return "'" + text.replace("'", "\\'") + "'"


def combinations(overrides: Sequence[str], loader: ConfigLoader | None = None) -> list[tuple[str, ...]]:
    """The overrides of each job of a sweep: the product of all choices, the last ones changing first.

    Args:
        overrides: of the sweep; where a key is given twice the later one counts.
        loader: which finds the options that `glob(...)` stands for.

    Raises:
        UserError: an interval, of which there is no product.
    """
    choices = {}
    for override in OverridesParser.create(loader).parse_overrides(list(overrides)):
        if override.is_interval_sweep():
            raise UserError(f"{override.input_line} has no end of values: search it with hydra/sweeper=optuna.")
        key = override.get_key_element()
        choices[key] = [f"{key}={value}" for value in _texts(override)]
    return list(itertools.product(*choices.values()))


def each_choice(overrides: Sequence[str], loader: ConfigLoader) -> list[list[str]]:
    """The overrides of as many jobs of a sweep as it takes to meet each value of each option; of one job, itself.

    Args:
        overrides: of a job or a sweep.
        loader: which finds the options that `glob(...)` stands for.
    """
    choices = [
        [f"{override.get_key_element()}={value}" for value in _texts(override)]
        if override.is_sweep_override()
        else [str(override.input_line)]
        for override in OverridesParser.create(loader).parse_overrides(list(overrides))
    ]
    first = [values[0] for values in choices]
    others = [
        [*first[:place], value, *first[place + 1 :]] for place, values in enumerate(choices) for value in values[1:]
    ]
    return [first, *others]


def check(overrides: Sequence[str], loader: ConfigLoader, several: bool = False) -> DictConfig:
    """Refuse overrides that lead nowhere.

    Args:
        overrides: of a job, or of a sweep.
        loader: which finds the configs.
        several: whether an option may have several values, for a job of each.

    Returns:
        What the choices of options compose (of a sweep the first ones), without the values that are given.

    Raises:
        UserError: naming the override and the valid choices.
    """
    parsed = OverridesParser.create(loader).parse_overrides(list(overrides))
    for override in parsed:
        if not override.is_sweep_override():
            continue
        if not several:
            text = str(override.input_line)
            is_list = override.value_type == ValueType.SIMPLE_CHOICE_SWEEP
            instead = f"write a list as '{text.replace('=', '=[', 1)}]', or " if is_list else ""
            raise UserError(f"{text} has several values: {instead}add -m for a run of each.")
        if not _texts(override):
            raise UserError(f"{override.input_line} stands for no value: give one that matches.")

    paths = [str(override.input_line) for override in parsed if override.key_or_group == "hydra.searchpath"]
    names_in = partial(loader.get_group_options, config_name=CONFIG, overrides=paths)
    groups = names_in("", ObjectType.GROUP)
    choices, settings = list(paths), []
    for override in parsed:
        parent, _, last = override.key_or_group.rpartition("/")
        if last in (names_in(parent, ObjectType.GROUP) if parent else groups):
            options = names_in(override.key_or_group, ObjectType.CONFIG)
            for value in ("null" if value is None else str(value) for value in _values(override)):
                if "${" not in value and value.removesuffix(".yaml") not in options:
                    raise UserError(f"{override.key_or_group} has no option '{value}'{_choose(value, options)}.")
            first = f"{override.get_key_element()}={_texts(override)[0]}"
            choices.append(first if override.is_sweep_override() else str(override.input_line))
        elif not (override.is_add() or override.is_force_add() or override.is_delete()):
            settings.append(override)
    # What the first choices compose; the keys that are set must be in each composition of a sweep.
    config = loader.load_configuration(CONFIG, choices, RunMode.RUN)
    for override in settings:
        _check_key(override.key_or_group, config, groups)
    return config


def _check_key(key: str, config: DictConfig, groups: Sequence[str]) -> None:
    """Refuse a key that is not in the config."""
    path, node = "", config
    for part in key.split("."):
        if isinstance(node, DictConfig):
            valid = sorted({*map(str, node), *(() if path else groups)})
        else:
            valid = [str(index) for index in range(len(node))] if isinstance(node, ListConfig) else []
        if part not in valid:
            raise UserError(unknown(path, part, valid))
        path = f"{path}.{part}" if path else part
        node = OmegaConf.select(config, path, throw_on_resolution_failure=False)


def unknown(path: str, name: str, valid: Sequence[str]) -> str:
    """The sentence for an entry that is not in the config.

    Args:
        path: of the group it should be in; empty for the whole config.
        name: of the entry.
        valid: names of the entries that there are.
    """
    where = f"{path} has no entry '{name}'" if path else f"There is no group or option '{name}'"
    if option := INSTEAD.get(f"{path}.{name}"):
        return f"{where}: {option} does what it would."
    return f"{where}{_choose(name, valid)}."


def _texts(override: Override) -> list[str]:
    """The values of an override, as they are written; of an interval its ends."""
    if override.is_interval_sweep():
        interval: Any = override.value()
        return [str(interval.start), str(interval.end)]
    if override.is_sweep_override():
        return list(override.sweep_string_iterator())
    return [override.get_value_element_as_str()]


def _values(override: Override) -> list[Any]:
    """The values of an override; of a list its entries."""
    several = override.is_sweep_override() and not override.is_interval_sweep()
    given: Any = override.sweep_iterator() if several else [override.value()]
    values = itertools.chain.from_iterable(value if isinstance(value, list) else [value] for value in given)
    return [value.text if isinstance(value, QuotedString) else value for value in values]


def _choose(name: str, valid: Sequence[str]) -> str:
    """The end of a sentence that names the valid choices, and the one that is nearest to what was given."""
    public = [choice for choice in valid if not choice.startswith("_")]
    near = difflib.get_close_matches(name, public, n=1, cutoff=0.6)
    listed = f": choose one of {', '.join(public)}" if public else ""
    return listed + (f" (did you mean {near[0]}?)" if near else "")
