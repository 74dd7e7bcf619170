"""task=inspect: some scenes of a split on one page, to look at and to listen to."""

from __future__ import annotations

from omegaconf import DictConfig

from sedsep.datasets.inspect import scene_sheets
from sedsep.errors import UserError
from sedsep.evaluation.report import write_scenes
from sedsep.tasks.session import Session


def run(config: DictConfig) -> None:
    """Write scenes.html with `task.count` scenes of `task.split` to the run directory.

    Raises:
        UserError: the split is missing, or no scenes are asked for.
    """
    split, count = config.task.split, config.task.count
    if count < 1:
        raise UserError(f"task.count={count} shows nothing: ask for 1 scene or more.")
    session = Session.open(config)
    sheets, total = scene_sheets(session.data(config.model.training), split, count, config.seed)
    page = session.run_dir / "scenes.html"
    write_scenes(
        page,
        sheets,
        title=f"Scenes of {config.data.name}, {split} split",
        subtitle=f"{len(sheets)} of {total} scenes",
        facts=session.facts(),
    )
    print(f"Scenes: {page}")
