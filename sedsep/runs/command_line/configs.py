"""Where configs lie, and what `--help` says of them; without Hydra, whose import and search take most of a second."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from string import Template

import sedsep
from sedsep.errors import PROGRAM

CONF = (Path(sedsep.__file__).parent / "conf").resolve()
"""All wiring: in a wheel a folder of the package, in a clone a link to the folder beside it."""


def config_dir(arguments: Sequence[str]) -> tuple[Path | None, list[str]]:
    """The folder with configs of one's own that `--config-dir` names, absolute, and the other arguments."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--config-dir", "-cd", type=lambda text: Path(text).expanduser().absolute())
    known, others = parser.parse_known_args(arguments)
    return known.config_dir, others


def explained(arguments: Sequence[str]) -> str:
    """What `--help` prints: the uses of the suite, and every group with its options.

    Args:
        arguments: of the command line, which may name a folder with more options.
    """
    own, _ = config_dir(arguments)
    groups: dict[str, set[str]] = {}
    for root in (CONF, own) if own else (CONF,):
        for path in root.rglob("*.yaml"):
            group = path.parent.relative_to(root).as_posix()
            if group != "." and not group.startswith("hydra") and not path.stem.startswith("_"):
                groups.setdefault(group, set()).add(path.stem)
    lines = [f"{group}: {', '.join(sorted(groups[group]))}" for group in sorted(groups)]
    text = Path(__file__).with_name("help.txt").read_text()
    return Template(text).substitute(groups="\n".join(lines)).replace("python run.py", PROGRAM).strip()
