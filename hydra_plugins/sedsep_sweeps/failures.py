"""What a job of a sweep failed of goes to its log: Hydra keeps it to itself until all jobs are done."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

log = logging.getLogger(__name__)


class TellFailures(Callback):
    """Logs one sentence for what the user can mend, a traceback for the rest."""

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **_: Any) -> None:
        """Look at the job that ended."""
        from sedsep.tasks.entry import explain

        if config.hydra.mode != RunMode.MULTIRUN or job_return.status != JobStatus.FAILED:
            return
        error = job_return._return_value
        sources = config.hydra.runtime.config_sources
        if sentence := explain(error, Path(next(source.path for source in sources if source.provider == "main"))):
            log.error("Error: %s", sentence)
        else:
            log.error("The job failed", exc_info=error)
