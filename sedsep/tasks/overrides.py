"""What was wrong with an override, and what could have been meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, MissingMandatoryValue, OmegaConfBaseException

from sedsep.errors import UserError

CONFIG = "config"
SEVERAL = r"Ambiguous value for argument '(.+?)'"
"""Hydra's words for several values without -m."""
NO_OPTION = r"Could not find '(.+?)'.*?Available options in '(.+?)':\n((?:[ \t]+\S+(?:\n|$))+)"
"""Hydra's words for a group without the option; the options are indented, one a line."""


def check_types(config: DictConfig, given: Sequence[str]) -> None:
    """Refuse a word where the default is a number or a switch.

    Raises:
        UserError: naming the option, its default and the value given.
    """
    suspects = []
    for override in OverridesParser.create().parse_overrides(list(given)):
        key = override.key_or_group
        value = None if override.is_add() or override.is_delete() else OmegaConf.select(config, key)
        if isinstance(value, str):
            suspects.append((key, value))
    for key, value in suspects:
        default = OmegaConf.select(_defaults(), key)
        if isinstance(default, bool | int | float):
            kind = "true or false" if isinstance(default, bool) else "a number"
            raise UserError(f"{key}={value} is not {kind}: give one (the default is {default}).")


def quoted(text: str) -> str:
    """A value that Hydra reads as this very text."""
    return "'" + text.replace("'", "\\'") + "'"


def explain(chain: Sequence[BaseException], arguments: Sequence[str], config_dir: Path) -> str:
    """One sentence for an error in composing or reading the config, naming the valid choices."""
    # An error may leave Hydra half set up; the next job of a sweep needs it as it was.
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_dir.absolute()), version_base="1.3"):
            return _explain(chain, arguments)
    finally:
        GlobalHydra.instance().hydra = before


def _explain(chain: Sequence[BaseException], arguments: Sequence[str]) -> str:
    messages = [str(link) for link in chain]
    for link in chain:
        if isinstance(link, MissingMandatoryValue) and link.full_key:
            return f"{link.full_key} is needed and not given: add {link.full_key}=VALUE to the command."
    for message in messages:
        if found := re.search(SEVERAL, message):
            listed = found[1].replace("=", "=[", 1)
            return f"{found[1]} has several values: write a list as '{listed}]', or add -m for a run of each."
        if found := re.search(NO_OPTION, message, re.S):
            name, group, options = found[1].rsplit("/", 1)[-1], found[2], found[3].split()
            return f"{group} has no option '{name}': choose one of {', '.join(_public(options))}{_near(name, options)}."
    unknown = any(isinstance(link, ConfigKeyError) or "Could not override" in str(link) for link in chain)
    if unknown and (sentence := _unknown_key(arguments)):
        return sentence
    return " ".join(messages[0].split())


@cache
def _defaults() -> DictConfig:
    return compose(CONFIG)


def _unknown_key(arguments: Sequence[str]) -> str | None:
    """The first override whose key leads nowhere, with what it could have been."""
    groups = GlobalHydra.instance().config_loader().list_groups("")
    for text in arguments:
        if text.startswith(("-", "+", "~", "hydra")) or "=" not in text:
            continue
        key = text.split("=", 1)[0].split("@")[0]
        node: Any = None
        path = ""
        for part in key.split("."):
            valid = _children(node) if path else sorted({*_top_level(), *groups})
            if part not in valid:
                where = f"{path} has no entry '{part}'" if path else f"There is no group or option '{part}'"
                return f"{where}: choose one of {', '.join(_public(valid))}{_near(part, valid)}."
            path = f"{path}.{part}" if path else part
            node = _select([a for a in arguments if _is_choice(a, groups)], path)
    return None


def _is_choice(argument: str, groups: Iterable[str]) -> bool:
    return argument.split("=", 1)[0].split("@", maxsplit=1)[0] in groups


def _select(choices: list[str], path: str) -> Any:
    """The entry at `path` in the config that the chosen groups compose, unresolved."""
    try:
        node: Any = compose(CONFIG, overrides=[c for c in choices if "," not in c])
    except (HydraException, OmegaConfBaseException):
        node = _defaults()
    for part in path.split("."):
        node = node._get_node(part, validate_access=False) if isinstance(node, DictConfig) else None
        if isinstance(node, DictConfig) and node._is_interpolation():
            node = node._dereference_node()
    return node


def _top_level() -> list[str]:
    return [str(key) for key in _defaults()]


def _children(node: Any) -> list[str]:
    if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
        return sorted(str(key) for key in node)
    if isinstance(node, ListConfig):
        return [str(index) for index in range(len(node))]
    return []


def _public(names: Iterable[str]) -> list[str]:
    return [name for name in names if not name.startswith("_")]


def _near(name: str, valid: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, _public(valid), n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""
