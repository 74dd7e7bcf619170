"""task=convert: make somebody else's checkpoint one of ours, or change the format of one of ours, or of scenes."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from sedsep.checkpoints import Description
from sedsep.checkpoints.conversion import convert
from sedsep.checkpoints.published import locate
from sedsep.datasets.conversion import convert_scenes
from sedsep.errors import PROGRAM, UserError
from sedsep.runs.command_line.arguments import quoted


def run(config: DictConfig) -> None:
    """Convert `config.task.source` and say what it was and how to use the result.

    Raises:
        UserError: the source cannot be had or is no checkpoint that we know, nor scenes, or the target cannot be
            written.
    """
    task = config.task
    target = None if task.target is None else Path(str(task.target))
    if (given := Path(str(task.source))).is_dir() or given.suffix == ".json":
        if task.edition is None:
            raise UserError(f"{given} holds scenes: give the year whose format is wanted as task.edition=2025 or 2026.")
        for scenes in convert_scenes(given, task.edition, config.microphones, target):
            print(*scenes.account(), sep="\n")
        return
    source = locate(str(task.source), Path(config.paths.cache))
    classes = f"labels.names=[{','.join(map(quoted, config.labels.names))}]"  # those of a data set are known by now
    done = convert(source, target, task.iters, [*HydraConfig.get().overrides.task, classes])
    print(*done.account, f"Written to {done.target}", sep="\n")
    for command in _commands(done.target, done.description):
        print(f"Use it: {command}")


def _commands(target: Path, description: Description) -> list[str]:
    """What takes a checkpoint."""
    evaluate = f"{PROGRAM} task=evaluate scale={description.scale}"
    if description.kind != "sed":
        return [f"{evaluate} ckpt={target}"]
    model, labels = {
        "linear": ("model=baseline_tagger", "baseline.ckpt"),
        "tracks": ("edition=dcase2026 model=dcase2026_tagger", "edition=dcase2026 baseline.ckpt"),
    }.get(str(description.network.get("head")), ("model=tagger", "tagger.ckpt"))
    return [f"{evaluate} {model} ckpt={target}", f"{labels}={target} beside any task that wants labels"]
