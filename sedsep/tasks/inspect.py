"""task=inspect: some scenes of a split on one page, to look at and to listen to."""

from __future__ import annotations

from omegaconf import DictConfig

from sedsep.composition import common, parts
from sedsep.datasets.inspect import scene_sheets
from sedsep.evaluation.report import write_scenes
from sedsep.runs.run import Run


def run(config: DictConfig) -> None:
    """Write scenes.html with `task.count` scenes of `task.split` to the run directory.

    Raises:
        UserError: the split is missing.
    """
    split, count = config.task.split, config.task.count
    run = Run.open(config)
    layout = common.data_set(config)
    data = parts.scenes(config, layout, common.class_labels(config), parts.recipe(config).plan)
    sheets, total = scene_sheets(data, split, count, config.seed)
    page = run.directory / "scenes.html"
    write_scenes(
        page,
        sheets,
        title=f"Scenes of {config.data.name}, {split} split",
        subtitle=f"{len(sheets)} of {total} scenes",
        facts=run.facts(layout.root),
    )
    print(f"Scenes: {page}")
