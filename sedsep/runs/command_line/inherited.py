"""Overrides that a run's or a sweep's directory brings: whoever made it, they are values, never code.

A value is what a person could have chosen for an option that exists. What names a function or a file of Hydra's, adds
or deletes a part, or is worked out when it is read, can run code: it is refused until it is typed. Where results go,
and what is sent or fetched where, is the command line's own affair: it is left out, with a word.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sedsep.errors import UserError, printable, reason
from sedsep.runs.command_line.arguments import CONFIG

OVERRIDES = Path(".hydra") / "overrides.yaml"
LARGEST, MOST = 2**16, 500
"""Bytes of that file, and overrides in it; a command has a tenth of it."""

KEY = re.compile(r"[A-Za-z0-9]\w*(\.[A-Za-z0-9]\w*)*", re.ASCII)
ELSEWHERE = re.compile(
    r"(paths|logger|data\.assemble)\..*|(.*\.)?(local_copy|cache_dir|dirpath|filename|output|target)", re.ASCII
)
"""Keys that say where results go, or what is sent or fetched where."""

FETCHED = "hf:"
"""How a checkpoint begins that is fetched from an address of somebody's choice."""

TRAINER = re.compile(r"trainer\.[a-z]\w*", re.ASCII)
WORDS = ("accelerator", "devices", "gradient_clip_algorithm", "max_time", "precision", "strategy", "val_check_interval")
"""Arguments of Lightning's trainer that may be words; any may be a number or a switch."""

LAUNCHING = re.compile(
    r"hydra\.launcher\.(account|array_parallelism|constraint|cpus_per_task|gpus|jobs|max_num_timeout|mem_gb|name|nodes"
    r"|partition|poll_s|qos|signal_delay_s|tasks_per_node|timeout_min)"
)
"""Options of launchers that ask for resources; others have a job run commands."""


def begun_with(run_dir: Path) -> list[str]:
    """The overrides that a run was begun with, as its directory has them.

    Raises:
        UserError: the file is not what Hydra writes.
    """
    path = run_dir / OVERRIDES
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError("it is too large")
        # The plainest loader: it makes no objects and merges nothing.
        listed = yaml.load(content.decode(), yaml.BaseLoader)
        if not isinstance(listed, list) or len(listed) > MOST or not all(isinstance(text, str) for text in listed):
            raise ValueError("it is no list of overrides")
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        why = printable(reason(error)) if isinstance(error, OSError | ValueError) else "no YAML"
        raise UserError(f"{path} is damaged ({why}): give the checkpoint itself, or begin anew.") from error
    return listed


def check_links(folder: Path) -> None:
    """Refuse a directory in which writing could change what lies elsewhere.

    Raises:
        UserError: it holds a link that leads out of it.
    """
    home = os.path.realpath(folder)
    for path in folder.rglob("*"):
        if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(home):
            raise UserError(
                f"{path} is a link that leads out of {folder}, where results are written: put what it leads to in its "
                "place."
            )


