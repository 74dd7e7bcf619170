"""A sweep's entry in the tracking, which its jobs gather below."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig

import sedsep
from sedsep.runs.directories import FAILED, FINISHED, INTERRUPTED, RUNNING
from sedsep.runs.sweeps import Manifest, commit, table
from sedsep.runs.sweeps.outcomes import MISSING, ORDER, QUEUED, Outcome

log = logging.getLogger(__name__)


class SweepTracking:
    """Opens and closes the entry; a store that makes trouble costs a warning, never the sweep.

    Args:
        config: of one of its jobs, which says where to track.
    """

    def __init__(self, manifest: Manifest, config: DictConfig) -> None:
        self._manifest = manifest
        self._config = config
        self._tracker: Any = None

    def open(self) -> None:
        """Start the entry, or go on with it, before the jobs start."""
        self._guarded(self._open)

    def close(self, found: Sequence[Outcome]) -> None:
        """End it with the table, unless jobs go on."""
        states = {one.state for one in found}
        if self._tracker is not None and not states & {QUEUED, RUNNING}:
            self._guarded(lambda: self._close(found, states))

    def _open(self) -> None:
        HydraConfig.instance().set_config(self._config)  # paths in it are Hydra's
        root = self._manifest.root
        tags = {
            "sedsep.command": self._manifest.command,
            "sedsep.sweep_dir": str(root),
            "sedsep.jobs": str(len(self._manifest.jobs)),
        }
        if version := commit(Path(sedsep.__file__).parents[1]):
            tags["mlflow.source.git.commit"] = version
        self._tracker = instantiate(self._config.logger).sweep(root, "/".join(root.parts[-2:]), tags)

    def _close(self, found: Sequence[Outcome], states: set[str]) -> None:
        root = self._manifest.root
        state = FAILED if FAILED in states else INTERRUPTED if states & {INTERRUPTED, MISSING} else FINISHED
        self._tracker.metrics({f"sweep/{name}": float(sum(one.state == name for one in found)) for name in ORDER})
        for file in (table.MARKDOWN, table.CSV):
            self._tracker.artifact(root / file)
        self._tracker.close(state)

    def _guarded(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:
            log.warning("The sweep's tracking fails: %s", error)
