"""Configs composed beside the job's own: of networks whose weights come from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from sedsep.runs.command_line import resolvers
from sedsep.runs.command_line.arguments import CONFIG
from sedsep.runs.command_line.configs import CONF


@contextmanager
def our_configs() -> Iterator[None]:
    """Configs are composed from ours alone: whatever program this is called from, and whatever configs it has."""
    resolvers.register()
    jobs_own = GlobalHydra.instance().hydra  # Hydra has one at a time
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            yield
    finally:
        GlobalHydra.instance().hydra = jobs_own


def composed_network(texts: Sequence[str]) -> tuple[dict[str, Any], tuple[str, ...], str]:
    """What overrides, of which the last one counts where a key is given twice, make of `model`.

    Returns:
        What `build` makes the network of, the names of its classes, and the name of its scale.
    """
    overrides = zip(OverridesParser.create().parse_overrides(list(texts)), texts, strict=True)
    config = compose(CONFIG, overrides=list({override.key_or_group: text for override, text in overrides}.values()))
    names = tuple(config.labels.names or ())
    config.labels.count = len(names)
    plain: Any = OmegaConf.to_container(config.model.network, resolve=True)
    return plain, names, config.scale.name