def values(
    overrides: Sequence[str], source: Path, loader: ConfigLoader, typed: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """The overrides that are values, in normal form, and those that are left out for they say where results go.

    Args:
        overrides: of a directory.
        source: that directory.
        loader: which finds the configs.
        typed: those among them that the command line has, too, and which are its own affair.

    Raises:
        UserError: one can run code, or leads nowhere.
    """
    parsed = {text: _parsed(text, source) for text in overrides}
    groups = _groups(loader)
    choices, settings, refused = list[str](), dict[str, dict[str, Any]](), list[str]()
    for text, override in parsed.items():
        keys = dict(_settings(override.key_or_group, override.value()))
        if override.key_or_group in groups and _is_choice(override, loader):
            choices.append(_text(override))
        elif override.key_or_group not in groups and _is_plain(override, keys):
            settings[text] = keys
        else:
            refused.append(text)
    _refuse(refused, typed, source)  # before anything is composed
    try:
        config = _composed(loader, tuple(choices))
    except (HydraException, OmegaConfBaseException) as error:
        raise _refusal(source, choices[-1]) from error
    kept, left_out = list(choices), list[str]()
    for text, keys in settings.items():
        if any(ELSEWHERE.fullmatch(key) or _is_fetched(value) for key, value in keys.items()):
            left_out.append(text)
        elif all(_exists(key, config) for key in keys):
            kept.append(_text(parsed[text]))
        elif all(_is_of_the_trainer(key, value) for key, value in keys.items()):
            kept.append(f"++{_text(parsed[text])}")
        else:
            refused.append(text)
    _refuse(refused, typed, source)
    return kept, [text for text in left_out if text not in typed]


def is_elsewhere(text: str) -> bool:
    """Whether an override says where results go, or what is sent or fetched where."""
    return ELSEWHERE.fullmatch(text.partition("=")[0].lstrip("+")) is not None


def launching(overrides: Iterable[str], source: Path) -> tuple[list[str], list[str]]:
    """Those of a sweep's overrides of Hydra that choose a launcher and ask for resources, and the others.

    Args:
        overrides: of Hydra.
        source: the sweep's directory.

    Raises:
        UserError: one is no override.
    """
    kept, left_out = list[str](), list[str]()
    for override in [_parsed(text, source) for text in overrides]:
        key, value = override.key_or_group, None if override.is_sweep_override() else override.value()
        plain = isinstance(value, bool | int | float) or re.fullmatch(r"[\w.,:@+&|*()\[\]-]*", str(value), re.ASCII)
        known = LAUNCHING.fullmatch(key) or (key == "hydra/launcher" and str(value).isidentifier())
        changes = not (override.is_add() or override.is_force_add() or override.is_delete() or override.package)
        (kept if known and plain and changes else left_out).append(str(override.input_line))
    return kept, left_out


def warning(left_out: Iterable[str], source: Path) -> str:
    """What is said of overrides that were left out."""
    named = printable(" ".join(dict.fromkeys(left_out)), 500)
    return f"{source} also asks for {named}: left out, for it is no directory's affair; type it if you want it."


def _refuse(refused: Iterable[str], typed: Collection[str], source: Path) -> None:
    if asked := [text for text in refused if text not in typed]:
        raise _refusal(source, asked[0])


def _refusal(source: Path, text: str) -> UserError:
    return UserError(
        f"{source} was begun with {printable(text)}, which may run code or leads nowhere, and is not taken from a "
        "directory: type it beside what you type now, if you know it and want it."
    )


@lru_cache(maxsize=4096)
def _parse(text: str) -> Override:
    return OverridesParser.create().parse_override(text)


def _parsed(text: str, source: Path) -> Override:
    try:
        return _parse(text)
    except (HydraException, RecursionError, ValueError) as error:
        raise _refusal(source, text) from error


def _text(override: Override) -> str:
    """An override of an option that exists, as Hydra would write it."""
    key = override.get_key_element().lstrip("+")
    return f"{key}={override.get_value_element_as_str()}"


@lru_cache(maxsize=8)
def _groups(loader: ConfigLoader) -> list[str]:
    """The groups of the configs, but for Hydra's own."""
    found: list[str] = []
    waiting = [""]
    while waiting:
        parent = waiting.pop()
        for name in loader.get_group_options(parent, ObjectType.GROUP, CONFIG, []):
            if name != "hydra":
                found.append(f"{parent}/{name}".lstrip("/"))
                waiting.append(found[-1])
    return found


def _is_choice(override: Override, loader: ConfigLoader) -> bool:
    """Whether an override of a group chooses one of its options, and adds or deletes nothing."""
    if override.is_sweep_override() or override.is_add() or override.is_force_add() or override.is_delete():
        return False
    options = loader.get_group_options(override.key_or_group, ObjectType.CONFIG, CONFIG, [])
    value = override.value()
    if override.package is not None and not KEY.fullmatch(override.package):
        return False
    return isinstance(value, str) and value in options and not value.startswith("_")


@lru_cache(maxsize=64)
def _composed(loader: ConfigLoader, choices: tuple[str, ...]) -> DictConfig:
    return loader.load_configuration(CONFIG, list(choices), RunMode.RUN)


def _is_plain(override: Override, settings: dict[str, Any]) -> bool:
    """Whether an override sets keys, none of which is Hydra's or has a meaning for it, to values as they stand."""
    return (
        not (override.is_delete() or override.is_sweep_override() or override.package)
        and all(KEY.fullmatch(key) and key.split(".")[0] not in ("hydra", "sweep") for key in settings)
        and all(_stands(value) for value in settings.values())
    )


def _settings(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The keys that a value sets, which is a mapping of them or stands for itself."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _settings(f"{key}.{str(name).replace('.', '?')}", inner)  # a key of its own, not a path
    else:
        yield key, value


def _stands(value: Any) -> bool:
    if isinstance(value, list):
        return all(_stands(item) for item in value)
    return value is None or value == {} or isinstance(value, bool | int | float) or _is_word(value)


def _is_fetched(value: Any) -> bool:
    return any(map(_is_fetched, value)) if isinstance(value, list) else str(value).startswith(FETCHED)


def _is_word(value: Any) -> bool:
    return isinstance(value, str) and "${" not in value


def _exists(key: str, config: DictConfig) -> bool:
    parent, _, last = key.rpartition(".")
    node = OmegaConf.select(config, parent, throw_on_resolution_failure=False) if parent else config
    if isinstance(node, ListConfig):
        return last.isdigit() and int(last) < len(node)
    return isinstance(node, DictConfig) and last in list(node)  # `in` would not see what is yet to be given


def _is_of_the_trainer(key: str, value: Any) -> bool:
    """Whether a key that no config has is an argument for Lightning's trainer, which refuses those that it lacks."""
    name = key.rpartition(".")[2]
    return bool(TRAINER.fullmatch(key)) and (value is None or not isinstance(value, str | list | dict) or name in WORDS)
