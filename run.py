"""The entry of the suite: `python run.py --help`. The command `sedsep` does the same."""

import hydra
from omegaconf import DictConfig

from sedsep.tasks import guarded, run


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config: DictConfig) -> None:
    """Run the configured task."""
    run(config)


if __name__ == "__main__":
    guarded(main)
