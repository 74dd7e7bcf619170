"""task=verify: what a data set holds, and everything that is wrong with it."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from sedsep.composition.common import data_root
from sedsep.console import print_table
from sedsep.datasets.contents import contents_table
from sedsep.datasets.verify import verify
from sedsep.errors import UserError
from sedsep.files import write_json
from sedsep.labels import LabelSet


def run(config: DictConfig) -> None:
    """Print the contents by class and split and every problem, and write both to verify.json in the run directory.

    Raises:
        UserError: something is wrong.
    """
    module = config.data.module
    splits = (module.train_split, module.valid_split, module.test_split)
    labels = LabelSet(tuple(config.labels.names))
    verdict = verify(
        data_root(config), labels, config.sample_rate, config.microphones, splits=splits, decode=config.task.decode
    )
    if verdict.contents:
        print_table(contents_table(str(verdict.root), verdict.contents, splits, verdict.scenes))
    for problem in verdict.problems:
        print(f"{problem.kind}: {problem.text}")
    file = Path(config.paths.run) / "verify.json"
    content = {
        "root": str(verdict.root),
        "decoded": config.task.decode,
        "contents": [
            {
                "split": content.split,
                "group": content.group,
                "label": content.label,
                "files": content.files,
                "hours": round(content.seconds / 3600, 6),
                "bytes": content.size,
            }
            for content in verdict.contents
        ],
        "scenes": verdict.scenes,
        "problems": [
            {"kind": problem.kind, "path": str(problem.path), "text": problem.text} for problem in verdict.problems
        ],
    }
    write_json(file, content)
    if count := len(verdict.problems):
        raise UserError(
            f"{verdict.root} has {count} problem{'s' * (count > 1)}, listed above and in {file}: mend and verify again."
        )
    splits_found = {content.split for content in verdict.contents} | set(verdict.scenes)
    use = "" if module.train_split in splits_found else ", which has nothing to train on: it is for scoring"
    print(f"Nothing is wrong with {verdict.root}{use}.")
