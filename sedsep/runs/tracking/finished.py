"""Finished runs, as MLflow has them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sedsep.errors import UserError

SQLITE = "sqlite:///"
CHOICES = {"scale": "scale.name", "data": "data.name", "seed": "seed"}
"""Overrides with a default, and the parameters that keep what was chosen."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        overrides: joined by spaces. choices: values of the keys in `CHOICES`. ended: Unix milliseconds.
        metrics: by MLflow's names.
    """

    id: str
    overrides: str
    choices: Mapping[str, str]
    metrics: Mapping[str, float]
    commit: str
    ended: int

    def metric(self, split: str, name: str) -> float | None:
        """`<metric>/<label source>` of a split."""
        return self.metrics.get(f"{split}/{name}".replace("@", "_at_"))


def finished_runs(uri: str, experiment: str) -> list[Run]:
    """The finished runs of an experiment, newest first; none where there is no store yet.

    Args:
        uri: `sqlite:///...` or a server's address.

    Raises:
        UserError: the store does not answer.
    """
    if uri.startswith(SQLITE) and not Path(uri.removeprefix(SQLITE)).is_file():
        return []
    for name in ("alembic", "mlflow.store.db.utils", "urllib3.connectionpool"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        return sorted(_read(uri, experiment), key=lambda run: run.ended, reverse=True)
    except Exception as error:  # of many kinds
        said = re.split(r"[.!?]\s|\n", str(error))[0][:200]
        raise UserError(
            f"MLflow at {uri} cannot be read ({said}): see that it runs and is the one you mean."
        ) from error


def _read(uri: str, experiment: str) -> Iterator[Run]:
    import mlflow  # brings seconds along

    client = mlflow.MlflowClient(uri)
    found = client.get_experiment_by_name(experiment)
    page = None
    while found:
        runs = client.search_runs([found.experiment_id], "attributes.status = 'FINISHED'", page_token=page)
        for run in runs:
            tags, params = run.data.tags, run.data.params
            if "sedsep.overrides" in tags:  # a sweep's own entry has none
                changed = "-dirty" if tags.get("sedsep.uncommitted_changes") == "true" else ""
                yield Run(
                    id=run.info.run_id,
                    overrides=tags["sedsep.overrides"],
                    choices={key: params[name] for key, name in CHOICES.items() if name in params},
                    metrics=run.data.metrics,
                    commit=tags.get("mlflow.source.git.commit", "") + changed,
                    ended=run.info.end_time,
                )
        page = runs.token
        if not page:
            return
